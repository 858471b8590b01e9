// What the machine and some processes have used so far, from /proc, and counters from a server's
// Prometheus page.
#pragma once

#include <string>
#include <vector>

namespace kvd::bench {

struct Usage {
  double client_cpu = 0;  // seconds, user and system
  double server_cpu = 0;
  double machine_cpu = 0;   // whoever used it
  double server_bytes = 0;  // resident
};

struct Servers {
  std::vector<int> pids;
  std::vector<std::string> metrics;  // http://host:port/metrics
};

// Cheap, for the thread that makes the load.
Usage Measure(const Servers& servers);

// Sums over all servers since they started.
struct Counters {
  double syncs = 0;      // of the log
  double entries = 0;    // of the log, applied
  double log_bytes = 0;  // written
  double elections = 0;  // won; of etcd changes of the leader, seen by each member
};

// Asks the servers' pages; takes tens of milliseconds. What can't be had counts nothing.
Counters CountersOf(const Servers& servers);

}  // namespace kvd::bench
