// Debian's Prometheus as a child of a test: what deploy/prometheus asks for is asked of a real one.
#pragma once

#include <sys/types.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/scratch_directory.h"

namespace kvd {

// One time series of an answer.
struct Sample {
  std::map<std::string, std::string> labels;
  double value = 0;
};

class PrometheusServer {
 public:
  // Starts one on loopback with `files`, by name, among them prometheus.yml; its data goes with it.
  explicit PrometheusServer(const std::map<std::string, std::string>& files);
  ~PrometheusServer();
  PrometheusServer(const PrometheusServer&) = delete;
  PrometheusServer& operator=(const PrometheusServer&) = delete;

  // GET /api/v1/`path` with these parameters: its "data". UNAVAILABLE if nobody answers, INTERNAL
  // with Prometheus' own words if it refuses.
  absl::StatusOr<nlohmann::json> Ask(
      const std::string& path,
      const std::vector<std::pair<std::string, std::string>>& parameters = {}) const;
  // What PromQL's `expression` is now.
  absl::StatusOr<std::vector<Sample>> Query(const std::string& expression) const;
  std::string Log() const;

 private:
  ScratchDirectory directory_;
  std::string address_;
  pid_t pid_ = 0;
};

}  // namespace kvd
