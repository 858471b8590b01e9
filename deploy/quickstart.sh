#!/usr/bin/env bash
# From a bare Debian 12 to a running three-store cluster with real data in it: installs what is
# missing, builds a release, starts a kvd on loopback, joins two more, loads data, splits it into
# shards that spread, verifies every byte, kills a leader, shows that reads and writes go on, and
# leaves the cluster running.
#
#   deploy/quickstart.sh         all of the above; can be run again
#   deploy/quickstart.sh stop    stops the cluster and keeps its data
#   deploy/quickstart.sh clean   stops the cluster and deletes its data
set -euo pipefail
cd "$(dirname "$0")/.."
home=$PWD/.quickstart
bin=$PWD/.build/release/bin
ports=(7480 7490 7500)

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }
kvctl() { "$bin/kvctl" --connect 127.0.0.1:7480,127.0.0.1:7490,127.0.0.1:7500 "$@"; }

running() { # store number: whether its process lives and is ours
  local pid
  pid=$(cat "$home/store-$1.pid" 2>/dev/null) && [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$bin/kvd" ]
}

start_store() {
  local n=$1 port=${ports[$(($1 - 1))]}
  local join=()
  [ "$n" = 1 ] || join=(--join "127.0.0.1:${ports[0]},127.0.0.1:${ports[1]},127.0.0.1:${ports[2]}")
  # With four cores each there are as many data groups as stores, whatever the machine has.
  nohup "$bin/kvd" --listen "127.0.0.1:$port" --data-dir "$home/store-$n" --cores 4 "${join[@]}" \
    >>"$home/store-$n.log" 2>&1 </dev/null &
  echo $! >"$home/store-$n.pid"
  disown # its end, when it is killed below, is told by this script
  for _ in $(seq 200); do
    running "$n" || { tail -n 3 "$home/store-$n.log" >&2; fail "store $n did not start"; }
    curl -s -o /dev/null "http://127.0.0.1:$((port + 1))/metrics" && return 0
    sleep 0.05
  done
  fail "store $n does not answer; see $home/store-$n.log"
}

stop_all() {
  local n
  for n in 1 2 3; do running "$n" && kill "$(cat "$home/store-$n.pid")" || true; done
  for _ in $(seq 100); do
    running 1 || running 2 || running 3 || return 0
    sleep 0.1
  done
  fail "a store did not stop within 10 s"
}

await() { # seconds, what, command ...: until the command succeeds
  local limit=$1 what=$2 i
  shift 2
  for ((i = 0; i < limit * 10; ++i)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
  fail "$what within $limit s"
}

# The controller and three data groups, of three replicas each, and nothing under way.
grown() {
  [ "$(kvctl group list | awk '$2 == "serving" && $3 ~ /^[0-9],[0-9],[0-9]$/' | wc -l)" = 4 ] && idle
}
idle() { [ "$(kvctl op list | wc -l)" = 2 ]; }
spread() { [ "$(kvctl shard list | awk 'NR > 2 { print $5 }' | sort -u | wc -l)" = 3 ] && idle; }
# The cluster splits and moves what was loaded by itself: a shard that it is at can't be split until it is done.
split_at() { kvctl shard list | awk '{ print $2 }' | grep -qxF "$1" || kvctl shard split "$1"; }
caught_up() { [ "$(kvctl status | awk '$3 == "up" && $6 < 100' | wc -l)" = 3 ]; }
leader() { kvctl member list | awk '$6 == "leader" { print $1 }'; }

case "${1:-}" in
  "") ;;
  stop) stop_all; echo "Stopped. Data is kept in $home."; exit 0 ;;
  clean) stop_all; rm -rf "$home"; echo "Stopped, and $home deleted."; exit 0 ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

say "Installing what is missing"
deploy/install-packages.sh build
echo "All packages are there."

say "Building a release"
cmake --preset release >/dev/null
cmake --build --preset release

say "Starting one store on loopback, data in $home"
mkdir -p "$home"
stop_all
start_store 1
await 60 "the store does not serve" kvctl shard list
kvctl shard list

say "Joining two more: groups grow to three replicas, and there are more of them"
start_store 2
start_store 3
await 60 "the three stores did not form their groups" grown
kvctl store list
kvctl group list

say "Loading the common licences and the words of wamerican, one key each"
licences=0
for file in /usr/share/common-licenses/*; do
  kvctl put "licence/$(basename "$file")" --file "$file" >/dev/null
  licences=$((licences + 1))
done
echo "$licences licences loaded"
awk '{ print "word/" $0 "\t" NR }' /usr/share/dict/words >"$home/words.tsv"
kvctl import --format raw "$home/words.tsv"

say "Splitting the words at three letters: shards spread over the groups while they serve"
for key in word/d word/k word/r; do await 60 "the words could not be split at $key" split_at "$key"; done
await 60 "the shards did not spread" spread
kvctl shard list
kvctl op list --all | tail -5

say "Reading everything back and comparing"
for file in /usr/share/common-licenses/*; do
  kvctl get "licence/$(basename "$file")" | cmp - "$file" || fail "licence $file differs"
done
kvctl export --format raw --prefix word/ "$home/words.out" 2>/dev/null
cmp <(LC_ALL=C sort "$home/words.tsv") <(LC_ALL=C sort "$home/words.out") || fail "the words differ"
echo "Verified: $licences licences, $(wc -l <"$home/words.tsv") words, every byte equal"

victim=$(leader)
say "Killing the leader, store $victim, with SIGKILL"
kill -9 "$(cat "$home/store-$victim.pid")"
start=$(date +%s%N)
kvctl put quickstart/after-kill "written without store $victim" >/dev/null
echo "A write was acknowledged $((($(date +%s%N) - start) / 1000000)) ms after the kill"
echo "A read gives: $(kvctl get quickstart/after-kill)"
[ "$(kvctl get word/zebra)" = "$(awk -F '\t' '$1 == "word/zebra" { print $2 }' "$home/words.tsv")" ] ||
  fail "the old data is not there"
echo "The data loaded before is there. Store $(leader) leads now."

say "Starting store $victim again"
start_store "$victim"
await 60 "store $victim did not catch up" caught_up
kvctl status

say "The cluster is running"
echo "Talk to it:  $bin/kvctl get word/zebra      (or: $bin/kvctl shell, $bin/kvctl --help)"
echo "Stop it:     deploy/quickstart.sh stop"
