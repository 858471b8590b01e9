#!/usr/bin/env bash
# Every part of scale.sh for a moment each: they run to their end, count what they did, and meet no error. How
# fast does not matter.
#
#   scale_test.sh BUILD_DIRECTORY SOURCE_DIRECTORY
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$0: $*" >&2; exit 1; }

"$2/tests/bench/scale.sh" --build "$1" --port-base 23300 --out "$work/scale" --seconds 1 --keys 2000 --groups 2 \
  --shards 1,10 --moves 4 --move-mib 1 --replicate-mib 8 >"$work/scale.txt" || fail "scale.sh: exit code $?"
python3 - "$work/scale/results" <<'PY' || fail "scale.sh: $(cat "$work/scale.txt")"
import json, sys
parts = {}
for r in map(json.loads, open(sys.argv[1])):
    parts.setdefault(r["part"], []).append(r)
steps = {(p, r["step"], r["operation"]) for p in ("groups", "shards") for r in parts[p]}
assert steps == {("groups", 2, op) for op in ("get", "put")} | {
    ("shards", n, op) for n in (1, 10) for op in ("get", "put", "scan")}, steps
assert all(r["errors"] == 0 and r["server_cpu_us_per_op"] > 0 for p in ("groups", "shards") for r in parts[p])
moves, = parts["moves"]
assert moves["errors"] == 0 and moves["move_seconds"]["count"] == 4, moves
assert moves["pause_of_a_moved_key"]["count"] == 4 and moves["pause_of_a_moved_key"]["max_ms"] > 0, moves
assert moves["moved_during"]["count"] > 0 and moves["others_during"]["count"] > 0, moves
again, = parts["replicate"]
assert again["bytes"] > 0 and again["seconds"] > 0, again
assert len(parts["idle"][0]["cores"]) == 3
PY
echo "$0: passed"
