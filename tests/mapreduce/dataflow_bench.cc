// What the data path costs without a store under it: the jobs of the benchmark over data in memory.
//
//   dataflow_bench [--scale=1] [--threads=2] [--memory-mb=48] [--only=JOB] [--directory=/tmp]
//
// Prints of each job its seconds, CPU seconds, and by how much its peak resident memory was above
// what the process had before it.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "mapreduce/functions/registry.h"
#include "tests/mapreduce/bench_data.h"
#include "tests/mapreduce/local_job.h"

namespace kvd::mapreduce {
namespace {

struct Settings {
  double scale = 1;
  int threads = 2;
  uint64_t memory_mb = 48;
  std::string only;
  std::string directory = "/tmp";
};

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// A line of /proc/self/status, in MB.
double StatusMb(const std::string& field) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(field + ":", 0) == 0) return std::stod(line.substr(field.size() + 1)) / 1024;
  }
  return 0;
}

// Makes VmHWM begin anew.
void ForgetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

struct Job {
  const char* name;
  const char* map;
  Parameters parameters;
  std::optional<AggregatorSpec> aggregator;
  bool total_order = false;
};

int Run(const Settings& settings, const Job& job, const BenchData& data) {
  if (!settings.only.empty() && settings.only != job.name) return 0;
  LocalJob local;
  local.directory = settings.directory + "/dataflow-bench";
  std::filesystem::create_directories(local.directory);
  local.map = [&job] { return *MakeMap(job.map, job.parameters); };
  local.aggregator = job.aggregator;
  local.total_order = job.total_order;
  local.threads = settings.threads;
  local.memory_bytes = settings.memory_mb << 20;
  auto slices = data.Slices(64 << 20);
  ForgetPeak();
  double before_mb = StatusMb("VmRSS");
  double before_cpu = CpuSeconds();
  auto begin = std::chrono::steady_clock::now();
  auto result = RunLocally(local, slices);
  std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
  double cpu = CpuSeconds() - before_cpu;
  if (!result.ok()) {
    std::fprintf(stderr, "%s: %s\n", job.name, result.status().ToString().c_str());
    return 1;
  }
  uint64_t records = 0;
  uint64_t bytes = 0;
  for (const ReduceTaskResult& output : result->outputs) {
    records += output.info.records;
    bytes += output.info.bytes;
  }
  std::printf("%-22s %6.2f s %6.2f CPU s %7.1f MB  %zu slices, %zu runs, %lu pairs, %.1f MB out\n",
              job.name, wall.count(), cpu, StatusMb("VmHWM") - before_mb, slices.size(),
              result->runs, static_cast<unsigned long>(records), static_cast<double>(bytes) / 1e6);
  std::fflush(stdout);
  std::filesystem::remove_all(local.directory);
  return 0;
}

int RunAll(const Settings& settings, const char* what, const std::vector<Job>& jobs,
           const std::function<BenchData()>& make) {
  bool wanted = std::any_of(jobs.begin(), jobs.end(), [&settings](const Job& job) {
    return settings.only.empty() || settings.only == job.name;
  });
  if (!wanted) return 0;
  BenchData data = make();
  std::printf("%s: %.1f MB in %lu records\n", what, static_cast<double>(data.bytes) / 1e6,
              static_cast<unsigned long>(data.records));
  int failed = 0;
  for (const Job& job : jobs) failed |= Run(settings, job, data);
  return failed;
}

int Main(const Settings& settings) {
  constexpr AggregatorSpec kSum{AggregatorKind::kSum};
  std::string rare = WordOf(400'000);
  std::string regex = rare.substr(0, 4) + "[a-z]+" + rare.substr(5, 2);
  std::vector<Job> of_text = {{"word-count", "words", {}, kSum},
                              {"word-count-lower", "words", {{"lower", "true"}}, kSum},
                              {"grep-rare", "grep", {{"pattern", rare}}},
                              {"grep-rare-regex", "grep", {{"pattern", regex}}}};
  Parameters by_group = {{"key", "1"}, {"value", "2"}};
  std::vector<Job> of_rows = {{"group-by-sum", "fields", by_group, kSum},
                              {"sort-by-value", "invert", {}, {}, true}};
  double scale = settings.scale;
  return RunAll(settings, "text", of_text,
                [scale] { return MakeText(static_cast<uint64_t>(200e6 * scale)); }) |
         RunAll(settings, "rows", of_rows, [scale] {
           return MakeRows(static_cast<uint64_t>(10e6 * scale), static_cast<uint32_t>(1e6 * scale));
         });
}

}  // namespace
}  // namespace kvd::mapreduce

int main(int argc, char** argv) {
  kvd::mapreduce::Settings settings;
  CLI::App app("the MapReduce data path over data in memory");
  app.add_option("--scale", settings.scale, "part of the data: 1 is 200 MB of text and 10 M rows");
  app.add_option("--threads", settings.threads);
  app.add_option("--memory-mb", settings.memory_mb, "memory of one task");
  app.add_option("--only", settings.only, "only the job of that name");
  app.add_option("--directory", settings.directory, "where the shuffle's files are put");
  CLI11_PARSE(app, argc, argv);
  return kvd::mapreduce::Main(settings);
}
