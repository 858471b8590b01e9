// What the machine and some processes have used so far, from /proc, and counters from a server's
// Prometheus page.
#pragma once

#include <string>
#include <vector>

namespace kvd::bench {

struct Usage {
  double client_cpu = 0;    // seconds, user and system
  double server_cpu = 0;
  double machine_cpu = 0;   // whoever used it
  double syncs = 0;         // of the servers' logs
  double server_bytes = 0;  // resident
};

struct Servers {
  std::vector<int> pids;
  std::vector<std::string> metrics;  // http://host:port/metrics
};

Usage Measure(const Servers& servers);

}  // namespace kvd::bench
