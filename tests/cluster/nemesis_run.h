// One run: three real stores in a sandbox under a recorded load, one kind of fault inflicted again
// and again, and the checks at the end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/cluster/faults/fault.h"

namespace kvd {

struct RunOptions {
  const FaultKind* fault = nullptr;
  uint64_t seed = 1;
  int seconds = 60;
  int clients = 16;
  std::string name;       // unique on the machine
  std::string directory;  // exists; data, logs and the report go there
};

struct RunReport {
  uint64_t operations = 0;
  uint64_t unknown = 0;
  uint64_t times = 0;  // that the fault was inflicted
  int64_t longest_gap_ms = 0;
  std::vector<std::string> problems;

  std::string Encode() const;
  // A run that left no report has failed.
  static RunReport Decode(const std::string& text);
};

// In a process of its own: makes the sandbox, runs, removes everything outside `directory`.
// `pid_out` is told the process to kill if it has to end early.
RunReport RunInSandbox(const RunOptions& options, volatile pid_t* pid_out);

// The run itself, inside a sandbox.
RunReport Run(const RunOptions& options);

}  // namespace kvd
