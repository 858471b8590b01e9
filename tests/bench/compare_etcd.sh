#!/usr/bin/env bash
# Measures kvd beside etcd and, for two rows, beside limits, cell by cell in turn on the same disk, and
# prints medians, spread, ratios and which bars are reached.
#
#   tests/bench/compare_etcd.sh [--rounds N] [--seconds S] [--only REGEX] [--out DIRECTORY] [--add]
#                               [--tries N] [--port-base PORT] [--no-build]
#
# Three stores and three members on loopback, 100,000 keys of 256 B, real syncs, default settings. Each
# round begins with new stores and members, loaded alike; etcd's are restarted after the load, which doubles
# what they read. Every result is a JSON line in DIRECTORY/results; --add keeps those of earlier runs. --only
# picks cells by name: get, put, YCSB, scan, Pipeline, leader, redis, rocksdb, ... --tries: how often a cell
# is measured while others use the machine [3]. Uses 130 ports from --port-base on.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=3 seconds=5 cells=. out=.build/bench add=0 port_base=7600 build=1 tries=3
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --only | --cells) cells=$2; shift ;;
    --tries) tries=$2; shift ;;
    --out) out=$2; shift ;;
    --port-base) port_base=$2; shift ;;
    --add) add=1 ;;
    --no-build) build=0 ;;
    --help | -h) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "$0: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
  shift
done
for number in "$rounds" "$seconds" "$tries" "$port_base"; do
  [[ $number =~ ^[1-9][0-9]*$ ]] || { echo "$0: $number is no whole number above 0" >&2; exit 2; }
done
bin=$PWD/.build/tests/bin bench=$PWD/.build/tests/tests/bench/kvbench micro=$PWD/.build/tests/tests/bench/micro
mkdir -p "$out"
out=$(cd "$out" && pwd) data=$out/data
rm -rf "$data"
mkdir -p "$data"
. tests/bench/cluster.sh
etcd_pids=() redis_pid=
cleanup() {
  kill "${kvd_pids[@]}" "${etcd_pids[@]}" $redis_pid 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$data"
}
trap cleanup EXIT

