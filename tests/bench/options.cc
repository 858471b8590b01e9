#include "tests/bench/options.h"

#include <CLI/CLI.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/limits.h"

namespace kvd::bench {
namespace {

// The constants of the zipfian distribution are a sum over all keys: some seconds at this many.
constexpr uint64_t kZipfianKeysMax = 100'000'000;
constexpr uint64_t kKeysMax = 1'000'000'000'000;  // a key has twelve digits

template <class... Parts>
absl::Status Wrong(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status CheckNumbers(const Options& o) {
  if (!(o.load.rate >= 0)) return Wrong("--rate ", o.load.rate, " is below 0");
  if (!(o.load.warmup_seconds >= 0))
    return Wrong("--warmup ", o.load.warmup_seconds, " is below 0");
  if (!(o.load.seconds > 0)) return Wrong("--seconds ", o.load.seconds, " is not above 0");
  const WorkloadOptions& w = o.workload;
  if (w.value_bytes_min > w.value_bytes_max) {
    return Wrong("--value-bytes-min ", w.value_bytes_min, " is above --value-bytes-max ",
                 w.value_bytes_max);
  }
  if (w.first_key >= w.keys)
    return Wrong("--first-key ", w.first_key, " is not below --keys ", w.keys);
  return absl::OkStatus();
}

absl::Status CheckCombination(const CLI::App& app, const Options& o) {
  const WorkloadOptions& w = o.workload;
  bool scans = w.name == "scan" || w.name == "ycsb-e";
  bool sdk = o.target.kind == "kvd-pipeline";
  if (sdk && scans) {
    return Wrong("--workload ", w.name,
                 " needs --target kvd or etcd: scans have streams of their own, not a Pipeline");
  }
  if (sdk && o.target.to_all)
    return Wrong("--to-all needs --target kvd or etcd: the SDK finds the leader by itself");
  if (o.target.kind == "etcd" && w.value_bytes_max > (1 << 20)) {
    return Wrong("--value-bytes-max ", w.value_bytes_max, " is above ", 1 << 20,
                 ", which etcd accepts by default");
  }
  if (app.count("--value-bytes") > 0 &&
      app.count("--value-bytes-min") + app.count("--value-bytes-max") > 0) {
    return Wrong("--value-bytes excludes --value-bytes-min and --value-bytes-max");
  }
  if (app.count("--scan-rows") > 0 && !scans)
    return Wrong("--scan-rows needs --workload scan or ycsb-e");
  if (app.count("--first-key") > 0 && w.name != "load")
    return Wrong("--first-key needs --workload load");
  if (w.zipfian && (w.name == "load" || absl::StartsWith(w.name, "ycsb-"))) {
    return Wrong("--zipfian excludes --workload ", w.name, ", which has its own order of keys");
  }
  bool skewed = w.zipfian || absl::StartsWith(w.name, "ycsb-");
  if (skewed && w.keys > kZipfianKeysMax) {
    return Wrong("--keys ", w.keys, " is above ", kZipfianKeysMax, ", the most for popular keys");
  }
  bool counted = o.load.operations != 0;
  if (counted && app.count("--seconds") + app.count("--warmup") > 0) {
    return Wrong(w.name == "load" ? "--workload load" : "--operations",
                 " excludes --seconds and --warmup: it ends by count");
  }
  return absl::OkStatus();
}

}  // namespace

void AddFlags(CLI::App& app, Options* o) {
  constexpr int kValueMax = static_cast<int>(kValueBytesMax);
  auto add = [&app](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->capture_default_str();
  };
  add("--target", o->target.kind, "kvd (unary), kvd-pipeline (the SDK) or etcd");
  app.add_option("--connect", o->target.addresses, "HOST:PORT, comma-separated; the first is asked")
      ->required()
      ->delimiter(',');
  app.add_flag("--to-all", o->target.to_all, "Spread connections over all addresses");
  add("--connections", o->target.connections, "Connections; of kvd-pipeline: clients [1]")
      ->check(CLI::Range(1, 10'000));
  add("--workload", o->workload.name, "put, get, stale-get, scan, load, ycsb-a to ycsb-f");
  add("--keys", o->workload.keys, "Keys")->check(CLI::Range(uint64_t{1}, kKeysMax));
  add("--first-key", o->workload.first_key, "Load from this one on")
      ->check(CLI::Range(uint64_t{0}, kKeysMax - 1));
  app.add_option("--value-bytes", o->workload.value_bytes_max, "Size of a value [256]")
      ->check(CLI::Range(0, kValueMax));
  app.add_option("--value-bytes-min", o->workload.value_bytes_min, "Mixed sizes: the least [256]")
      ->check(CLI::Range(0, kValueMax));
  app.add_option("--value-bytes-max", o->workload.value_bytes_max, "Mixed sizes: the most [256]")
      ->check(CLI::Range(0, kValueMax));
  app.add_flag("--zipfian", o->workload.zipfian,
               "Popular keys are asked for more often, else all alike");
  add("--scan-rows", o->workload.scan_rows, "Rows of a scan")->check(CLI::Range(1, 1'000'000));
  add("--seed", o->workload.seed, "Of the keys drawn");
  add("--in-flight", o->load.in_flight, "Operations under way")->check(CLI::Range(1, 100'000));
  add("--rate", o->load.rate,
      "Open loop: arrivals a second, whatever the servers do; 0: closed loop");
  add("--warmup", o->load.warmup_seconds, "Seconds before measuring");
  add("--seconds", o->load.seconds, "Seconds measured");
  app.add_option("--operations", o->load.operations, "Ends after so many instead, without warm-up");
  app.add_option("--pids", o->servers.pids, "The servers' processes, for their CPU time")
      ->delimiter(',');
  app.add_option("--metrics", o->servers.metrics,
                 "The servers' metrics pages, for syncs and batches")
      ->delimiter(',');
  app.add_flag("--json", o->json, "One JSON object instead of text");
}

absl::Status Complete(const CLI::App& app, Options* o) {
  if (app.count("--value-bytes") > 0) o->workload.value_bytes_min = o->workload.value_bytes_max;
  if (o->target.kind == "kvd-pipeline" && app.count("--connections") == 0)
    o->target.connections = 1;
  absl::Status status = CheckNumbers(*o);
  if (!status.ok()) return status;
  if (o->workload.name == "load" && o->load.operations == 0) {
    o->load.operations = o->workload.keys - o->workload.first_key;
  }
  return CheckCombination(app, *o);
}

}  // namespace kvd::bench
