#include "tests/bench/report.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"

namespace kvd::bench {
namespace {

using Json = nlohmann::json;

// 0 if there is nothing to share.
double Ratio(double a, double b) { return b > 0 ? a / b : 0; }

void AddUsage(const LoadResult& result, const Usage& before, const Usage& after, Json* out) {
  auto operations = static_cast<double>(std::max<uint64_t>(result.operations, 1));
  double client = after.client_cpu - before.client_cpu,
         server = after.server_cpu - before.server_cpu;
  double machine = result.seconds * static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN));
  double other = after.machine_cpu - before.machine_cpu - client - server;
  (*out)["client_cpu_us_per_op"] = client * 1e6 / operations;
  (*out)["server_cpu_us_per_op"] = server * 1e6 / operations;
  (*out)["other_cpu_share"] = Ratio(std::max(0.0, other), machine);
  (*out)["server_bytes"] = after.server_bytes;
}

// Over the run with its warm-up, since the pages are read before and after it.
void AddCounters(const LoadResult& result, const Counters& before, const Counters& after,
                 Json* out) {
  double syncs = after.syncs - before.syncs;
  (*out)["syncs_per_second"] = Ratio(syncs, result.whole_seconds);
  (*out)["ops_per_sync"] = Ratio(static_cast<double>(result.whole_operations), syncs);
  (*out)["entries_per_sync"] = Ratio(after.entries - before.entries, syncs);
  (*out)["log_bytes_per_sync"] = Ratio(after.log_bytes - before.log_bytes, syncs);
  (*out)["elections"] = after.elections - before.elections;
}

}  // namespace

nlohmann::json LatencyJson(const Histogram& h) {
  Json out;
  out["count"] = h.count();
  out["mean_ms"] = h.mean() * 1e-6;
  for (auto [name, q] :
       {std::pair("p50_ms", 0.5), {"p90_ms", 0.9}, {"p99_ms", 0.99}, {"p999_ms", 0.999}}) {
    out[name] = static_cast<double>(h.At(q)) * 1e-6;
  }
  out["max_ms"] = static_cast<double>(h.max()) * 1e-6;
  return out;
}

std::string JsonReport(const Options& o, const LoadResult& result, const Readings& readings) {
  Json out = {{"target", o.target.kind},
              {"workload", o.workload.name},
              {"connections", o.target.connections},
              {"in_flight", o.load.in_flight},
              {"rate", o.load.rate},
              {"keys", o.workload.keys},
              {"value_bytes_min", o.workload.value_bytes_min},
              {"value_bytes_max", o.workload.value_bytes_max},
              {"seconds", result.seconds},
              {"operations", result.operations},
              {"errors", result.errors},
              {"ops_per_second", Ratio(static_cast<double>(result.operations), result.seconds)},
              {"rows_per_second", Ratio(static_cast<double>(result.rows), result.seconds)},
              {"longest_gap_seconds", result.longest_gap_seconds},
              {"latency", LatencyJson(result.all)}};
  AddUsage(result, readings.usage_before, readings.usage_after, &out);
  AddCounters(result, readings.counters_before, readings.counters_after, &out);
  for (size_t i = 0; i < result.by_kind.size(); ++i) {
    if (result.by_kind[i].count() == 0) continue;
    out["by_kind"][NameOf(static_cast<Kind>(i))] = LatencyJson(result.by_kind[i]);
  }
  return out.dump();
}

std::string TextReport(const std::string& json) {
  Json r = Json::parse(json);
  auto number = [&r](const char* name) { return r[name].get<double>(); };
  const Json& latency = r["latency"];
  std::string out = absl::StrFormat(
      "%s %s: %.0f ops/s, p50 %.2f ms, p99 %.2f ms, max %.1f ms, %d errors\n",
      r["target"].get<std::string>(), r["workload"].get<std::string>(), number("ops_per_second"),
      latency["p50_ms"].get<double>(), latency["p99_ms"].get<double>(),
      latency["max_ms"].get<double>(), r["errors"].get<uint64_t>());
  absl::StrAppendFormat(&out,
                        "  CPU-us per op: client %.1f, servers %.1f; other %.0f %% of the machine; "
                        "longest gap %.0f ms",
                        number("client_cpu_us_per_op"), number("server_cpu_us_per_op"),
                        100 * number("other_cpu_share"), 1000 * number("longest_gap_seconds"));
  if (number("rows_per_second") > 0)
    absl::StrAppendFormat(&out, "; %.0f rows/s", number("rows_per_second"));
  if (number("syncs_per_second") > 0) {
    absl::StrAppendFormat(&out,
                          "\n  %.0f syncs/s of all servers; a sync: %.1f operations of the "
                          "cluster, %.1f entries, %.0f B of log; %.0f elections",
                          number("syncs_per_second"), number("ops_per_sync"),
                          number("entries_per_sync"), number("log_bytes_per_sync"),
                          number("elections"));
  }
  return out + "\n";
}

}  // namespace kvd::bench
