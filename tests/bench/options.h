// kvbench's command line.
#pragma once

#include "absl/status/status.h"
#include "tests/bench/generator.h"
#include "tests/bench/usage.h"

namespace CLI {
class App;
}

namespace kvd::bench {

struct Options {
  TargetOptions target;
  WorkloadOptions workload;
  LoadOptions load;
  Servers servers;
  bool json = false;
};

// Adds the flags, which write to `options`.
void AddFlags(CLI::App& app, Options* options);
// After parsing: fills in what follows from other flags. INVALID_ARGUMENT, in one line, for values
// and combinations that make no sense.
absl::Status Complete(const CLI::App& app, Options* options);

}  // namespace kvd::bench
