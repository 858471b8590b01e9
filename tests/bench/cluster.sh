# Three kvd stores on loopback under load, for the scripts beside this one, which source it.
#
# Wants: bin (kvd, kvctl), bench (kvbench), data (a directory), port_base. A store listens on port_base
# + 10 x its number, its pages are five ports on. Gives: kvd_pids, and the functions below.
kvd_pids=()
kvd_flags=()  # added to every store's

kvd_port() { echo $((port_base + 10 * $1)); }
kvd_page() { echo "http://127.0.0.1:$((port_base + 10 * $1 + 5))/metrics"; }
join() { local IFS=,; echo "$*"; }

start_kvd() { # store
  local how=(--join "127.0.0.1:$(kvd_port 1)")
  [ "$1" = 1 ] && how=(--bootstrap)
  [ -d "$data/kvd$1" ] && how=(--join "127.0.0.1:$(kvd_port 2)")
  [ -d "$data/kvd$1" ] && [ "$1" = 1 ] && how=()
  "$bin/kvd" --listen "127.0.0.1:$(kvd_port "$1")" --http-listen "127.0.0.1:$((port_base + 10 * $1 + 5))" \
    --data-dir "$data/kvd$1" "${how[@]}" "${kvd_flags[@]}" >>"$data/kvd$1.log" 2>&1 &
  kvd_pids[$1]=$!
}
await() { # seconds, command...
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "$0: gave up waiting for: $*" >&2; exit 1; }
    sleep 0.2
  done
}
stop_kvd() { # [signal]; all that run, and waits for their end
  [ ${#kvd_pids[@]} -gt 0 ] || return 0
  kill "-${1:-TERM}" "${kvd_pids[@]}" 2>/dev/null || true
  wait "${kvd_pids[@]}" 2>/dev/null || true
  kvd_pids=()
}
three_voters() {
  [ "$("$bin/kvctl" --connect "127.0.0.1:$(kvd_port 1),127.0.0.1:$(kvd_port 2)" member list |
    awk '$4 == "yes"' | wc -l)" = 3 ]
}
start_three_kvd() { # anew, or with the data of before
  mkdir -p "$data"
  local fresh=1 i
  [ -d "$data/kvd1" ] && fresh=0
  start_kvd 1
  [ $fresh = 1 ] && sleep 1
  for i in 2 3; do start_kvd $i; done
  await 60 three_voters
}
kvd_metric() { # store, name
  curl -s "$(kvd_page "$1")" | awk -v n="$2" 'index($0, n) == 1 { print $2 }'
}
kvd_leader() { # waits for one: there may be an election
  local i end=$((SECONDS + 30))
  while [ $SECONDS -lt $end ]; do
    for i in "${!kvd_pids[@]}"; do [ "$(kvd_metric "$i" 'kvd_raft_is_leader{group="2"}')" = 1 ] && { echo "$i"; return; }; done
    sleep 0.2
  done
  echo "$0: the stores have no leader" >&2
  return 1
}
# The leader first: it is the one that is asked.
kvd_addresses() {
  local l i all=()
  l=$(kvd_leader) || return 1
  for i in "$l" "${!kvd_pids[@]}"; do all+=("127.0.0.1:$(kvd_port "$i")"); done
  join "${all[@]}"
}
kvd_pages() { local i all=(); for i in "${!kvd_pids[@]}"; do all+=("$(kvd_page "$i")"); done; join "${all[@]}"; }
on_kvd() { # target, kvbench arguments
  local target=$1; shift
  "$bench" --target "$target" --connect "$(kvd_addresses)" --pids "$(join "${kvd_pids[@]}")" \
    --metrics "$(kvd_pages)" --json "$@"
}
kvd_ctl() { # kvctl's words
  local i all=()
  for i in "${!kvd_pids[@]}"; do all+=("127.0.0.1:$(kvd_port "$i")"); done
  "$bin/kvctl" --connect "$(join "${all[@]}")" "$@"
}
settled() { # nothing left to flush or compact that was not asked for
  local i
  for i in "${!kvd_pids[@]}"; do
    [ "$(kvd_metric "$i" kvd_rocksdb_pending_compaction_bytes)" = 0 ] || return 1
    [ "$(kvd_metric "$i" kvd_rocksdb_running_compactions)" = 0 ] || return 1
  done
}
