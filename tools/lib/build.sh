# shellcheck shell=bash
# What tools/test and tools/demo share. To be sourced, under set -euo pipefail.

# repo_root: prints the folder of this checkout, whatever the current one is.
repo_root() {
  (unset CDPATH && cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
}

# install_missing GROUP...: see tools/install_dependencies.
install_missing() {
  "$(repo_root)/tools/install_dependencies" "$@"
}

# build_preset PRESET [TARGET...]: configures build/PRESET and builds the targets, or everything,
# with warnings as errors. Prints little unless it fails, or stdout is a terminal.
build_preset() {
  local preset=$1 root log
  shift
  root=$(repo_root)
  log=$root/build/$preset/configure.log
  mkdir -p "$root/build/$preset"
  if ! (cd "$root" && cmake --preset "$preset" -DSLOTRING_WERROR=ON) >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi

  local targets=() quiet=()
  [[ $# -eq 0 ]] || targets=(--target "$@")
  [[ -t 1 ]] || quiet=(-- --quiet)
  (cd "$root" && cmake --build --preset "$preset" "${targets[@]}" "${quiet[@]}")
}
