#!/usr/bin/env bash
# Measures whether costs stay as they are when things grow, and prints tables.
#
#   tests/bench/growth.sh [--parts keys,values,clients,restart] [--seconds S]
#                         [--keys N,...] [--values BYTES,...] [--clients N,...] [--log-mib MIB,...]
#                         [--restart-keys FEW,MANY] [--data DIRECTORY [--keep]] [--out DIRECTORY]
#                         [--port-base PORT] [--no-build]
#
# keys: CPU of the stores per get, put and scan, and their memory beside its bound, at so many keys;
# values: the same by size of a value; clients: by connections; restart: time from the start of a killed
# store to its first answer, by size of the unflushed log and by amount of data. Three stores on loopback
# (restart: one), default settings. By default 100,000 to 20 million keys: half an hour and 20 GB of disk.
# A minute: --parts keys --keys 10000,50000 --seconds 2. Three, all parts: with --values 16,4096
# --clients 1,100 --log-mib 4,16 --restart-keys 1000,50000 too. --keep leaves the data, and --data goes
# on with what is there: loading is what takes long.
set -euo pipefail
cd "$(dirname "$0")/../.."
parts=keys,values,clients,restart seconds=10 keys=100000,1000000,5000000,20000000
values=16,256,4096,65536,1048576 clients=1,10,100,1000 log_mib=4,32,128 restart_keys=100000,5000000
out=.build/growth data= keep=0 port_base=7700 build=1
while [ $# -gt 0 ]; do
  case $1 in
    --parts) parts=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --keys) keys=$2; shift ;;
    --values) values=$2; shift ;;
    --clients) clients=$2; shift ;;
    --log-mib) log_mib=$2; shift ;;
    --restart-keys) restart_keys=$2; shift ;;
    --data) data=$2; shift ;;
    --out) out=$2; shift ;;
    --port-base) port_base=$2; shift ;;
    --keep) keep=1 ;;
    --no-build) build=0 ;;
    --help | -h) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "$0: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
  shift