etcd_port() { echo $((port_base + 100 + $1)); }
peer_url() { echo "http://127.0.0.1:$((port_base + 110 + $1))"; }
start_etcd() { # member
  local url
  url=http://127.0.0.1:$(etcd_port "$1")
  etcd --name "m$1" --data-dir "$data/etcd$1" --log-level error --initial-cluster-token "kvd-bench-$port_base" \
    --listen-client-urls "$url" --advertise-client-urls "$url" \
    --listen-peer-urls "$(peer_url "$1")" --initial-advertise-peer-urls "$(peer_url "$1")" \
    --initial-cluster "m1=$(peer_url 1),m2=$(peer_url 2),m3=$(peer_url 3)" >>"$data/etcd$1.log" 2>&1 &
  etcd_pids[$1]=$!
}
etcd_healthy() { local i; for i in 1 2 3; do curl -fs "http://127.0.0.1:$(etcd_port $i)/health" | grep -q true || return 1; done; }
etcd_pages() { echo "http://127.0.0.1:$(etcd_port 1)/metrics,http://127.0.0.1:$(etcd_port 2)/metrics,http://127.0.0.1:$(etcd_port 3)/metrics"; }
etcd_leader() {
  local i
  for i in 1 2 3; do
    [ "$(curl -s "http://127.0.0.1:$(etcd_port $i)/metrics" | awk '/^etcd_server_is_leader /{print $2}')" = 1 ] && { echo "$i"; return; }
  done
}
etcd_addresses() { # the leader first: both are asked there
  local l i all=()
  l=$(etcd_leader)
  for i in "$l" 1 2 3; do all+=("127.0.0.1:$(etcd_port "$i")"); done
  join "${all[@]}"
}
on_etcd() {
  "$bench" --target etcd --connect "$(etcd_addresses)" --pids "$(join "${etcd_pids[@]}")" --metrics "$(etcd_pages)" --json "$@"
}
record() { # cell, side, JSON on standard input; fails while others use the machine: measure again
  python3 tests/bench/table.py record "$out/results" "$1" "$2"
}
until_quiet() { # cell, side, command...
  local cell=$1 side=$2 try
  shift 2
  for ((try = 1; try <= tries; ++try)); do "$@" | record "$cell" "$side" && break; done
  return 0
}
wanted() { # or only named, while names are gathered
  [ $naming = 0 ] || { names+=("$1"); return 1; }
  [[ "$1" =~ $cells ]]
}
cell() { # name, workload, in flight, kvd target
  wanted "$1" || return 0
  local arguments=(--workload "$2" --in-flight "$3" --seconds "$seconds")
  until_quiet "$1" kvd on_kvd "$4" "${arguments[@]}"
  until_quiet "$1" etcd on_etcd "${arguments[@]}"
}
failover() { # the longest gap without a write while the leader is killed, and started again
  wanted "leader killed" || return 0
  local leader others=() i
  leader=$(kvd_leader)
  ( sleep 3; kill -9 "${kvd_pids[$leader]}" ) &
  on_kvd kvd-pipeline --workload put --in-flight 64 --seconds 8 | record "leader killed" kvd || true
  wait "${kvd_pids[$leader]}" 2>/dev/null || true
  start_kvd "$leader"; await 30 three_voters; sleep 1
  leader=$(etcd_leader)
  for i in 1 2 3; do [ "$i" = "$leader" ] || others+=("127.0.0.1:$(etcd_port $i)"); done
  ( sleep 3; kill -9 "${etcd_pids[$leader]}" ) &
  "$bench" --target etcd --connect "$(join "${others[@]}")" --to-all --workload put --in-flight 64 --seconds 8 --json |
    record "leader killed" etcd || true
  wait "${etcd_pids[$leader]}" 2>/dev/null || true
  start_etcd "$leader"; await 30 etcd_healthy; sleep 1
}
start_redis() {
  redis-server --port $((port_base + 120)) --bind 127.0.0.1 --dir "$data" --appendonly yes --appendfsync always \
    --save "" --daemonize no >"$data/redis.log" 2>&1 &
  redis_pid=$!
  await 20 redis-cli -p $((port_base + 120)) ping
}
against_redis() { # three stores beside one node that syncs every write too
  wanted "redis put, 64" || return 0
  until_quiet "redis put, 64" kvd on_kvd kvd --workload put --in-flight 64 --seconds "$seconds"
  until_quiet "redis put, 64" limit python3 tests/bench/limits.py redis $((port_base + 120)) "$redis_pid" "$seconds"
}
against_rocksdb() { # streamed scans beside an iterator in the process
  wanted "rocksdb scan, 8" || return 0
  until_quiet "rocksdb scan, 8" kvd on_kvd kvd --workload scan --in-flight 8 --seconds "$seconds"
  until_quiet "rocksdb scan, 8" limit python3 tests/bench/limits.py rocksdb "$micro" "$seconds"
}

stop_etcd() {
  [ ${#etcd_pids[@]} -gt 0 ] || return 0
  kill "${etcd_pids[@]}"; wait "${etcd_pids[@]}" 2>/dev/null || true
  etcd_pids=()
}
begin_anew() { # both, with the same keys and nothing else
  local i
  stop_kvd
  stop_etcd
  rm -rf "$data"/kvd? "$data"/etcd?
  start_three_kvd
  for i in 1 2 3; do start_etcd $i; done
  await 60 etcd_healthy
  on_kvd kvd-pipeline --workload load --in-flight 256 >/dev/null
  on_etcd --workload load --in-flight 256 >/dev/null
  stop_etcd
  for i in 1 2 3; do start_etcd $i; done
  await 60 etcd_healthy
}

all_cells() {
  cell "get, 64" get 64 kvd
  cell "stale get, 64" stale-get 64 kvd
  against_rocksdb
  cell "put, 1" put 1 kvd
  cell "put, 64" put 64 kvd
  cell "put, 256" put 256 kvd
  cell "put, 1000" put 1000 kvd
  for letter in a b c d e f; do cell "YCSB-${letter^}, 64" ycsb-$letter 64 kvd; done
  cell "scan 100 rows, 8" scan 8 kvd
  cell "Pipeline put, 256" put 256 kvd-pipeline
  cell "Pipeline get, 256" get 256 kvd-pipeline
  against_redis
  failover
}

naming=1 names=()
all_cells
naming=0
printf '%s\n' "${names[@]}" | grep -qE -- "$cells" || {
  echo "$0: --only '$cells' matches no cell; there are:$(printf ' "%s"' "${names[@]}")" >&2
  exit 2
}
if [ $build = 1 ]; then
  deploy/install-packages.sh bench
  cmake --preset tests >/dev/null
  cmake --build --preset tests --target kvd kvctl kvbench micro
fi
[ $add = 1 ] || rm -f "$out/results"
start_redis
for ((round = 1; round <= rounds; ++round)); do
  echo "Round $round of $rounds: 100,000 keys of 256 B into both, then the cells in turn"
  begin_anew
  all_cells
done
python3 tests/bench/table.py print "$out/results"
