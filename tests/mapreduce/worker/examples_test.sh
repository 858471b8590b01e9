#!/usr/bin/env bash
# The example scripts do what they say.
#
#   examples_test.sh BUILD_DIRECTORY SOURCE_DIRECTORY
set -euo pipefail
build=$1 lua=$2/mapreduce/examples/lua
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect NAME: what the example wrote is what standard input has.
expect() {
  diff -u - "$work/out" || { echo "$1: wrong output"; cat "$work/err"; exit 1; }
}
run() { "$build/bin/run_worker" "$lua/$1" "${@:2}" >"$work/out" 2>"$work/err"; }
# fails ...: as run, which must not go well.
fails() {
  if run "$@"; then echo "$1 did not fail"; exit 1; fi
}
# told WORDS: it said so.
told() {
  grep -qF -- "$1" "$work/err" || { echo "not told: $1"; cat "$work/err"; exit 1; }
}

printf '1\tTo be, or\n2\tnot to be\n' | run word_count.lua
expect word_count <<<$'be\t2\nnot\t1\nor\t1\nto\t2'
grep -qx 'counter: lines 2' "$work/err"

printf '1\tone fish\n2\ttwo birds\n3\ta.b\n' | run grep.lua 'pattern=f..h'
expect grep <<<$'1\tone fish'
printf '1\taxb\n2\ta.b\n' | run grep.lua pattern=a.b plain=true
expect grep <<<$'2\ta.b'
fails grep.lua </dev/null
told 'the parameter pattern is missing'
fails grep.lua 'pattern=[' </dev/null
told 'malformed pattern'

printf 'customer/17\tAnn\tNO\norder/5/17\t12.50\t2026-11-27\norder/6/17\t3\t2026-11-27\norder/7/9\t1\tx\n' |
  run join.lua
expect join <<<$'order/5\tAnn\tNO\t12.50\norder/6\tAnn\tNO\t3'
grep -qx 'counter: orders without customer 1' "$work/err"
printf 'customer/17\tAnn\tNO\tx\n' | fails join.lua
told 'record "customer/17": script error at line'

printf '%s\n' $'1\t10.0.0.1 - - [27/Nov/2026:21:25:00 +0000] "GET /a HTTP/1.1" 200 5120' \
  $'2\t10.0.0.2 - - [27/Nov/2026:21:59:00 +0000] "GET /b HTTP/1.1" 200 -' \
  $'3\t10.0.0.2 - - [27/Nov/2026:22:00:00 +0000] "GET /b HTTP/1.1" 404 10' $'4\tnonsense' | run log_hours.lua
expect log_hours <<<$'2026-11-27 21:00 200\t2 5120\n2026-11-27 22:00 404\t1 10'
grep -qx 'counter: lines that were not understood 1' "$work/err"
