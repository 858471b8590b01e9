#!/usr/bin/env python3
"""Keeps kvbench's results and prints them as ratios.

    table.py record FILE CELL SIDE   one result from standard input; exit code 1 if others used more
                                     than a tenth of the machine meanwhile: measure again
    table.py print FILE
"""
import json
import statistics
import sys

# cell, what, how it is read, whether lower is better, first, goal
ROWS = [
    ("put, 64", "unary put, 64 in flight, ops/s", "ops_per_second", False, 2, 3.5),
    ("put, 256", "unary put, 256, ops/s", "ops_per_second", False, 2, 3.5),
    ("put, 1000", "unary put, 1000, ops/s", "ops_per_second", False, 1.5, 2.5),
    ("put, 1", "put p50, 1 in flight, ms", "latency.p50_ms", True, 0.7, 0.5),
    ("put, 64", "put p99, 64, ms", "latency.p99_ms", True, 0.5, 0.33),
    ("get, 64", "linearizable get, 64, ops/s", "ops_per_second", False, 2, 3),
    ("stale get, 64", "stale get, 64, ops/s", "ops_per_second", False, 1.5, 2.3),
    ("YCSB-A, 64", "YCSB-A, 64, ops/s", "ops_per_second", False, 3, 5),
    ("YCSB-B, 64", "YCSB-B, 64, ops/s", "ops_per_second", False, 4, 8),
    ("YCSB-C, 64", "YCSB-C, 64, ops/s", "ops_per_second", False, None, None),
    ("YCSB-F, 64", "YCSB-F, 64, ops/s", "ops_per_second", False, None, None),
    ("put, 64", "server CPU-us per put, 64", "server_cpu_us_per_op", True, 0.5, 0.25),
    ("get, 64", "server CPU-us per get, 64", "server_cpu_us_per_op", True, 0.4, 0.2),
    ("leader killed", "longest gap without a write, s", "longest_gap_seconds", True, 0.7, 0.3),
    ("get, 64", "memory of the three, MiB", "server_bytes", True, 0.7, 0.4),
    ("scan 100 rows, 8", "scan of 100 rows, 8, rows/s", "rows_per_second", False, None, None),
    ("Pipeline put, 256", "Pipeline put, 256 / etcd put", "ops_per_second", False, 5, 10),
    ("Pipeline get, 256", "Pipeline get, 256 / etcd get", "ops_per_second", False, 6, 15),
]
OTHERS_MAX = 0.10


def read(result, path):
    for part in path.split("."):
        result = result[part]
    return result / 2**20 if path == "server_bytes" else result


def record(file, cell, side):
    text = sys.stdin.read()
    if not text.strip():
        return 1
    result = json.loads(text)
    busy = result["other_cpu_share"] > OTHERS_MAX
    with open(file, "a") as out:
        out.write(json.dumps({"cell": cell, "side": side, "discard": busy, **result}) + "\n")
    print(f"  {cell:20} {side:5} {result['ops_per_second']:9.0f} ops/s  p50 {result['latency']['p50_ms']:7.2f}"
          f"  p99 {result['latency']['p99_ms']:7.2f} ms  server {result['server_cpu_us_per_op']:6.0f} us/op"
          f"  {result['ops_per_sync']:5.1f} ops/sync  other {100 * result['other_cpu_share']:3.0f} %"
          f"{'  (again: others were busy)' if busy else ''}{'  ERRORS ' + str(result['errors']) if result['errors'] else ''}",
          flush=True)
    return 1 if busy else 0


def show(file):
    results = [json.loads(line) for line in open(file)]
    print(f"\n{'CELL':34} {'KVD':>9} {'SPREAD':>7} {'ETCD':>9} {'SPREAD':>7} {'RATIO':>6} {'FIRST':>6} {'GOAL':>6}")
    for cell, what, path, lower, first, goal in ROWS:
        sides = {}
        for side in ("kvd", "etcd"):
            mine = [r for r in results if r["cell"] == cell and r["side"] == side]
            quiet = [r for r in mine if not r["discard"]] or mine
            sides[side] = [read(r, path) for r in quiet]
        if not sides["kvd"] or not sides["etcd"]:
            continue
        median = {side: statistics.median(values) for side, values in sides.items()}
        spread = {side: (max(v) - min(v)) / median[side] if median[side] else 0 for side, v in sides.items()}
        ratio = median["kvd"] / median["etcd"] if median["etcd"] else float("nan")

        def mark(bar):
            if bar is None:
                return ""
            met = ratio <= bar if lower else ratio >= bar
            return f"{bar:g}{'+' if met else '-'}"

        print(f"{what:34} {median['kvd']:9.2f} {100 * spread['kvd']:5.0f} % {median['etcd']:9.2f}"
              f" {100 * spread['etcd']:5.0f} % {ratio:6.2f} {mark(first):>6} {mark(goal):>6}")
    print("RATIO is kvd / etcd; + reached, - not.")


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "record":
        sys.exit(record(*sys.argv[2:]))
    if len(sys.argv) == 3 and sys.argv[1] == "print":
        sys.exit(show(sys.argv[2]))
    sys.exit(__doc__)
