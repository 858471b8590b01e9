#!/usr/bin/env bash
# Measures kvd beside etcd (and, for two rows, beside limits), cell by cell in turn on the same disk,
# and prints medians, spread and ratios.
#
#   tests/bench/compare_etcd.sh [--rounds N] [--seconds S] [--cells REGEX] [--out DIRECTORY]
#
# Three stores and three members on loopback, 100,000 keys of 256 B, real syncs, default settings. Every
# result is a JSON line in DIRECTORY/results.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=3 seconds=5 cells=. out=.build/bench
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --cells) cells=$2 ;;
    --out) out=$2 ;;
    --help | -h) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "$0: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
  shift 2
done
deploy/install-packages.sh bench
cmake --preset tests >/dev/null
cmake --build --preset tests --target kvd kvctl kvbench
bin=$PWD/.build/tests/bin bench=$PWD/.build/tests/tests/bench/kvbench
mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -rf "$out/data" "$out/results"
mkdir -p "$out/data"
kvd_pids=() etcd_pids=()
cleanup() { kill "${kvd_pids[@]}" "${etcd_pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; }
trap cleanup EXIT

start_kvd() { # store
  local at=127.0.0.1:$((7600 + 10 * $1)) how=(--join 127.0.0.1:7610)
  [ "$1" = 1 ] && how=(--bootstrap)
  [ -d "$out/data/kvd$1" ] && how=(--join 127.0.0.1:7620)
  [ -d "$out/data/kvd$1" ] && [ "$1" = 1 ] && how=()
  "$bin/kvd" --listen "$at" --http-listen "127.0.0.1:$((7605 + 10 * $1))" --data-dir "$out/data/kvd$1" \
    "${how[@]}" >>"$out/data/kvd$1.log" 2>&1 &
  kvd_pids[$1]=$!
}
start_etcd() { # member
  etcd --name "m$1" --data-dir "$out/data/etcd$1" --log-level error \
    --listen-client-urls "http://127.0.0.1:$((23790 + $1))" --advertise-client-urls "http://127.0.0.1:$((23790 + $1))" \
    --listen-peer-urls "http://127.0.0.1:$((23800 + $1))" --initial-advertise-peer-urls "http://127.0.0.1:$((23800 + $1))" \
    --initial-cluster m1=http://127.0.0.1:23801,m2=http://127.0.0.1:23802,m3=http://127.0.0.1:23803 \
    >>"$out/data/etcd$1.log" 2>&1 &
  etcd_pids[$1]=$!
}
await() { # seconds, command...
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "$0: gave up waiting for: $*" >&2; exit 1; }
    sleep 0.2
  done
}
three_voters() { [ "$("$bin/kvctl" --connect 127.0.0.1:7610,127.0.0.1:7620 status | grep -cE ' up +(leader|follower) ')" = 3 ]; }
etcd_healthy() { for i in 1 2 3; do curl -fs "http://127.0.0.1:$((23790 + i))/health" | grep -q true || return 1; done; }
kvd_metric() { curl -s "http://127.0.0.1:$((7605 + 10 * $1))/metrics" | awk -v n="$2" 'index($0, n) == 1 { print $2 }'; }
kvd_leader() { for i in 1 2 3; do [ "$(kvd_metric "$i" kvd_raft_is_leader)" = 1 ] && { echo "$i"; return; }; done; }
etcd_leader() { for i in 1 2 3; do [ "$(curl -s "http://127.0.0.1:$((23790 + i))/metrics" | awk '/^etcd_server_is_leader /{print $2}')" = 1 ] && { echo "$i"; return; }; done; }

# The leader first: both are asked there.
kvd_addresses() { local l; l=$(kvd_leader); echo "127.0.0.1:$((7600 + 10 * l)),127.0.0.1:7610,127.0.0.1:7620,127.0.0.1:7630"; }
etcd_addresses() { local l; l=$(etcd_leader); echo "127.0.0.1:$((23790 + l)),127.0.0.1:23791,127.0.0.1:23792,127.0.0.1:23793"; }
join() { local IFS=,; echo "$*"; }
on_kvd() { # target, kvbench arguments
  local target=$1; shift
  "$bench" --target "$target" --connect "$(kvd_addresses)" --pids "$(join "${kvd_pids[@]}")" \
    --metrics http://127.0.0.1:7615/metrics,http://127.0.0.1:7625/metrics,http://127.0.0.1:7635/metrics --json "$@"
}
on_etcd() {
  "$bench" --target etcd --connect "$(etcd_addresses)" --pids "$(join "${etcd_pids[@]}")" \
    --metrics http://127.0.0.1:23791/metrics,http://127.0.0.1:23792/metrics,http://127.0.0.1:23793/metrics --json "$@"
}
record() { # cell, side, JSON on standard input; measured again while others used the machine
  python3 tests/bench/table.py record "$out/results" "$1" "$2"
}
cell() { # name, workload, in flight, kvd target
  [[ "$1" =~ $cells ]] || return 0
  local arguments=(--workload "$2" --in-flight "$3" --seconds "$seconds") try
  for try in 1 2 3; do on_kvd "$4" "${arguments[@]}" | record "$1" kvd && break; done
  for try in 1 2 3; do on_etcd "${arguments[@]}" | record "$1" etcd && break; done
  return 0
}
failover() { # the longest gap without a write while the leader is killed, and started again
  [[ "leader killed" =~ $cells ]] || return 0
  local leader
  leader=$(kvd_leader)
  ( sleep 3; kill -9 "${kvd_pids[$leader]}" ) &
  on_kvd kvd-pipeline --workload put --in-flight 64 --seconds 8 | record "leader killed" kvd || true
  start_kvd "$leader"; await 30 three_voters; sleep 1
  leader=$(etcd_leader)
  local others=() i
  for i in 1 2 3; do [ "$i" = "$leader" ] || others+=("127.0.0.1:$((23790 + i))"); done
  ( sleep 3; kill -9 "${etcd_pids[$leader]}" ) &
  "$bench" --target etcd --connect "$(join "${others[@]}")" --to-all --workload put --in-flight 64 --seconds 8 --json |
    record "leader killed" etcd || true
  start_etcd "$leader"; await 30 etcd_healthy; sleep 1
}

for i in 1 2 3; do start_etcd $i; done
start_kvd 1; sleep 1; start_kvd 2; start_kvd 3
await 60 three_voters; await 60 etcd_healthy
echo "Loading 100,000 keys of 256 B into both"
on_kvd kvd-pipeline --workload load --in-flight 256 >/dev/null
on_etcd --workload load --in-flight 256 >/dev/null
# etcd reads twice as fast once its members have been restarted after a bulk load.
kill "${etcd_pids[@]}"; wait "${etcd_pids[@]}" 2>/dev/null || true
for i in 1 2 3; do start_etcd $i; done
await 60 etcd_healthy
for ((round = 1; round <= rounds; ++round)); do
  echo "Round $round of $rounds"
  cell "get, 64" get 64 kvd
  cell "stale get, 64" stale-get 64 kvd
  cell "YCSB-C, 64" ycsb-c 64 kvd
  cell "put, 1" put 1 kvd
  cell "put, 64" put 64 kvd
  cell "put, 256" put 256 kvd
  cell "put, 1000" put 1000 kvd
  cell "YCSB-A, 64" ycsb-a 64 kvd
  cell "YCSB-B, 64" ycsb-b 64 kvd
  cell "YCSB-F, 64" ycsb-f 64 kvd
  cell "scan 100 rows, 8" scan 8 kvd
  cell "Pipeline put, 256" put 256 kvd-pipeline
  cell "Pipeline get, 256" get 256 kvd-pipeline
  failover
done
python3 tests/bench/table.py print "$out/results"
