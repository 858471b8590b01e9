// Random runs of bare cores: core_chaos [--seeds N] [--first S] [--events E]. A seed that fails
// aborts with its last events; it replays exactly.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>

#include "tests/raft/core/chaos.h"

namespace {

volatile uint64_t running_seed = 0;
const char* program = "";

// Whatever invariant broke: says which run it was.
void OnAbort(int) {
  char line[512];
  int length =
      std::snprintf(line, sizeof line, "\nseed %lu failed; replay: %s --seeds 1 --first %lu\n",
                    running_seed, program, running_seed);
  (void)!write(STDERR_FILENO, line, static_cast<size_t>(length));
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t seeds = 1000, first = 1, events = 3000;
  CLI::App app("Random runs of bare consensus cores.");
  app.add_option("--seeds", seeds, "How many runs");
  app.add_option("--first", first, "The first seed");
  app.add_option("--events", events, "Random events of each run");
  CLI11_PARSE(app, argc, argv);
  program = argv[0];
  std::signal(SIGABRT, OnAbort);
  auto start = std::chrono::steady_clock::now();
  kvd::raft::ChaosReport all;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    running_seed = seed;
    kvd::raft::ChaosReport report = kvd::raft::Chaos(seed).Run(events);
    all.events += report.events;
    all.committed += report.committed;
    all.elections += report.elections;
    all.crashes += report.crashes;
    all.snapshots += report.snapshots;
    all.reads += report.reads;
    all.membership_changes += report.membership_changes;
    all.damaged += report.damaged;
  }
  double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf(
      "%lu seeds from %lu clean, %.0f seeds/s: %lu events, %lu entries committed, %lu elections, "
      "%lu crashes, %lu snapshots, %lu reads, %lu membership changes, %lu entries damaged\n",
      seeds, first, static_cast<double>(seeds) / took, all.events, all.committed, all.elections,
      all.crashes, all.snapshots, all.reads, all.membership_changes, all.damaged);
  return 0;
}
