#!/usr/bin/env python3
"""Measures what kvd is held against beside etcd, and prints it as kvbench does, as JSON.

    limits.py redis PORT PID SECONDS    puts of 256 B over 100,000 keys, 64 in flight, by redis-benchmark
    limits.py rocksdb MICRO SECONDS     seek + 100 rows in one process, one thread
"""
import json
import os
import resource
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")


def machine_cpu():
    with open("/proc/stat") as stat:
        return sum(int(x) for x in stat.readline().split()[1:4]) / TICK


def process_cpu(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(command, pid=None):
    """Runs it; its output, and what it, the server and everybody else have used."""
    before = machine_cpu(), children_cpu(), process_cpu(pid) if pid else 0, time.monotonic()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = time.monotonic() - before[3]
    client, server = children_cpu() - before[1], process_cpu(pid) - before[2] if pid else 0
    other = machine_cpu() - before[0] - client - server
    return output, {"seconds": seconds, "client_cpu": client, "server_cpu": server,
                    "other_cpu_share": max(0.0, other / (seconds * os.cpu_count()))}


def result(usage, operations, rate, rows, p50, p99, server_bytes):
    return {"operations": operations, "errors": 0, "ops_per_second": rate, "rows_per_second": rate * rows,
            "latency": {"p50_ms": p50, "p99_ms": p99}, "other_cpu_share": usage["other_cpu_share"],
            "client_cpu_us_per_op": usage["client_cpu"] * 1e6 / operations,
            "server_cpu_us_per_op": usage["server_cpu"] * 1e6 / operations, "ops_per_sync": 0, "elections": 0,
            "server_bytes": server_bytes}


def redis(port, pid, seconds):
    # It ends by count: a first, short run tells how many make up the time.
    def run(count):
        return measured(["redis-benchmark", "-p", port, "-c", "64", "-n", str(count), "-r", "100000", "--csv",
                         "SET", "bench/__rand_int__", os.urandom(128).hex()], pid)
    _, usage = run(5000)
    count = max(5000, int(5000 / usage["seconds"] * float(seconds)))
    output, usage = run(count)
    # "test","rps","avg","min","p50","p95","p99","max" under a line of names
    values = [field.strip('"') for field in output.strip().splitlines()[-1].split(",")]
    return result(usage, count, float(values[-7]), 0, float(values[-4]), float(values[-2]), resident(pid))


def rocksdb(micro, seconds):
    output, usage = measured([micro, "--benchmark_filter=^RocksScan100$", "--benchmark_format=json",
                              f"--benchmark_min_time={seconds}"])
    run = json.loads(output[output.index("{"):])["benchmarks"][0]
    micros = run["real_time"] * {"ns": 1e-3, "us": 1}[run["time_unit"]]
    return result(usage, run["iterations"], 1e6 / micros, 100, micros * 1e-3, micros * 1e-3, 0)


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "redis":
        print(json.dumps(redis(*sys.argv[2:])))
    elif len(sys.argv) == 4 and sys.argv[1] == "rocksdb":
        print(json.dumps(rocksdb(*sys.argv[2:])))
    else:
        sys.exit(__doc__)
