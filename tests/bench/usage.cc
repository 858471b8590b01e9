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

double MachineCpu() {
  std::ifstream in("/proc/stat");
  std::string name;
  double user = 0, nice = 0, system = 0;
  in >> name >> user >> nice >> system;
  return (user + nice + system) / Ticks();
}

// The sum of one counter's lines on a Prometheus page.
double CounterAt(const std::string& url, const std::string& name) {
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(("curl -s " + url).c_str(), "r"), pclose);
  double sum = 0;
  std::array<char, 4096> line;
  while (pipe != nullptr && fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    std::string text(line.data());
    if (text.rfind(name, 0) == 0 && text[name.size()] == ' ') sum += std::stod(text.substr(name.size()));
  }
  return sum;
}

}  // namespace

Usage Measure(const Servers& servers) {
  Usage usage;
  rusage own;
  getrusage(RUSAGE_SELF, &own);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  usage.client_cpu = seconds(own.ru_utime) + seconds(own.ru_stime);
  usage.machine_cpu = MachineCpu();
  for (int pid : servers.pids) {
    usage.server_cpu += CpuOf(pid);
    usage.server_bytes += ResidentOf(pid);
  }
  return usage;
}

double SyncsOf(const Servers& servers) {
  double syncs = 0;
  for (const std::string& url : servers.metrics) {
    syncs += CounterAt(url, "kvd_log_sync_seconds_count") +
             CounterAt(url, "etcd_disk_wal_fsync_duration_seconds_count");
  }
  return syncs;
}

}  // namespace kvd::bench
