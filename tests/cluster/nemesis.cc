// Breaks a real cluster in every way it knows, and shows that it holds; see README.md beside this.
#include <signal.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/cluster/nemesis_run.h"
#include "tests/cluster/sandbox.h"

namespace {

volatile pid_t running = 0;
volatile sig_atomic_t interrupted = 0;

void OnSignal(int) {
  interrupted = 1;
  if (running != 0) kill(running, SIGKILL);  // all that it started ends with it
}

struct Arguments {
  int runs = 1;
  int seconds = 60;
  int clients = 16;
  uint64_t seed = 1;
  std::vector<std::string> only;
  bool list = false;
  bool keep = false;
  std::string directory;
};

bool Parse(int argc, char** argv, Arguments* a, int* exit_code) {
  CLI::App app(
      "Runs three real stores under a recorded load and faults, and checks what must always hold.",
      "nemesis");
  app.add_option("--runs", a->runs, "How many, each with the next seed")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--seconds", a->seconds, "Length of a run's load")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  app.add_option("--clients", a->clients, "Of the load")
      ->check(CLI::Range(1, 500))
      ->capture_default_str();
  app.add_option("--seed", a->seed, "Of the first run; it also picks the fault")
      ->capture_default_str();
  app.add_option("--only", a->only, "Faults to choose from")->delimiter(',');
  app.add_option("--directory", a->directory,
                 "For the runs' files (default: a new one in the temporary directory)");
  app.add_flag("--keep", a->keep, "Keep the files of runs that are well too");
  app.add_flag("--list", a->list, "Say which faults there are");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    *exit_code = app.exit(e);
    return false;
  }
  for (const std::string& name : a->only) {
    if (kvd::FindFaultKind(name) != nullptr) continue;
    std::fprintf(stderr, "nemesis: --only %s is no fault; --list says which there are\n",
                 name.c_str());
    *exit_code = 2;
    return false;
  }
  return true;
}

void PrintList() {
  for (const kvd::FaultKind& kind : kvd::FaultKinds()) {
    std::printf("%-22s %s\n%-22s   expected: %s\n", kind.name, kind.how, "", kind.expected);
  }
}

// In turn, so that as many runs as there are kinds show each once.
const kvd::FaultKind& KindFor(const Arguments& a, uint64_t seed) {
  if (!a.only.empty()) return *kvd::FindFaultKind(a.only[seed % a.only.size()]);
  return kvd::FaultKinds()[seed % kvd::FaultKinds().size()];
}

bool RunOne(const Arguments& a, int number, const char* program) {
  kvd::RunOptions options;
  options.seed = a.seed + static_cast<uint64_t>(number);
  options.fault = &KindFor(a, options.seed);
  options.seconds = a.seconds;
  options.clients = a.clients;
  options.directory = absl::StrCat(a.directory, "/", options.fault->name, "-", options.seed);
  options.name =
      absl::StrCat(std::filesystem::path(a.directory).filename().string(), "-", options.seed);
  std::filesystem::create_directories(options.directory);
  kvd::RunReport report = kvd::RunInSandbox(options, &running);
  if (interrupted != 0) return false;
  bool well = report.problems.empty();
  std::printf("%4d %8lu %-22s %6lu %10lu %8lu %9.2f s  %s\n", number + 1, options.seed,
              options.fault->name, report.times, report.operations, report.unknown,
              static_cast<double>(report.longest_gap_ms) / 1000, well ? "ok" : "FAILED");
  if (!well) {
    for (const std::string& problem : report.problems) std::printf("     %s\n", problem.c_str());
    std::printf(
        "     files: %s\n     again: %s --runs 1 --seconds %d --clients %d --seed %lu --only %s\n",
        options.directory.c_str(), program, a.seconds, a.clients, options.seed,
        options.fault->name);
  } else if (!a.keep) {
    std::filesystem::remove_all(options.directory);
  }
  std::fflush(stdout);
  return well;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  int exit_code = 0;
  if (!Parse(argc, argv, &a, &exit_code)) return exit_code;
  if (a.list) {
    PrintList();
    return 0;
  }
  std::string why_not = kvd::WhyNoSandbox();
  if (!why_not.empty()) {
    std::fprintf(stderr, "nemesis: %s\n", why_not.c_str());
    return 77;  // CTest: skipped
  }
  if (a.directory.empty()) {
    std::string name = (std::filesystem::temp_directory_path() / "kvd-nemesis-XXXXXX").string();
    a.directory = mkdtemp(name.data());
  }
  for (int signal : {SIGINT, SIGTERM}) {
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    sigaction(signal, &action, nullptr);
  }
  std::printf("%4s %8s %-22s %6s %10s %8s %11s  %s\n", "run", "seed", "fault", "times",
              "operations", "unknown", "longest gap", "verdict");
  int failed = 0;
  int done = 0;
  for (; done < a.runs && interrupted == 0; ++done) {
    if (!RunOne(a, done, argv[0])) ++failed;
  }
  std::error_code not_empty;
  std::filesystem::remove(a.directory, not_empty);  // unless something was kept
  if (interrupted != 0) {
    std::printf("interrupted; files: %s\n", a.directory.c_str());
    return 130;
  }
  std::printf("%d runs of %d s, %d failed\n", done, a.seconds, failed);
  return failed == 0 ? 0 : 1;
}
