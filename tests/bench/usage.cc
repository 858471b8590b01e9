#include "tests/bench/usage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>

namespace kvd::bench {
namespace {

double Ticks() { return static_cast<double>(sysconf(_SC_CLK_TCK)); }

double CpuOf(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (text.empty()) return 0;
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  double ticks = 0;
  for (int i = 3; fields >> field && i <= 15; ++i) {
    if (i >= 14) ticks += std::stod(field);
  }
  return ticks / Ticks();
}

double ResidentOf(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/statm");
  double size = 0, resident = 0;
  in >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// All that was not idle. What another virtual machine stole counts: it was used by others.
double MachineCpu() {
  std::ifstream in("/proc/stat");
  std::string name;
  double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, softirq = 0, stolen = 0;
  in >> name >> user >> nice >> system >> idle >> waiting >> irq >> softirq >> stolen;
  return (user + nice + system + stolen) / Ticks();
}

// Adds one line of a Prometheus page to the counter that it is of, whoever's server tells it.
void AddLine(const std::string& line, Counters* counters) {
  const std::pair<const char*, double*> names[] = {
      {"kvd_log_sync_seconds_count", &counters->syncs},
      {"kvd_raft_entries_applied_total", &counters->entries},
      {"kvd_log_bytes_total", &counters->log_bytes},
      {"kvd_raft_elections_won_total", &counters->elections},
      {"etcd_disk_wal_fsync_duration_seconds_count", &counters->syncs},
      {"etcd_server_proposals_applied_total", &counters->entries},
      {"etcd_disk_wal_write_bytes_total", &counters->log_bytes},
      {"etcd_server_leader_changes_seen_total", &counters->elections},
  };
  size_t end = line.find_first_of(" {");
  size_t value = line.rfind(' ');
  if (end == std::string::npos || value == std::string::npos) return;
  for (const auto& [name, sum] : names) {
    if (line.compare(0, end, name) == 0) *sum += std::strtod(line.c_str() + value, nullptr);
  }
}

}  // namespace

Usage Measure(const Servers& servers) {
  Usage usage;
  rusage own;
  getrusage(RUSAGE_SELF, &own);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  usage.client_cpu = seconds(own.ru_utime) + seconds(own.ru_stime);
  usage.machine_cpu = MachineCpu();
  for (int pid : servers.pids) {
    usage.server_cpu += CpuOf(pid);
    usage.server_bytes += ResidentOf(pid);
  }
  return usage;
}

Counters CountersOf(const Servers& servers) {
  Counters counters;
  for (const std::string& url : servers.metrics) {
    std::unique_ptr<FILE, int (*)(FILE*)> pipe(
        popen(("curl -s --max-time 5 '" + url + "'").c_str(), "r"), pclose);
    std::array<char, 4096> line;
    while (pipe != nullptr && fgets(line.data(), line.size(), pipe.get()) != nullptr) {
      AddLine(line.data(), &counters);
    }
  }
  return counters;
}

}  // namespace kvd::bench
