// kvbench: puts load on a kvd or etcd cluster and tells rate, latency, CPU and syncs: README.md.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "tests/bench/report.h"

namespace {

// kvd's pages are made once a second.
constexpr auto kPageAge = std::chrono::milliseconds(1100);

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "kvbench: %s\n", std::string(status.message()).c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  kvd::bench::Options options;
  CLI::App app("Puts load on a kvd or etcd cluster and measures.");
  kvd::bench::AddFlags(app, &options);
  CLI11_PARSE(app, argc, argv);
  absl::Status complete = kvd::bench::Complete(app, &options);
  if (!complete.ok()) return Fail(complete);
  auto workload = kvd::bench::Workload::Make(options.workload);
  if (!workload.ok()) return Fail(workload.status());
  auto target = kvd::bench::MakeTarget(options.target);
  if (!target.ok()) return Fail(target.status());

  kvd::bench::Generator generator(target->get(), *std::move(workload), options.load);
  kvd::bench::Readings readings;
  generator.on_measure = [&] { readings.usage_before = Measure(options.servers); };
  generator.on_end = [&] { readings.usage_after = Measure(options.servers); };
  readings.counters_before = CountersOf(options.servers);
  kvd::bench::LoadResult result = generator.Run();
  if (!options.servers.metrics.empty()) std::this_thread::sleep_for(kPageAge);
  readings.counters_after = CountersOf(options.servers);

  std::string json = JsonReport(options, result, readings);
  std::fputs(options.json ? (json + "\n").c_str() : kvd::bench::TextReport(json).c_str(), stdout);
  std::fflush(stdout);
  int code = result.operations > 0 ? 0 : 1;
  // Calls that never ended would be waited for.
  if (result.unfinished > 0) _exit(code);
  return code;
}
