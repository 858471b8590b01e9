#!/usr/bin/env bash
# Runs what takes too long for every change, on what tests/run.sh has built. All steps, or those named; a
# step that fails is named, and the others run on. About three hours on two cores.
#
#   tests/long.sh [seeds] [worlds] [cores] [mutants] [nemesis] [kills] [places] [fuzz] [scale]
#
#   seeds     20,000 seeds of the simulated cluster, with the coverage that they must have
#   worlds    5,000 seeds of clusters that look after themselves
#   cores     100,000 seeds of bare cores
#   mutants   every planted bug is found
#   nemesis   50 minutes of faults on real stores, one a minute
#   kills     1,000 kills of a store under load
#   places    750 places of a stopped store's files damaged, of them 500 flipped bits
#   fuzz      every fuzz target for five minutes
#   scale     the controller of 4,000 stores, 32,000 groups and 4,000,000 shards
set -uo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in --help | -h) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
bin=.build/tests/tests

step_seeds() { $bin/sim/soak --seeds 20000; }
step_worlds() { $bin/sim/world_soak --seeds 5000; }
step_cores() { $bin/raft/core_chaos --seeds 100000; }
step_mutants() { tests/mutants/mutants.py; }
step_nemesis() { $bin/cluster/nemesis --runs 50 --seconds 60; }
step_kills() { $bin/cluster/kill_loop --loops 1000; }
step_places() { $bin/cluster/bit_flips --places 750; }
step_scale() { $bin/shardctrler/scale 4000 32000 4000000; }
step_fuzz() { FUZZ_SECONDS=300 tests/sanitizers.sh fuzz; }

[ $# -gt 0 ] || set -- seeds worlds cores mutants nemesis kills places fuzz scale
failed=()
for step in "$@"; do
  declare -F "step_$step" >/dev/null || { echo "$0: no step $step; see --help" >&2; exit 2; }
  began=$SECONDS
  if "step_$step"; then verdict=passed; else verdict=FAILED; failed+=("$step"); fi
  echo "long: $step $verdict after $((SECONDS - began)) s"
done
[ ${#failed[@]} -eq 0 ] || { echo "long: failed: ${failed[*]}" >&2; exit 1; }
