#!/usr/bin/env bash
# Measures whether costs stay as they are with more groups and shards, what a move costs those who use the
# shard, and how fast a lost store's replicas are made anew.
#
#   tests/bench/scale.sh [--parts groups,shards,moves,replicate] [--seconds S] [--keys N]
#                        [--groups N,...] [--stores N] [--in-flight N] [--shards N,...] [--moves N]
#                        [--move-mib MIB] [--replicate-mib MIB]
#                        [--data DIRECTORY] [--out DIRECTORY] [--port-base PORT] [--build DIRECTORY | --no-build]
#
# groups: throughput and CPU of --stores stores (three, or one) per get and put, through Pipeline, with so
# many groups, four shards each, and what they use idle; shards: the same, and scans, of three stores and one
# group with so many shards; moves: latencies of keys in shards that are moved back and forth between four
# groups, and of keys in others, and the longest pause of any key in each move, shards of --move-mib each;
# replicate: one store of four is killed for good; MiB/s until all groups have three replicas again, where it
# held --replicate-mib. --in-flight: operations at a time in groups and shards, 256 if left out. Two minutes,
# all parts: --seconds 2 --keys 20000 --groups 1,4 --shards 1,100 --moves 10 --move-mib 4 --replicate-mib 64.
# --build takes programs from there as they are.
set -euo pipefail
cd "$(dirname "$0")/../.."
parts=groups,shards,moves,replicate seconds=10 keys=1000000 groups=1,4,16,64 shards=1,100,1000,10000
stores=3 in_flight=256
moves=200 move_mib=32 replicate_mib=1024 out=.build/scale data= port_base=7900 build= tree=$PWD/.build/tests
while [ $# -gt 0 ]; do
  case $1 in
    --parts) parts=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --keys) keys=$2; shift ;;
    --groups) groups=$2; shift ;;
    --stores) stores=$2; shift ;;
    --in-flight) in_flight=$2; shift ;;
    --shards) shards=$2; shift ;;
    --moves) moves=$2; shift ;;
    --move-mib) move_mib=$2; shift ;;
    --replicate-mib) replicate_mib=$2; shift ;;
    --data) data=$2; shift ;;
    --out) out=$2; shift ;;
    --port-base) port_base=$2; shift ;;
    --build) tree=$2 build=no; shift ;;
    --no-build) build=no ;;
    --help | -h) sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "$0: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
  shift
