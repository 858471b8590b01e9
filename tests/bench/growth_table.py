#!/usr/bin/env python3
"""Keeps the results of growth.sh and scale.sh and prints them as tables.

    growth_table.py record FILE PART STEP OPERATION --pids PID,...   kvbench's JSON on standard input
    growth_table.py restart FILE KEYS LOG_MIB MILLISECONDS LOG_ON_DISK_MIB PID
    growth_table.py idle FILE GROUPS SECONDS PID,...   measures what the stores use by themselves
    growth_table.py keep FILE PART                      any JSON object on standard input: moves, replicate
    growth_table.py print FILE
"""
import json
import os
import statistics
import sys
import time

FLAT = 1.2


def bound_mib(result):
    """Of one store at its defaults under this load: server/README.md, "Memory"."""
    under_way = result["in_flight"] * result["value_bytes_max"] / 1048576
    return 256 + 32 + 3 * 16 + 3 * 8 + 8 + 60 + max(40, 5 * under_way)


def peak_mib(pids):
    """The most that any of them has held since the last time; begins anew."""
    most = 0
    for pid in pids.split(","):
        with open(f"/proc/{pid}/status") as status:
            most = max(most, *(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
        with open(f"/proc/{pid}/clear_refs", "w") as refs:
            refs.write("5")
    return most / 1024


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def keep(file, entry):
    with open(file, "a") as out:
        out.write(json.dumps(entry) + "\n")


def record(file, part, step, operation, pids):
    result = json.load(sys.stdin)
    entry = {"part": part, "step": int(step), "operation": operation, "peak_mib": peak_mib(pids), **result}
    keep(file, entry)
    print("  " + line(entry, None), flush=True)


def line(r, first):
    """`first`: of the same operation at the first step."""
    cpu = r["server_cpu_us_per_op"]
    beside = f"{cpu / first['server_cpu_us_per_op']:6.2f}x" if first else " " * 7
    notes = f"  ERRORS {r['errors']}" if r["errors"] else ""
    notes += f"  ELECTIONS {r['elections']:.0f}" if r["elections"] else ""
    notes += "  MEMORY OVER ITS BOUND" if r["peak_mib"] > bound_mib(r) else ""
    return (f"{r['step']:>10} {r['operation']:18} {cpu:8.1f} us {beside} {r['client_cpu_us_per_op']:8.1f} us"
            f" {r['ops_per_second']:9.0f} {r['latency']['p50_ms']:8.2f} {r['latency']['p99_ms']:8.2f}"
            f" {r['peak_mib']:6.0f} {bound_mib(r):6.0f} {100 * r['other_cpu_share']:4.0f} %{notes}")


def show_part(results, part):
    mine = [r for r in results if r["part"] == part]
    if not mine:
        return
    print(f"\n{part.upper():>10} {'OPERATION':18} {'SERVERS':>11} {'':7} {'CLIENT':>11} {'OPS/S':>9} {'P50 MS':>8} {'P99 MS':>8} {'MIB':>6} {'BOUND':>6} {'OTHER':>6}")
    for operation in dict.fromkeys(r["operation"] for r in mine):
        steps = [r for r in mine if r["operation"] == operation]
        for r in steps:
            print(line(r, steps[0]))
        costs = [r["server_cpu_us_per_op"] for r in steps]
        if part in ("keys", "groups", "shards") and len(costs) > 1:
            flat = max(costs) <= FLAT * costs[0]
            print(f"{'':10} {operation}: {'flat' if flat else 'NOT flat'} within {FLAT - 1:.0%} of the fewest {part}")
    print("MIB: most of any store. BOUND: what the flags and the load bound it to. OTHER: of the machine, used by neither side.")


def show_restarts(results):
    mine = [r for r in results if r["part"] == "restart"]
    if not mine:
        return
    print(f"\n{'KEYS':>10} {'UNFLUSHED LOG':>14} {'ON DISK':>9} {'SERVES AFTER':>13} {'CPU':>8}")
    for keys, log in dict.fromkeys((r["keys"], r["log_mib"]) for r in mine):
        runs = [r for r in mine if (r["keys"], r["log_mib"]) == (keys, log)]
        ms, cpu, disk = (statistics.median(r[name] for r in runs) for name in ("ms", "cpu_seconds", "log_disk_mib"))
        print(f"{keys:>10} {log:>10} MiB {disk:>5} MiB {ms / 1000:>11.2f} s {cpu:>6.2f} s")


def idle(file, groups, seconds, pids):
    before = [cpu_seconds(pid) for pid in pids.split(",")]
    time.sleep(float(seconds))
    used = [cpu_seconds(pid) - b for pid, b in zip(pids.split(","), before)]
    keep(file, {"part": "idle", "groups": int(groups), "seconds": float(seconds), "cores": [u / float(seconds) for u in used]})


def show_idle(results):
    mine = [r for r in results if r["part"] == "idle"]
    if mine:
        print(f"\n{'GROUPS':>10} {'A STORE USES IDLE':>18}")
    for r in mine:
        print(f"{r['groups']:>10} {100 * max(r['cores']):10.2f} % of a core, the busiest of {len(r['cores'])}, in {r['seconds']:.0f} s")


def times(name, r):
    return (f"{name:36} {r['count']:>9} {r['p50_ms']:>9.2f} {r['p99_ms']:>9.2f} {r['p999_ms']:>9.2f} {r['max_ms']:>9.2f}")


def show_moves(results):
    for r in (r for r in results if r["part"] == "moves"):
        print(f"\n{r['moves']} moves of shards of {r['shard_mib']:.0f} MiB, one at a time; {r['errors']} errors;"
              f" others used {100 * r['other_cpu_share']:.0f} % of the machine")
        print(f"{'MS':36} {'COUNT':>9} {'P50':>9} {'P99':>9} {'P99.9':>9} {'MAX':>9}")
        for name, key in (("operations, moving shards, in moves", "moved_during"), ("  between moves", "moved_between"),
                          ("operations, other shards, in moves", "others_during"), ("  between moves", "others_between"),
                          ("longest pause of a moved key, a move", "pause_of_a_moved_key"),
                          ("  of any other key, a move", "pause_of_any_other_key"), ("a move, begun to done", "move_seconds")):
            print(times(name, r[key]))
        for phase in ("running", "forward", "published"):
            print(times(f"  of it {phase}", r["phases"][phase]))


def show_replicate(results):
    for r in (r for r in results if r["part"] == "replicate"):
        mib = r["bytes"] / 2**20
        print(f"\nA store with {r['rows_mib']} MiB of values, {mib:.0f} MiB on disk, made anew: {r['seconds']:.1f} s,"
              f" {r['rows_mib'] / r['seconds']:.1f} MiB/s of values, {mib / r['seconds']:.1f} MiB/s of disk")


def show(file):
    results = [json.loads(text) for text in open(file)]
    for part in ("keys", "values", "clients", "groups", "shards"):
        show_part(results, part)
    for what in (show_restarts, show_idle, show_moves, show_replicate):
        what(results)


if __name__ == "__main__":
    if len(sys.argv) == 8 and sys.argv[1] == "record" and sys.argv[6] == "--pids":
        record(*sys.argv[2:6], sys.argv[7])
    elif len(sys.argv) == 8 and sys.argv[1] == "restart":
        keys, log, ms, disk, pid = map(int, sys.argv[3:])
        cpu = cpu_seconds(pid)
        keep(sys.argv[2], {"part": "restart", "keys": keys, "log_mib": log, "ms": ms, "log_disk_mib": disk, "cpu_seconds": cpu})
        print(f"  {keys} keys, {log} MiB of log: serves after {ms / 1000:.2f} s, {cpu:.2f} s of CPU time", flush=True)
    elif len(sys.argv) == 6 and sys.argv[1] == "idle":
        idle(*sys.argv[2:])
    elif len(sys.argv) == 4 and sys.argv[1] == "keep":
        keep(sys.argv[2], {"part": sys.argv[3], **json.load(sys.stdin)})
    elif len(sys.argv) == 3 and sys.argv[1] == "print":
        show(sys.argv[2])
    else:
        sys.exit(__doc__)
