#!/usr/bin/env bash
# Runs what finds what tests alone do not: sanitizers, clang's analyses, fuzzing. All steps, or those
# named; a step that fails is named, and the others run on.
#
#   tests/sanitizers.sh [format] [asan] [tsan] [threads] [tidy] [fuzz]
#
#   format    the sources are as clang-format leaves them
#   asan      unit and simulation tests under ASan and UBSan, 60 simulator seeds
#   tsan      those that use no gRPC (which is not instrumented) under TSan, 30 simulator seeds
#   threads   everything built by clang with -Wthread-safety, warnings are errors
#   tidy      clang-tidy over our sources: TIDY_FILES='raft/core/*.cc' names fewer
#   fuzz      every fuzz target for FUZZ_SECONDS (10) seconds
set -uo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in --help | -h) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;; esac

configure() { cmake --preset "$1" >/dev/null; }

step_format() {
  git ls-files '*.cc' '*.h' | xargs clang-format --dry-run -Werror
}

step_asan() {
  configure asan && cmake --build --preset asan --target unit_tests &&
    ASAN_OPTIONS=detect_stack_use_after_return=1 \
      ctest --test-dir .build/asan --output-on-failure --no-tests=error -L unit
}

step_tsan() {
  configure tsan && cmake --build --preset tsan --target unit_tests_without_grpc &&
    TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/tests/tsan.supp" \
      ctest --test-dir .build/tsan --output-on-failure --no-tests=error -L unit -LE grpc
}

step_threads() {
  configure clang && cmake --build --preset clang
}

step_tidy() {
  # Generated headers must be there; objects need not.
  configure clang && cmake --build --preset clang --target kvd_grpc kvd_bench_etcd || return 1
  local files
  # shellcheck disable=SC2086
  files=$(git ls-files ${TIDY_FILES:-'*.cc'}) || return 1
  # shellcheck disable=SC2086
  printf '%s\n' $files | xargs -P "$(nproc)" -n 4 clang-tidy -p .build/clang --quiet
}

step_fuzz() {
  tests/fuzz/run.sh --seconds "${FUZZ_SECONDS:-10}"
}

deploy/install-packages.sh sanitizers || exit 1
[ $# -gt 0 ] || set -- format asan tsan threads tidy fuzz
failed=()
for step in "$@"; do
  declare -F "step_$step" >/dev/null || { echo "$0: no step $step; see --help" >&2; exit 2; }
  began=$SECONDS
  if "step_$step"; then verdict=passed; else verdict=FAILED; failed+=("$step"); fi
  echo "sanitizers: $step $verdict after $((SECONDS - began)) s"
done
[ ${#failed[@]} -eq 0 ] || { echo "sanitizers: failed: ${failed[*]}" >&2; exit 1; }
