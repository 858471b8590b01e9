// Many seeds of simulated jobs. Prints each failing seed with the command that replays it, and what
// happened in all of them.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "tests/mapreduce/coordinator/jobs_world.h"
#include "tests/sim/seed_blocks.h"

namespace {

// Over this many seeds everything must have happened.
constexpr uint64_t kCompleteSeeds = 500;

void RunSeed(uint64_t seed, uint64_t seconds, bool verbose, kvd::jobs::JobsReport* all) {
  kvd::jobs::JobsWorld world(seed, verbose);
  kvd::jobs::JobsReport report = world.Run(std::chrono::seconds(seconds));
  if (verbose) std::printf("seed %lu: %s\n", seed, report.ToString().c_str());
  *all += report;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs simulated jobs under faults.", "jobs_soak");
  uint64_t first = 1, seeds = 100, seconds = 40;
  bool verbose = false, stop = false;
  app.add_option("--first", first, "First seed")->capture_default_str();
  app.add_option("--seeds", seeds, "How many")->capture_default_str();
  app.add_option("--seconds-simulated", seconds, "Of each seed, under faults")
      ->capture_default_str();
  app.add_flag("--verbose", verbose, "What the log says, and a line for each seed");
  app.add_flag("--stop", stop, "At the first seed that fails");
  CLI11_PARSE(app, argc, argv);
  auto start = std::chrono::steady_clock::now();
  auto* all = kvd::sim::MakeShared<kvd::jobs::JobsReport>();
  constexpr uint64_t kBlock = 20;
  uint64_t failed = 0, done = 0, next = first;
  while (next < first + seeds) {
    uint64_t count = std::min(kBlock, first + seeds - next);
    uint64_t bad = kvd::sim::RunBlock(next, count,
                                      [&](uint64_t seed) { RunSeed(seed, seconds, verbose, all); });
    done += bad == 0 ? count : bad - next + 1;
    next = bad == 0 ? next + count : bad + 1;
    if (bad == 0) continue;
    ++failed;
    std::printf("seed %lu failed; replay: %s --seeds 1 --first %lu --seconds-simulated %lu\n", bad,
                argv[0], bad, seconds);
    std::fflush(stdout);
    if (stop) break;
  }
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%lu seeds from %lu, %lu failed, %.1f seeds/s\n%s\n", done, first, failed,
              static_cast<double>(done) / took.count(), all->ToString().c_str());
  std::string missing = done < kCompleteSeeds ? "" : all->Missing();
  if (!missing.empty()) std::printf("never happened in %lu seeds: %s\n", done, missing.c_str());
  return failed == 0 && missing.empty() ? 0 : 1;
}
