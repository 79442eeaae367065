# shellcheck shell=bash
# What tools/test, tools/demo and tools/compare share. To be sourced, under set -euo pipefail.

# repo_root: prints the folder of this checkout, whatever the current one is.
repo_root() {
  (unset CDPATH && cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
}

# What build_preset configures with.
build_options=()

# install_missing GROUP...: see tools/install_dependencies.
install_missing() {
  [[ " $* " != *" test "* ]] || build_options+=(-DSLOTRING_BUILD_TESTS=ON)
  "$(repo_root)/tools/install_dependencies" "$@"
}

# build_preset PRESET [--option NAME=VALUE] [TARGET...]: configures build/PRESET and builds the
# targets, or everything. Prints little unless it fails, or stdout is a terminal.
build_preset() {
  local preset=$1 root log options=("${build_options[@]}")
  shift
  if [[ ${1:-} == --option ]]; then
    options+=("-D$2")
    shift 2
  fi
  root=$(repo_root)
  log=$root/build/$preset/configure.log
  mkdir -p "$root/build/$preset"
  if ! (cd "$root" && cmake --preset "$preset" "${options[@]}") >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi

  local targets=() quiet=()
  [[ $# -eq 0 ]] || targets=(--target "$@")
  [[ -t 1 ]] || quiet=(-- --quiet)
  (cd "$root" && cmake --build --preset "$preset" "${targets[@]}" "${quiet[@]}")
}
