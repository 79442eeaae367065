# shellcheck shell=bash
# For the examples' checks, to be sourced: a pool of their own, which ends with them.
#
#     own_pool NAME                           makes its runtime folder, $XDG_RUNTIME_DIR
#     start_pool SUPERVISOR SLOTRING CONFIG   returns when NAME answers; sets supervisor_pid
#     expect WHAT WANTED GOT                  says "ok: WHAT", or ends the check

own_pool() {
  pool=$1
  # Short, since a socket's path has at most 107 bytes.
  XDG_RUNTIME_DIR=$(mktemp -d "/tmp/slotring-$pool.XXXXXX")
  export XDG_RUNTIME_DIR PYTHONDONTWRITEBYTECODE=1
  supervisor_pid=
  trap end_pool EXIT
  trap 'exit 130' INT TERM
}

start_pool() {
  "$1" --config "$3" &
  supervisor_pid=$!
  "$2" ping "$pool" --wait 30 --timeout 30
}

end_pool() {
  if [[ -n $supervisor_pid ]]; then
    kill "$supervisor_pid" 2>/dev/null || true
    wait "$supervisor_pid" || true
  fi
  rm -rf "$XDG_RUNTIME_DIR"
}

expect() {
  [[ $2 == "$3" ]] || { printf 'FAILED: %s\n  wanted: %s\n  got:    %s\n' "$@" && exit 1; }
  echo "ok: $1"
}
