#include "tests/cluster/nemesis_run.h"

#include <chrono>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/cluster/control_group.h"
#include "tests/cluster/load.h"
#include "tests/cluster/process.h"
#include "tests/cluster/replica_state.h"
#include "tests/cluster/sandbox.h"

namespace kvd {
namespace {

// A healthy quorum acknowledges this many writes within this time.
constexpr int kProgressSeconds = 10;
constexpr uint64_t kProgressWrites = 20;

class OneRun {
 public:
  explicit OneRun(const RunOptions& options)
      : options_(options), random_(options.seed), fault_(options.fault->make()) {}

  RunReport Run() {
    RunSetup setup;
    setup.name = options_.name;
    setup.directory = options_.directory;
    fault_->SetUp(&setup);
    FaultCluster cluster(options_.directory, setup.cluster);
    cluster_ = &cluster;
    absl::Status started = cluster.StartAll();
    if (!started.ok()) {
      cluster.AddProblem(std::string(started.message()));
    } else {
      UnderLoad(setup);
    }
    report_.problems = cluster.problems();
    return report_;
  }

 private:
  void UnderLoad(const RunSetup& setup) {
    LoadOptions load_options;
    load_options.addresses = cluster_->Addresses();
    load_options.clients = options_.clients;
    load_options.keys = 2 * options_.clients;
    load_options.pause_max = std::chrono::milliseconds(20);
    load_options.deadline = std::chrono::seconds(5);
    load_options.filler_bytes_max = setup.filler_bytes_max;
    load_options.seed = options_.seed;
    RecordedLoad load(load_options);
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options_.seconds);
    AwaitProgress(load, "the start");
    while (std::chrono::steady_clock::now() < end && cluster_->problems().empty()) {
      Wait(random_.Between(300, 1500));
      OneTime(load);
    }
    load.Stop();
    report_.operations = load.operations();
    report_.unknown = load.unknown();
    report_.longest_gap_ms = load.longest_gap_ms();
    for (const auto& [error, times] : load.Errors()) {
      cluster_->Note(absl::StrCat(times, " operations were refused: ", error));
    }
    if (report_.times > 0 && struck_ == 0) {
      cluster_->AddProblem(absl::StrCat(options_.fault->name, " was there ", report_.times,
                                        " times and never struck"));
    }
    Check(load);
  }

  void OneTime(RecordedLoad& load) {
    ++report_.times;
    fault_->Inject(*cluster_, random_);
    uint64_t hold_ms = random_.Between(options_.fault->hold_ms_min, options_.fault->hold_ms_max);
    if (options_.fault->nothing_commits) {
      HoldWithoutCommits(load, hold_ms);
    } else {
      Wait(hold_ms);
    }
    if (fault_->HasStruck()) ++struck_;
    fault_->Heal(*cluster_, random_);
    cluster_->Note("healed");
    absl::Status recovered = cluster_->Recover();
    if (!recovered.ok()) return cluster_->AddProblem(std::string(recovered.message()));
    AwaitProgress(load, "healing");
  }

  void HoldWithoutCommits(const RecordedLoad& load, uint64_t hold_ms) {
    // Answers that were on their way still come.
    constexpr uint64_t kUnderWayMs = 200;
    Wait(kUnderWayMs);
    uint64_t before = load.writes();
    Wait(hold_ms - kUnderWayMs);
    if (load.writes() == before) return;
    cluster_->AddProblem(
        absl::StrCat(load.writes() - before, " writes were acknowledged without a majority"));
  }

  void AwaitProgress(const RecordedLoad& load, const std::string& since) {
    uint64_t before = load.writes();
    bool progress = Await(
        [&] {
          cluster_->Poll();
          return load.writes() >= before + kProgressWrites;
        },
        kProgressSeconds);
    if (!progress) {
      cluster_->AddProblem(absl::StrCat("only ", load.writes() - before,
                                        " writes were acknowledged in the ", kProgressSeconds,
                                        " s after ", since));
    }
  }

  void Wait(uint64_t ms) {
    auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
    Await(
        [&] {
          cluster_->Poll();
          return std::chrono::steady_clock::now() >= end;
        },
        static_cast<int>(ms / 1000) + 1);
  }

  void Check(RecordedLoad& load) {
    absl::Status read = load.ReadEverything();
    if (!read.ok())
      cluster_->AddProblem(absl::StrCat("the last reads failed: ", std::string(read.ToString())));
    for (const std::string& problem : load.Problems()) cluster_->AddProblem(problem);
    absl::Status equal = cluster_->Recover();
    if (equal.ok()) equal = CompareReplicas(*cluster_);
    // A store may meet old damage only now.
    if (absl::IsFailedPrecondition(equal) && cluster_->Recover().ok())
      equal = CompareReplicas(*cluster_);
    if (!equal.ok()) cluster_->AddProblem(absl::StrCat("replicas: ", std::string(equal.message())));
    if (options_.fault->quorum_stays && report_.longest_gap_ms > int64_t{kProgressSeconds} * 1000) {
      cluster_->AddProblem(absl::StrCat("no write was acknowledged for ", report_.longest_gap_ms,
                                        " ms, though a healthy quorum was there"));
    }
    for (int n = 1; n <= cluster_->size(); ++n) cluster_->Stop(n);
  }

  const RunOptions options_;
  Random random_;
  const std::unique_ptr<Fault> fault_;
  FaultCluster* cluster_ = nullptr;
  uint64_t struck_ = 0;  // of the times that it was inflicted
  RunReport report_;
};

}  // namespace

std::string RunReport::Encode() const {
  std::string text = absl::StrCat("operations ", operations, "\nunknown ", unknown, "\ntimes ",
                                  times, "\ngap ", longest_gap_ms, "\n");
  // A problem may have lines of its own.
  for (const std::string& problem : problems) absl::StrAppend(&text, "problem ", problem, "\n");
  return text + "end\n";
}

RunReport RunReport::Decode(const std::string& text) {
  RunReport report;
  bool whole = false;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    std::pair<absl::string_view, absl::string_view> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    if (words.first == "operations")
      (void)absl::SimpleAtoi(words.second, &report.operations);
    else if (words.first == "unknown")
      (void)absl::SimpleAtoi(words.second, &report.unknown);
    else if (words.first == "times")
      (void)absl::SimpleAtoi(words.second, &report.times);
    else if (words.first == "gap")
      (void)absl::SimpleAtoi(words.second, &report.longest_gap_ms);
    else if (words.first == "problem")
      report.problems.emplace_back(words.second);
    else if (words.first == "end")
      whole = true;
    else if (!report.problems.empty() && !line.empty())
      absl::StrAppend(&report.problems.back(), "\n", line);
  }
  if (!whole) report.problems.push_back("the run ended without a report");
  return report;
}

RunReport RunInSandbox(const RunOptions& options, volatile pid_t* pid_out) {
  std::string report_path = options.directory + "/report";
  *pid_out = StartSandbox(options.directory + "/run.log", [&] {
    RunReport report = Run(options);
    std::ofstream(report_path) << report.Encode();
    return report.problems.empty() ? 0 : 1;
  });
  int code = WaitForSandbox(*pid_out);
  *pid_out = 0;
  ControlGroup::RemoveLeftovers(options.name);
  RunReport report = RunReport::Decode(ReadAll(report_path));
  if (code != 0 && report.problems.empty())
    report.problems.push_back(absl::StrCat("the run ended with ", code));
  return report;
}

RunReport Run(const RunOptions& options) { return OneRun(options).Run(); }

}  // namespace kvd
