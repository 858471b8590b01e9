#!/usr/bin/env bash
# Every workload of kvbench on three stores, by each way to kvd, and every micro-benchmark, for a moment each:
# they run to their end, count what they did, and meet no error. How fast does not matter.
#
#   bench_test.sh BUILD_DIRECTORY SOURCE_DIRECTORY
set -euo pipefail
bin=$1/bin bench=$1/tests/bench/kvbench micro=$1/tests/bench/micro port_base=23100
work=$(mktemp -d) data=$work/stores
. "$2/tests/bench/cluster.sh"
trap 'stop_kvd KILL; rm -rf "$work"' EXIT
fail() { echo "$0: $*" >&2; exit 1; }

start_three_kvd
on_kvd kvd --workload load --keys 2000 --operations 2000 >/dev/null
check() { # what must be true of the JSON
  python3 - "$work/json" "$1" <<'PY'
import json, sys
r = json.load(open(sys.argv[1]))
latency = r["latency"]
assert r["errors"] == 0 and 0 < r["operations"] == latency["count"]
assert 0 < latency["p50_ms"] <= latency["p99_ms"] <= latency["max_ms"]
assert eval(sys.argv[2], {"r": r}), sys.argv[2]
PY
}
run() { # what must be true, target, kvbench's arguments...
  local want=$1 target=$2; shift 2
  on_kvd "$target" --keys 2000 --warmup 0.1 --seconds 0.3 "$@" >"$work/json" || fail "$target $*: exit code $?"
  # CPU time is told in hundredths of a second: few operations may take less.
  check "(r['server_cpu_us_per_op'] > 0 or r['operations'] <= 100) and r['server_bytes'] > 0 and ($want)" || fail "$target $*: $(cat "$work/json")"
}
for target in kvd kvd-pipeline; do
  run 'r["syncs_per_second"] > 0 and r["entries_per_sync"] > 0' $target --workload put --in-flight 8
  for kind in get stale-get; do run "set(r['by_kind']) == {'$kind'}" $target --workload $kind --in-flight 8; done
  for letter in a b c d f; do run 'len(r["by_kind"]) > 0' $target --workload ycsb-$letter; done
done
run 'len(r["by_kind"]) == 2' kvd --workload ycsb-e
run 'r["rows_per_second"] > 9 * r["ops_per_second"]' kvd --workload scan --scan-rows 10 --in-flight 4
run 'r["value_bytes_max"] == 5000' kvd --workload put --zipfian --value-bytes-min 10 --value-bytes-max 5000
# 200 arrivals a second, whatever the servers do.
run '20 <= r["operations"] <= 100' kvd --workload get --rate 200

# Latency is counted from when an operation was due: a store that stood still shows in all that waited for it.
addresses=$(kvd_addresses) leader=$(kvd_leader)
gets() { kvd_metric "$leader" 'kvd_requests_total{code="OK",operation="get"}' | cut -d. -f1; }
before=$(gets)
under_way() { [ "$(gets)" -gt $((before + 50)) ]; }
"$bench" --connect "$addresses" --json --keys 2000 --workload get --rate 200 --in-flight 4 --warmup 0 --seconds 3 >"$work/json" &
load=$!
await 20 under_way; kill -STOP "${kvd_pids[$leader]}"; sleep 0.3; kill -CONT "${kvd_pids[$leader]}"
wait $load || fail "open loop: exit code $?"
check 'r["operations"] >= 500 and r["latency"]["p99_ms"] > 100' || fail "open loop: $(cat "$work/json")"

"$micro" --benchmark_min_time=0.01 --benchmark_format=json >"$work/micro" 2>/dev/null || fail "micro: exit code $?"
python3 - "$work/micro" <<'PY'
import json, sys
runs = json.load(open(sys.argv[1]))["benchmarks"]
assert len(runs) >= 8 and all(b["iterations"] > 0 and b["cpu_time"] > 0 for b in runs), runs
PY
echo "$0: passed"
