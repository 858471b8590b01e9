// Runs many seeds. Prints each failing seed with the command that replays it, how often each kind
// of fault happened, and which fault points were passed, and hit with a crash and with a delay:
// over enough seeds each must be. Seeds run in processes of their own, so that one that fails does
// not end the others.
#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "tests/sim/cluster.h"
#include "tests/sim/seed_blocks.h"

namespace {

struct Arguments {
  uint64_t seeds = 100;
  uint64_t first = 1;
  double minutes = 1e9;
  int seconds_simulated = 10;
  bool verbose = false;
  bool coverage = false;  // a line for each fault point
  bool stop = false;      // at the first seed that fails
};

// False, with the exit code, if there is nothing to run.
bool Parse(int argc, char** argv, Arguments* a, int* exit_code) {
  CLI::App app("Runs simulated clusters under faults, each from a seed.", "soak");
  app.add_option("--seeds", a->seeds, "How many")->check(CLI::Range(1UL, 1'000'000'000UL));
  app.add_option("--first", a->first, "The first one")->check(CLI::Range(0UL, 1'000'000'000'000UL));
  app.add_option("--minutes", a->minutes, "Begin no more after so many")
      ->check(CLI::Range(0.0, 1e9));
  app.add_option("--seconds-simulated", a->seconds_simulated, "Of each seed, under faults")
      ->check(CLI::Range(1, 86'400));
  app.add_flag("--stop", a->stop, "At the first seed that fails");
  app.add_flag("--verbose", a->verbose, "Say what happened in each seed");
  app.add_flag("--coverage", a->coverage, "A line for each fault point");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    *exit_code = 2;
    if (e.get_exit_code() == 0)
      *exit_code = app.exit(e);
    else
      std::fprintf(stderr, "soak: %s\n", e.what());
    return false;
  }
  return true;
}

constexpr size_t kCounters = std::size(kvd::sim::kFaultCounters);

// What happened in all seeds.
struct Totals {
  kvd::sim::FaultPointCoverage points;
  std::array<uint64_t, kCounters> counts{};
};

void Add(const kvd::sim::FaultPointCoverage& from, const kvd::sim::Report& report, Totals* to) {
  to->points += from;
  for (size_t i = 0; i < kCounters; ++i) to->counts[i] += report.*kvd::sim::kFaultCounters[i].count;
}

// Over this many seeds everything must have happened.
constexpr uint64_t kCompleteSeeds = 1000;

// What did not happen at all; empty if everything did.
std::string Missing(const Totals& totals) {
  std::vector<std::string> missing;
  std::string points = totals.points.Missing(kvd::kGroupFaultPointCount);
  if (!points.empty()) missing.push_back(points);
  for (size_t i = 0; i < kCounters; ++i) {
    if (totals.counts[i] == 0) missing.push_back(kvd::sim::kFaultCounters[i].name);
  }
  return absl::StrJoin(missing, ", ");
}

void PrintCounts(const Totals& totals) {
  std::printf("faults:");
  for (size_t i = 0; i < kCounters; ++i) {
    std::printf("%s %lu %s", i == 0 ? "" : ",", totals.counts[i], kvd::sim::kFaultCounters[i].name);
  }
  std::printf("\n");
}

void RunSeed(uint64_t seed, const Arguments& a, Totals* totals) {
  kvd::sim::ClusterOptions options;
  options.seed = seed;
  options.duration = std::chrono::seconds(a.seconds_simulated);
  kvd::sim::Cluster cluster(options);
  kvd::sim::Report report = cluster.Run();
  Add(cluster.coverage(), report, totals);
  if (a.verbose) std::printf("seed %lu: %s\n", seed, report.ToString().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  int exit_code = 0;
  if (!Parse(argc, argv, &a, &exit_code)) return exit_code;
  auto start = std::chrono::steady_clock::now();
  auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  Totals* totals = kvd::sim::MakeShared<Totals>();
  uint64_t failed = 0, done = 0;
  constexpr uint64_t kBlock = 20;
  uint64_t next = a.first;
  while (next < a.first + a.seeds && elapsed() < a.minutes * 60) {
    uint64_t count = std::min(kBlock, a.first + a.seeds - next);
    uint64_t bad =
        kvd::sim::RunBlock(next, count, [&](uint64_t seed) { RunSeed(seed, a, totals); });
    if (bad == 0) {
      done += count;
      next += count;
      continue;
    }
    ++failed;
    done += bad - next + 1;
    next = bad + 1;
    std::printf("seed %lu failed; replay: %s --seeds 1 --first %lu --seconds-simulated %d\n", bad,
                argv[0], bad, a.seconds_simulated);
    std::fflush(stdout);
    if (a.stop) break;
  }
  std::printf("%lu seeds from %lu, %lu failed, %.1f seeds/s, %.2f hours simulated\n", done, a.first,
              failed, static_cast<double>(done) / elapsed(),
              static_cast<double>(done) * a.seconds_simulated / 3600);
  PrintCounts(*totals);
  std::printf("%s", totals->points.ToString(kvd::kGroupFaultPointCount, a.coverage).c_str());
  std::string missing = Missing(*totals);
  bool complete = done < kCompleteSeeds || missing.empty();
  if (!complete) std::printf("never happened in %lu seeds: %s\n", done, missing.c_str());
  return failed == 0 && complete ? 0 : 1;
}