done
for list in "$stores" "$in_flight" "$seconds" "$keys" "$groups" "$shards" "$moves" "$move_mib" "$replicate_mib" "$port_base"; do
  [[ $list =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || { echo "$0: $list is no list of whole numbers above 0" >&2; exit 2; }
done
if [ -z "$build" ]; then
  deploy/install-packages.sh test
  cmake --preset tests >/dev/null
  cmake --build --preset tests --target kvd kvctl kvbench move_pauses
fi
bin=$tree/bin bench=$tree/tests/bench/kvbench
mkdir -p "$out" "${data:=$out/data}"
data=$(cd "$data" && pwd) results=$(cd "$out" && pwd)/results top=$data
: >"$results"
. tests/bench/cluster.sh
cleanup() {
  stop_kvd KILL
  rm -rf "$top"
}
trap cleanup EXIT
table() { python3 tests/bench/growth_table.py "$@"; }

start_cluster() { # stores, groups: anew, and nothing changes by itself any more but lost replicas
  local i
  stop_kvd KILL
  rm -rf "$data"
  # There is a group for every four cores of all stores together.
  kvd_flags=(--cores $(((4 * $2 + $1 - 1) / $1)))
  if [ "$1" = 1 ]; then mkdir -p "$data" && start_kvd 1; else start_three_kvd; fi
  for ((i = 4; i <= $1; ++i)); do start_kvd "$i"; done
  await 300 grown "$1" "$2"
  for setting in auto-split auto-merge auto-balance; do kvd_ctl setting set $setting 0 >/dev/null; done
}
grown() { # stores, groups: all there and spread, and nothing under way
  [ "$(kvd_ctl -o json store list | python3 -c '
import json, sys
print(sum(s["replicas"] > 0 for s in json.load(sys.stdin)["stores"]))')" = "$1" ] && whole "$2"
}
whole() { # groups, and the controller: three replicas each, if there are so many stores
  local replicas=$((${#kvd_pids[@]} < 3 ? ${#kvd_pids[@]} : 3))
  [ "$(kvd_ctl group list | awk -v n=$replicas '$2 == "serving" && split($3, stores, ",") == n' | wc -l)" = $(($1 + 1)) ] && idle
}
idle() { [ "$(kvd_ctl op list | wc -l)" = 2 ]; }
count_shards() { kvd_ctl -o json config show | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["shards"]))'; }
# From so many shards of equal size to so many: at each step the middle of every one that is to be split.
split_keys() { # from, to
  python3 - "$1" "$2" "$keys" <<'PY'
import sys
old, new, keys = map(int, sys.argv[1:])
parts = [(i * new // old, (i + 1) * new // old) for i in range(old)]
while parts := [(a, b) for a, b in parts if b - a > 1]:
    print(*("bench/%012d" % ((a + b) // 2 * keys // new) for a, b in parts))
    parts = [half for a, b in parts for half in ((a, (a + b) // 2), ((a + b) // 2, b))]
PY
}
split_to() { # from, to
  local step
  while read -r step; do
    printf 'shard split --no-wait %s\n' $step | kvd_ctl shell >/dev/null
    await 300 idle
  done < <(split_keys "$1" "$2")
  [ "$(count_shards)" = "$2" ] || { echo "$0: $(count_shards) shards, not $2" >&2; exit 1; }
}
spread() { kvd_ctl --timeout-ms 600000 shard scatter >/dev/null; }
load() { on_kvd kvd-pipeline --workload load --keys "$keys" --in-flight 256 "$@" >/dev/null; }
measure() { # part, step, operation, target, kvbench arguments
  local part=$1 step=$2 operation=$3 target=$4
  shift 4
  # Leaders that moved after the load have read no row yet.
  on_kvd "$target" --keys "$keys" --warmup "$seconds" --seconds "$seconds" "$@" |
    table record "$results" "$part" "$step" "$operation" --pids "$(join "${kvd_pids[@]}")"
}

scale_groups() {
  local n op
  for n in ${groups//,/ }; do
    start_cluster "$stores" "$n"
    split_to 1 $((4 * n))
    spread
    load
    await 300 settled
    table idle "$results" "$n" "$seconds" "$(join "${kvd_pids[@]}")"
    for op in get put; do
      measure groups "$n" $op kvd-pipeline --workload $op --connections 2 --in-flight "$in_flight"
    done
  done
}
scale_shards() {
  local n op
  # Anew for each, as what was overwritten stays for a while and costs as well.
  for n in ${shards//,/ }; do
    start_cluster 3 1
    load
    split_to 1 "$n"
    await 300 settled
    for op in get put; do
      measure shards "$n" $op kvd-pipeline --workload $op --connections 2 --in-flight "$in_flight"
    done
    measure shards "$n" scan kvd --workload scan --in-flight 8
  done
}
scale_moves() { # 16 shards, of which four move
  local value=1024
  start_cluster 3 4
  keys=$((16 * move_mib * 1048576 / value))
  split_to 1 16
  spread
  load --value-bytes $value
  "$tree/tests/bench/move_pauses" --connect "$(kvd_addresses)" --pids "$(join "${kvd_pids[@]}")" --keys "$keys" \
    --value-bytes $value --shards 16 --moving 4 --moves "$moves" | table keep "$results" moves
}
scale_replicate() {
  local value=4096 victim=4 began bytes
  start_cluster 4 4
  # Three replicas on four stores: each holds three quarters.
  keys=$((replicate_mib * 1048576 * 4 / 3 / value))
  split_to 1 16
  spread
  load --value-bytes $value
  await 300 settled
  await 60 told "$victim"
  bytes=$(held "$victim" bytes)
  kill -KILL "${kvd_pids[$victim]}"
  wait "${kvd_pids[$victim]}" 2>/dev/null || true
  unset "kvd_pids[$victim]"
  began=$(date +%s%N)
  kvd_ctl store remove "$victim" --lost >/dev/null
  until [ "$(held "$victim" replicas)" = 0 ] && whole 4; do sleep 0.05; done
  echo "{\"bytes\": $bytes, \"rows_mib\": $replicate_mib, \"seconds\": $((($(date +%s%N) - began) / 1000000))e-3}" |
    table keep "$results" replicate
}
# Stores tell sizes once a second.
told() { [ "$(held "$1" bytes)" -gt 0 ]; }
held() { # store, replicas or bytes: of the groups that have a replica there
  kvd_ctl -o json group list | python3 -c '
import json, sys
store, what = sys.argv[1:]
there = [g for g in json.load(sys.stdin)["groups"] if any(r["store_id"] == store for r in g["group"]["replicas"])]
print(len(there) if what == "replicas" else sum(int(g["bytes"]) for g in there))' "$1" "$2"
}

for part in ${parts//,/ }; do
  echo "$part"
  case $part in
    groups | shards | moves | replicate) "scale_$part" ;;
    *) echo "$0: --parts $part is not one of: groups, shards, moves, replicate" >&2; exit 2 ;;
  esac
done
table print "$results"
