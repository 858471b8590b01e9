// Many seeds of simulated clusters that look after themselves. Prints each failing seed with the
// command that replays it, and what happened in all of them.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "tests/sim/seed_blocks.h"
#include "tests/sim/world.h"

namespace {

// Over this many seeds everything must have happened, and every fault point have been hit.
constexpr uint64_t kCompleteSeeds = 500;
constexpr uint64_t kCompletePointSeeds = 5'000;

// What happened in all seeds.
struct Totals {
  kvd::sim::WorldReport report;
  kvd::sim::FaultPointCoverage points;
};

std::string Missing(const Totals& all, uint64_t seeds) {
  std::string report = seeds < kCompleteSeeds ? "" : all.report.Missing();
  std::string points = seeds < kCompletePointSeeds ? "" : all.points.Missing(kvd::kFaultPointCount);
  return absl::StrCat(report, report.empty() || points.empty() ? "" : ", ", points);
}

void RunSeed(uint64_t seed, uint64_t seconds, bool verbose, Totals* all) {
  kvd::sim::WorldOptions options;
  options.seed = seed;
  options.stores = 3 + static_cast<int>(seed % 3);
  options.duration = std::chrono::seconds(seconds);
  kvd::sim::World world(options);
  kvd::sim::WorldReport report = world.Run();
  if (verbose) std::printf("seed %lu: %s\n", seed, report.ToString().c_str());
  all->report += report;
  all->points += world.coverage();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs simulated clusters with a controller, moving shards and faults.",
               "world_soak");
  uint64_t first = 1, seeds = 100, seconds = 10;
  bool verbose = false, coverage = false, stop = false;
  app.add_option("--first", first, "First seed")->capture_default_str();
  app.add_option("--seeds", seeds, "How many")->capture_default_str();
  app.add_option("--seconds-simulated", seconds, "Of each seed, under faults")
      ->capture_default_str();
  app.add_flag("--verbose", verbose, "A line for each seed");
  app.add_flag("--coverage", coverage, "A line for each fault point");
  app.add_flag("--stop", stop, "At the first seed that fails");
  CLI11_PARSE(app, argc, argv);
  auto start = std::chrono::steady_clock::now();
  auto* all = kvd::sim::MakeShared<Totals>();
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
              static_cast<double>(done) / took.count(), all->report.ToString().c_str());
  std::printf("%s", all->points.ToString(kvd::kFaultPointCount, coverage).c_str());
  std::string missing = Missing(*all, done);
  bool complete = missing.empty();
  if (!complete) std::printf("never happened in %lu seeds: %s\n", done, missing.c_str());
  return failed == 0 && complete ? 0 : 1;
}
