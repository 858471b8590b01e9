// Runs many seeds. Prints each failing seed with the command that replays it, and which fault points were
// passed, and hit with a crash and with a delay. Seeds run in processes of their own, so that one that fails
// does not end the others.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/sim/cluster.h"

namespace {

struct Arguments {
  uint64_t seeds = 100;
  uint64_t first = 1;
  double minutes = 1e9;
  int seconds_simulated = 10;
  bool verbose = false;
  bool coverage = false;  // a line for each fault point
  bool stop = false;  // at the first seed that fails
};

bool Parse(int argc, char** argv, Arguments* a) {
  for (int i = 1; i < argc; ++i) {
    std::string flag = argv[i];
    if (flag == "--stop") {
      a->stop = true;
      continue;
    }
    if (flag == "--verbose") {
      a->verbose = true;
      continue;
    }
    if (flag == "--coverage") {
      a->coverage = true;
      continue;
    }
    if (i + 1 == argc) return false;
    double n = std::atof(argv[++i]);
    if (flag == "--seeds") a->seeds = static_cast<uint64_t>(n);
    else if (flag == "--first") a->first = static_cast<uint64_t>(n);
    else if (flag == "--minutes") a->minutes = n;
    else if (flag == "--seconds-simulated") a->seconds_simulated = static_cast<int>(n);
    else return false;
  }
  return true;
}

// Of all seeds; in memory that the children share.
kvd::sim::FaultPointCoverage* SharedCoverage() {
  void* memory = mmap(nullptr, sizeof(kvd::sim::FaultPointCoverage), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return new (memory) kvd::sim::FaultPointCoverage();
}

void Add(const kvd::sim::FaultPointCoverage& from, kvd::sim::FaultPointCoverage* to) {
  for (size_t i = 0; i < kvd::kFaultPointCount; ++i) {
    to->passed[i] += from.passed[i];
    to->crashed[i] += from.crashed[i];
    to->delayed[i] += from.delayed[i];
  }
}

void PrintCoverage(const kvd::sim::FaultPointCoverage& coverage, bool all) {
  size_t passed = 0, crashed = 0, delayed = 0;
  if (all) std::printf("%-58s %12s %8s %8s\n", "FAULT POINT", "PASSED", "CRASHES", "DELAYS");
  for (size_t i = 0; i < kvd::kFaultPointCount; ++i) {
    passed += coverage.passed[i] > 0 ? 1 : 0;
    crashed += coverage.crashed[i] > 0 ? 1 : 0;
    delayed += coverage.delayed[i] > 0 ? 1 : 0;
    if (all) {
      std::printf("%-58s %12lu %8lu %8lu\n", kvd::kFaultPointNames[i], coverage.passed[i], coverage.crashed[i],
                  coverage.delayed[i]);
    }
  }
  std::printf("fault points: %zu, passed %zu, hit with a crash %zu, with a delay %zu\n", kvd::kFaultPointCount,
              passed, crashed, delayed);
}

// Runs `count` seeds from `first` in a child; the seed that failed, or 0.
uint64_t RunBlock(uint64_t first, uint64_t count, const Arguments& a, kvd::sim::FaultPointCoverage* coverage) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) std::abort();
  pid_t child = fork();
  if (child == 0) {
    for (uint64_t seed = first; seed < first + count; ++seed) {
      if (write(pipe_ends[1], &seed, sizeof seed) != sizeof seed) _exit(1);
      kvd::sim::ClusterOptions options;
      options.seed = seed;
      options.duration = std::chrono::seconds(a.seconds_simulated);
      kvd::sim::Cluster cluster(options);
      kvd::sim::Report report = cluster.Run();
      Add(cluster.coverage(), coverage);
      if (a.verbose) std::printf("seed %lu: %s\n", seed, report.ToString().c_str());
    }
    std::fflush(stdout);
    _exit(0);
  }
  close(pipe_ends[1]);
  uint64_t seed = first;
  while (read(pipe_ends[0], &seed, sizeof seed) == sizeof seed) {
  }
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : seed;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  if (!Parse(argc, argv, &a)) {
    std::fprintf(stderr, "usage: %s [--seeds N] [--first N] [--minutes M] [--seconds-simulated S] [--stop] [--verbose] [--coverage]\n", argv[0]);
    return 2;
  }
  auto start = std::chrono::steady_clock::now();
  auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  kvd::sim::FaultPointCoverage* coverage = SharedCoverage();
  uint64_t failed = 0, done = 0;
  constexpr uint64_t kBlock = 20;
  uint64_t next = a.first;
  while (next < a.first + a.seeds && elapsed() < a.minutes * 60) {
    uint64_t count = std::min(kBlock, a.first + a.seeds - next);
    uint64_t bad = RunBlock(next, count, a, coverage);
    if (bad == 0) {
      done += count;
      next += count;
      continue;
    }
    ++failed;
    done += bad - next + 1;
    next = bad + 1;
    std::printf("seed %lu failed; replay: %s --seeds 1 --first %lu --seconds-simulated %d\n", bad, argv[0], bad,
                a.seconds_simulated);
    std::fflush(stdout);
    if (a.stop) break;
  }
  std::printf("%lu seeds from %lu, %lu failed, %.1f seeds/s, %.2f hours simulated\n", done, a.first, failed,
              static_cast<double>(done) / elapsed(),
              static_cast<double>(done) * a.seconds_simulated / 3600);
  PrintCoverage(*coverage, a.coverage);
  return failed == 0 ? 0 : 1;
}
