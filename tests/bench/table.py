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
    ("YCSB-D, 64", "YCSB-D, 64, ops/s", "ops_per_second", False, None, None),
    ("YCSB-E, 64", "YCSB-E, 64, ops/s", "ops_per_second", False, None, None),
    ("YCSB-F, 64", "YCSB-F, 64, ops/s", "ops_per_second", False, None, None),
    ("put, 64", "server CPU-us per put, 64", "server_cpu_us_per_op", True, 0.5, 0.25),
    ("get, 64", "server CPU-us per get, 64", "server_cpu_us_per_op", True, 0.4, 0.2),
    ("leader killed", "longest gap without a write, s", "longest_gap_seconds", True, 0.7, 0.3),
    ("get, 64", "memory of the three, MiB", "server_bytes", True, 0.7, 0.4),
    ("scan 100 rows, 8", "scan of 100 rows, 8, rows/s", "rows_per_second", False, None, None),
    ("Pipeline put, 256", "Pipeline put, 256 / etcd put", "ops_per_second", False, 5, 10),
    ("Pipeline get, 256", "Pipeline get, 256 / etcd get", "ops_per_second", False, 6, 15),
    ("redis put, 64", "put, 64 / one Redis, fsync always", "ops_per_second", False, 0.5, 1),
    ("rocksdb scan, 8", "scan rows/s / RocksDB's iterator", "rows_per_second", False, 0.2, 0.5),
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
    # Of a leader that was killed the gap counts, and the others idle meanwhile.
    killed = cell == "leader killed"
    if killed:
        result["server_cpu_us_per_op"] = 0  # its process has taken its times along
    with open(file, "a") as out:
        out.write(json.dumps({"cell": cell, "side": side, "discard": busy and not killed, **result}) + "\n")
    notes = "  (again: others were busy)" if busy and not killed else ""
    notes += f"  ERRORS {result['errors']}" if result["errors"] else ""
    notes += f"  ELECTIONS {result['elections']:.0f}" if result["elections"] > 0 else ""
    print(f"  {cell:20} {side:5} {result['ops_per_second']:9.0f} ops/s  p50 {result['latency']['p50_ms']:7.2f}"
          f"  p99 {result['latency']['p99_ms']:7.2f} ms  server {result['server_cpu_us_per_op']:6.0f} us/op"
          f"  {result['ops_per_sync']:5.1f} ops/sync  other {100 * result['other_cpu_share']:3.0f} %{notes}",
          flush=True)
    return 1 if busy and not killed else 0


def values_of(results, cell, side, path):
    """Of the quiet results; of all, and said so, if there was none."""
    mine = [r for r in results if r["cell"] == cell and r["side"] == side]
    quiet = [r for r in mine if not r["discard"]]
    return [read(r, path) for r in quiet or mine], bool(mine) and not quiet


def verdict(ratio, lower, bar):
    if bar is None:
        return ""
    return f"{bar:g} {'yes' if (ratio <= bar if lower else ratio >= bar) else 'NO'}"


def row(results, cell, what, path, lower, first, goal):
    beside = "limit" if any(r["cell"] == cell and r["side"] == "limit" for r in results) else "etcd"
    kvd, kvd_busy = values_of(results, cell, "kvd", path)
    peer, peer_busy = values_of(results, cell, beside, path)
    if not kvd or not peer:
        return None
    cells = []
    for values in (kvd, peer):
        median = statistics.median(values)
        cells += [median, 100 * (max(values) - min(values)) / median if median else 0]
    ratio = cells[0] / cells[2] if cells[2] else float("nan")
    return (f"{what:34} {cells[0]:10.2f} {cells[1]:5.0f} % {cells[2]:10.2f} {cells[3]:5.0f} % {ratio:6.2f}"
            f" {verdict(ratio, lower, first):>9} {verdict(ratio, lower, goal):>9}"
            f" {len(kvd)}/{len(peer)}{'  busy' if kvd_busy or peer_busy else ''}")


def elections(results, side):
    """Without a fault: in every run, busy or not, but those whose leader was killed."""
    runs = [r for r in results if r["side"] == side and r["cell"] != "leader killed"]
    return sum(r["elections"] for r in runs), len(runs)


def show(file):
    results = [json.loads(line) for line in open(file)]
    print(f"\n{'CELL':34} {'KVD':>10} {'SPREAD':>7} {'PEER':>10} {'SPREAD':>7} {'RATIO':>6} {'FIRST':>9} {'GOAL':>9} RUNS")
    for line in (row(results, *one) for one in ROWS):
        if line:
            print(line)
    print("RATIO is kvd / peer, of medians. FIRST and GOAL: the bar and whether it is reached. SPREAD: from least")
    print("to most. busy: others used more than a tenth of the machine in every run of a side.")
    mine, runs = elections(results, "kvd")
    peers = "etcd {:.0f} in {} runs".format(*elections(results, "etcd"))
    print(f"Elections under load without a fault: kvd {mine:.0f} in {runs} runs; {peers}. Bar: 0"
          f" {'yes' if mine == 0 else 'NO'}")


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "record":
        sys.exit(record(*sys.argv[2:]))
    if len(sys.argv) == 3 and sys.argv[1] == "print":
        sys.exit(show(sys.argv[2]))
    sys.exit(__doc__)