done
for list in "$seconds" "$keys" "$values" "$clients" "$log_mib" "$restart_keys" "$port_base"; do
  [[ $list =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || { echo "$0: $list is no list of whole numbers above 0" >&2; exit 2; }
done
if [ $build = 1 ]; then
  deploy/install-packages.sh test
  cmake --preset tests >/dev/null
  cmake --build --preset tests --target kvd kvctl kvbench
fi
bin=$PWD/.build/tests/bin bench=$PWD/.build/tests/tests/bench/kvbench
mkdir -p "$out" "${data:=$out/data}"
data=$(cd "$data" && pwd) results=$(cd "$out" && pwd)/results top=$data
: >"$results"
. tests/bench/cluster.sh
cleanup() {
  stop_kvd
  [ $keep = 1 ] || rm -rf "$top"
}
trap cleanup EXIT

record() { # part, step, operation; kvbench's JSON on standard input
  python3 tests/bench/growth_table.py record "$results" "$@" --pids "$(join "${kvd_pids[@]}")"
}
measure() { # part, step, operation, kvbench arguments; goes on after a run in which nothing succeeded
  local part=$1 step=$2 operation=$3
  shift 3
  { on_kvd kvd --seconds "$seconds" "$@" || true; } | record "$part" "$step" "$operation"
}
fresh_cluster() { # part
  stop_kvd
  data=$top/$1
  rm -rf "$data"
  start_three_kvd
}
load_to() { # keys; goes on behind those that are there, and tells how far it is
  local from now=$SECONDS next
  from=$(cat "$data/loaded" 2>/dev/null || echo 0)
  local first=$from
  while [ "$from" -lt "$1" ]; do
    next=$((from + 1000000 < $1 ? from + 1000000 : $1))
    on_kvd kvd-pipeline --workload load --first-key "$from" --keys "$next" --in-flight 1000 >/dev/null
    from=$next
    echo "$from" >"$data/loaded"
    echo "  loaded $from of $1 keys, $(((from - first) / (SECONDS - now + 1))) keys/s, $(du -sm "$data" | cut -f1) MiB on disk"
  done
}

grow_keys() {
  data=$top
  kvd_pids=()
  start_three_kvd
  local n op
  for n in ${keys//,/ }; do
    if [ "$n" -lt "$(cat "$data/loaded" 2>/dev/null || echo 0)" ]; then
      echo "  $n keys: skipped, there are more already"
      continue
    fi
    load_to "$n"
    await 300 settled
    # What is measured is not the first look at each file.
    on_kvd kvd --workload get --keys "$n" --in-flight 64 --seconds "$seconds" >/dev/null
    for op in get put scan ycsb-c; do
      measure keys "$n" $op --workload $op --keys "$n" --in-flight 64
    done
  done
  stop_kvd
}
grow_values() {
  fresh_cluster values
  local size n op in_flight
  for size in ${values//,/ }; do
    n=$((67108864 / size)) n=$((n > 100000 ? 100000 : n))
    # Of large values fewer: 64 MiB that are not committed is what a leader takes at most.
    in_flight=$((16777216 / size)) in_flight=$((in_flight > 64 ? 64 : in_flight))
    on_kvd kvd-pipeline --workload load --keys $n --value-bytes "$size" --in-flight $in_flight >/dev/null
    for op in get put; do
      measure values "$size" $op --workload $op --keys $n --value-bytes "$size" --in-flight $in_flight
    done
  done
  stop_kvd
  rm -rf "$data"
}
grow_clients() {
  fresh_cluster clients
  on_kvd kvd-pipeline --workload load --in-flight 256 >/dev/null
  local n op
  for n in ${clients//,/ }; do
    for op in get put; do
      measure clients "$n" "$op, 64 in flight" --workload $op --connections "$n" --in-flight 64
      measure clients "$n" "$op, one each" --workload $op --connections "$n" --in-flight "$n"
    done
  done
  stop_kvd
  rm -rf "$data"
}

answers() { "$bin/kvctl" --connect "127.0.0.1:$(kvd_port 1)" --timeout-ms 1000 get bench/000000000001; }
restart_once() { # keys in the data, MiB of log behind the last flush
  stop_kvd
  data=$top/restart-$1
  mkdir -p "$data"
  kvd_flags=(--log-keep-mb 1)
  start_kvd 1
  await 60 answers_or_empty
  load_to "$1"
  # Stopping flushes; then nothing is flushed until so much is in the log.
  stop_kvd
  kvd_flags=(--log-keep-mb 1 --write-buffer-mb 1024)
  start_kvd 1
  await 60 answers
  local n=$(($2 * 1048576 / 330))
  on_kvd kvd-pipeline --workload put --keys "$1" --operations $n --in-flight 256 >/dev/null
  # Nothing is flushed by a start, so that the same log is there again after the next kill.
  local began try
  for try in 1 2 3; do
    stop_kvd KILL
    began=$(date +%s%N)
    start_kvd 1
    until answers >/dev/null 2>&1; do sleep 0.02; done
    python3 tests/bench/growth_table.py restart "$results" "$1" "$2" $((($(date +%s%N) - began) / 1000000)) \
      "$(du -sm "$data/kvd1/raft" | cut -f1)" "${kvd_pids[1]}"
  done
  stop_kvd
}
answers_or_empty() { "$bin/kvctl" --connect "127.0.0.1:$(kvd_port 1)" --timeout-ms 1000 status; }
grow_restart() {
  local size few=${restart_keys%%,*} many=${restart_keys##*,} middle
  middle=$(tr , '\n' <<<"$log_mib" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }')
  for size in ${log_mib//,/ }; do restart_once "$few" "$size"; done
  [ "$many" = "$few" ] || restart_once "$many" "$middle"
  rm -rf "$top/restart-$few" "$top/restart-$many"
}

for part in ${parts//,/ }; do
  echo "$part"
  case $part in
    keys | values | clients | restart) "grow_$part" ;;
    *) echo "$0: --parts $part is not one of: keys, values, clients, restart" >&2; exit 2 ;;
  esac
done
python3 tests/bench/growth_table.py print "$results"
