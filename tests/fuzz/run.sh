#!/usr/bin/env bash
# Fuzzes every target, or those named, beginning with the kept inputs; ends with a table.
#
#   tests/fuzz/run.sh [--seconds N] [--parallel N] [TARGET...]
#
# --seconds: for each target, 60. --parallel: targets at a time, 1. What a target is caught with is
# kept in .build/fuzz/findings/TARGET; mend the cause, then keep the input in tests/fuzz/corpus/TARGET.
# New inputs that reach more code are collected in .build/fuzz/corpus/TARGET.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=60 parallel=1
while [ $# -gt 0 ]; do
  case "$1" in
    --seconds) seconds=$2; shift 2 ;;
    --parallel) parallel=$2; shift 2 ;;
    --help | -h) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "$0: unknown option $1" >&2; exit 2 ;;
    *) break ;;
  esac
done
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target fuzz >/dev/null
build=.build/fuzz program=.build/fuzz/tests/fuzz/fuzz
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(ls tests/fuzz/corpus)

fuzz_one() {
  local target=$1
  mkdir -p "$build/corpus/$target" "$build/findings/$target"
  # ASan keeps what was freed for a while: less of it, for the speed of targets that make much.
  KVD_FUZZ_TARGET=$target ASAN_OPTIONS=quarantine_size_mb=16:detect_leaks=1 \
    UBSAN_OPTIONS=print_stacktrace=1 nice -n 19 "$program" -max_total_time="$seconds" -max_len=4096 -timeout=20 \
    -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/findings/$target/" \
    "$build/corpus/$target" "tests/fuzz/corpus/$target" >"$build/findings/$target.log" 2>&1 || true
}
export -f fuzz_one
export build program seconds
for target in "${targets[@]}"; do rm -rf "${build:?}/findings/$target"; done
printf '%s\n' "${targets[@]}" | xargs -P "$parallel" -I{} bash -c 'fuzz_one "$1"' _ {}

findings=0
printf '%-16s %12s %8s %9s\n' target executions edges findings
for target in "${targets[@]}"; do
  log=$build/findings/$target.log
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d' ' -f2)
  found=$(find "$build/findings/$target" -type f | wc -l)
  # No statistics: it did not get to the end, and not by a finding of its own.
  [ -n "$executions" ] || [ "$found" -gt 0 ] || found=1
  findings=$((findings + found))
  printf '%-16s %12s %8s %9s\n' "$target" "${executions:--}" "${edges:--}" "$found"
done
[ "$findings" -eq 0 ] || { echo "fuzz: findings are in $build/findings, each target's log beside them" >&2; exit 1; }
