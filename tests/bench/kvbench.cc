// kvbench: puts load on a kvd or etcd cluster and tells rate, latency, CPU and syncs. See README.md.
#include <unistd.h>

#include <cstdio>
#include <future>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/synchronization/mutex.h"
#include "tests/bench/generator.h"
#include "tests/bench/usage.h"

namespace {

using kvd::bench::Histogram;

nlohmann::json Latency(const Histogram& h) {
  nlohmann::json out;
  out["count"] = h.count();
  out["mean_ms"] = h.mean() * 1e-6;
  for (auto [name, q] : {std::pair("p50_ms", 0.5), {"p90_ms", 0.9}, {"p99_ms", 0.99}, {"p999_ms", 0.999}}) {
    out[name] = static_cast<double>(h.At(q)) * 1e-6;
  }
  out["max_ms"] = static_cast<double>(h.max()) * 1e-6;
  return out;
}

void Print(const nlohmann::json& r) {
  std::printf("%s %s: %.0f ops/s, p50 %.2f ms, p99 %.2f ms, max %.1f ms, %lu errors\n",
              r["target"].get<std::string>().c_str(), r["workload"].get<std::string>().c_str(),
              r["ops_per_second"].get<double>(), r["latency"]["p50_ms"].get<double>(),
              r["latency"]["p99_ms"].get<double>(), r["latency"]["max_ms"].get<double>(),
              r["errors"].get<uint64_t>());
  std::printf("  CPU-us per op: client %.1f, servers %.1f; other %.0f %% of the machine; longest gap %.0f ms",
              r["client_cpu_us_per_op"].get<double>(), r["server_cpu_us_per_op"].get<double>(),
              100 * r["other_cpu_share"].get<double>(), 1000 * r["longest_gap_seconds"].get<double>());
  if (r["syncs_per_second"].get<double>() > 0) {
    std::printf("; %.0f syncs/s in all, %.1f ops a sync", r["syncs_per_second"].get<double>(),
                r["ops_per_sync"].get<double>());
  }
  if (r["rows_per_second"].get<double>() > 0) std::printf("; %.0f rows/s", r["rows_per_second"].get<double>());
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  kvd::bench::TargetOptions target;
  kvd::bench::WorkloadOptions workload;
  kvd::bench::LoadOptions load;
  kvd::bench::Servers servers;
  bool json = false;
  uint32_t value_bytes = 0;
  CLI::App app("Puts load on a kvd or etcd cluster and measures.");
  app.add_option("--target", target.kind, "kvd (unary), kvd-pipeline (SDK) or etcd")->capture_default_str();
  app.add_option("--connect", target.addresses, "HOST:PORT, comma-separated; the first is asked")
      ->required()->delimiter(',');
  app.add_flag("--to-all", target.to_all, "Spread connections over all addresses");
  app.add_option("--connections", target.connections, "Connections, for unary calls")
      ->capture_default_str()->check(CLI::Range(1, 10'000));
  app.add_option("--workload", workload.name, "put, get, stale-get, scan, load, ycsb-a to ycsb-f")->capture_default_str();
  app.add_option("--keys", workload.keys, "Keys")->capture_default_str()->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40));
  app.add_option("--value-bytes", value_bytes, "Size of a value [256]")->check(CLI::Range(0, 8 << 20));
  app.add_option("--value-bytes-min", workload.value_bytes_min, "Mixed sizes: the least")->check(CLI::Range(0, 8 << 20));
  app.add_option("--value-bytes-max", workload.value_bytes_max, "Mixed sizes: the most")->check(CLI::Range(0, 8 << 20));
  app.add_flag("--zipfian", workload.zipfian, "Popular keys are asked for more often");
  app.add_option("--scan-rows", workload.scan_rows, "Rows of a scan")->capture_default_str();
  app.add_option("--seed", workload.seed, "Of the keys drawn")->capture_default_str();
  app.add_option("--in-flight", load.in_flight, "Operations under way")->capture_default_str()->check(CLI::Range(1, 100'000));
  app.add_option("--rate", load.rate, "Arrivals a second, whatever the servers do; 0: closed loop")->capture_default_str();
  app.add_option("--warmup", load.warmup_seconds, "Seconds before measuring")->capture_default_str();
  app.add_option("--seconds", load.seconds, "Seconds measured")->capture_default_str();
  app.add_option("--operations", load.operations, "Ends after so many instead");
  app.add_option("--pids", servers.pids, "The servers' processes, for their CPU time")->delimiter(',');
  app.add_option("--metrics", servers.metrics, "The servers' metrics pages, for syncs")->delimiter(',');
  app.add_flag("--json", json, "One JSON object instead of text");
  CLI11_PARSE(app, argc, argv);
  if (app.count("--value-bytes") > 0) workload.value_bytes_min = workload.value_bytes_max = value_bytes;
  if (workload.value_bytes_min > workload.value_bytes_max) {
    std::fprintf(stderr, "kvbench: --value-bytes-min %u is above --value-bytes-max %u\n", workload.value_bytes_min,
                 workload.value_bytes_max);
    return 2;
  }
  if (workload.name == "load" && load.operations == 0) load.operations = workload.keys;
  auto made = kvd::bench::Workload::Make(workload);
  auto opened = kvd::bench::MakeTarget(target);
  for (const absl::Status& status : {made.status(), opened.status()}) {
    if (status.ok()) continue;
    std::fprintf(stderr, "kvbench: %s\n", std::string(status.message()).c_str());
    return 2;
  }
  kvd::bench::Generator generator(opened->get(), *std::move(made), load);
  kvd::bench::Usage before, after;
  // The pages are asked on threads of their own, so that the load does not wait for them.
  std::future<double> syncs_before, syncs_after;
  auto ask = [&] { return std::async(std::launch::async, [&] { return SyncsOf(servers); }); };
  generator.on_measure = [&] {
    before = Measure(servers);
    syncs_before = ask();
  };
  generator.on_end = [&] {
    after = Measure(servers);
    syncs_after = ask();
  };
  kvd::bench::LoadResult result = generator.Run();
  auto operations = static_cast<double>(std::max<uint64_t>(result.operations, 1));
  double client = after.client_cpu - before.client_cpu, server = after.server_cpu - before.server_cpu;
  double syncs = syncs_after.valid() && syncs_before.valid() ? syncs_after.get() - syncs_before.get() : 0;
  nlohmann::json out = {
      {"target", target.kind}, {"workload", workload.name}, {"in_flight", load.in_flight}, {"rate", load.rate},
      {"keys", workload.keys}, {"value_bytes_max", workload.value_bytes_max}, {"seconds", result.seconds},
      {"operations", result.operations}, {"errors", result.errors},
      {"ops_per_second", static_cast<double>(result.operations) / result.seconds},
      {"rows_per_second", static_cast<double>(result.rows) / result.seconds},
      {"longest_gap_seconds", result.longest_gap_seconds}, {"latency", Latency(result.all)},
      {"client_cpu_us_per_op", client * 1e6 / operations}, {"server_cpu_us_per_op", server * 1e6 / operations},
      {"other_cpu_share", std::max(0.0, after.machine_cpu - before.machine_cpu - client - server) /
                              (result.seconds * static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN)))},
      {"syncs_per_second", syncs / result.seconds}, {"ops_per_sync", syncs > 0 ? operations / syncs : 0},
      {"server_bytes", after.server_bytes}};
  for (size_t i = 0; i < result.by_kind.size(); ++i) {
    if (result.by_kind[i].count() == 0) continue;
    out["by_kind"][NameOf(static_cast<kvd::bench::Kind>(i))] = Latency(result.by_kind[i]);
  }
  if (json) {
    std::printf("%s\n", out.dump().c_str());
  } else {
    Print(out);
  }
  return result.operations > 0 ? 0 : 1;
}
