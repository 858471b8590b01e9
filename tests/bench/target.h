// A database under test, asked without waiting. Calls and callbacks are on the target's one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/bench/workload.h"

namespace kvd::bench {

struct TargetOptions {
  std::string kind = "kvd";  // kvd, kvd-pipeline, etcd
  std::vector<std::string> addresses;
  int connections = 4;  // of kvd-pipeline: clients, each with its own
  bool to_all = false;  // spread over all addresses; else to the first. Not kvd-pipeline
};

class Target {
 public:
  // Told whether it worked, and how many rows came.
  using Done = std::function<void(bool ok, uint64_t rows)>;

  virtual ~Target() = default;
  virtual void Issue(const Operation& operation, Done done) = 0;
  // Runs `f` on the target's thread, soon. From any thread.
  virtual void Post(std::function<void()> f) = 0;
};

// INVALID_ARGUMENT for an unknown kind.
absl::StatusOr<std::unique_ptr<Target>> MakeTarget(const TargetOptions& options);

}  // namespace kvd::bench
