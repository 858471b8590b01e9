#include "tests/cluster/fault_cluster.h"

#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/cluster/mini_cluster.h"
#include "tests/cluster/process.h"

namespace kvd {
namespace {

constexpr int kVotersMin = 3;
constexpr int kStartSeconds = 60;

client::ClusterClient Patient(std::vector<std::string> addresses) {
  return client::ClusterClient(std::move(addresses), std::chrono::seconds(5));
}

}  // namespace

bool Await(const std::function<bool()>& condition, int seconds) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

FaultCluster::FaultCluster(std::string directory, ClusterSetup setup)
    : directory_(std::move(directory)),
      setup_(std::move(setup)),
      network_(std::make_unique<Network>(setup_.stores, setup_.slow_links)),
      stores_(static_cast<size_t>(setup_.stores)) {}

FaultCluster::~FaultCluster() {
  for (int n = 1; n <= size(); ++n) {
    if (Running(n)) Kill(n);
  }
}

absl::Status FaultCluster::StartAll() {
  for (int n = 1; n <= size(); ++n) {
    absl::Status started = Start(n);
    if (!started.ok()) return started;
  }
  bool grown = Await(
      [&] {
        for (uint64_t group : {1, 2}) {
          auto status = Patient(Addresses()).Group(group);
          if (!status.ok() || status->joint()) return false;
          int voters = 0;
          for (const auto& replica : status->replicas()) voters += replica.voter() ? 1 : 0;
          if (voters < std::min(size(), kVotersMin)) return false;
        }
        return Patient(Addresses()).Group().ok();
      },
      kStartSeconds);
  return grown ? absl::OkStatus() : absl::DeadlineExceededError("the groups did not grow");
}

std::string FaultCluster::Address(int n) const { return absl::StrCat(Network::HostOf(n), ":7480"); }

std::vector<std::string> FaultCluster::Addresses() const {
  std::vector<std::string> addresses;
  for (int n = 1; n <= size(); ++n) addresses.push_back(Address(n));
  return addresses;
}

std::string FaultCluster::DataDir(int n) const { return absl::StrCat(directory_, "/store-", n); }

std::vector<std::string> FaultCluster::Words(int n) const {
  std::vector<std::string> words = Network::In(n);
  if (setup_.launcher) {
    for (std::string& word : setup_.launcher(n)) words.push_back(std::move(word));
  }
  words.insert(words.end(),
               {KvdPath(), "--listen", Address(n), "--data-dir", DataDir(n), "--cores", "1"});
  if (!bootstrapped_) {
    words.push_back("--bootstrap");
  } else {
    std::vector<std::string> others;
    for (int other = 1; other <= size(); ++other) {
      if (other != n) others.push_back(Address(other));
    }
    if (!others.empty()) words.insert(words.end(), {"--join", absl::StrJoin(others, ",")});
  }
  words.insert(words.end(), setup_.flags.begin(), setup_.flags.end());
  return words;
}

absl::Status FaultCluster::Start(int n) {
  Store& store = At(n);
  if (store.pid != 0) return absl::OkStatus();
  store.log_begin = ReadAll(LogPath(n)).size();
  store.pid = Spawn(Words(n), LogPath(n));
  bootstrapped_ = true;
  int status = 0;
  bool ended = false;
  bool answers = false;
  Await(
      [&] {
        ended = waitpid(store.pid, &status, WNOHANG) == store.pid;
        if (ended) return true;
        auto told = client::ClusterClient({}, std::chrono::seconds(1)).StatusOf(Address(n));
        answers = told.ok();
        if (answers) store.id = told->store_id();
        return answers;
      },
      kStartSeconds);
  if (answers) return absl::OkStatus();
  if (!ended)
    return absl::DeadlineExceededError(absl::StrCat("store ", n, " runs but does not answer"));
  store.pid = 0;
  return absl::UnavailableError(absl::StrCat("store ", n, " ended with ", ExitCode(status), ": ",
                                             absl::StrJoin(LastWords(n), " / ")));
}

void FaultCluster::Kill(int n) {
  if (!Running(n)) return;
  int status = 0;
  kill(Pid(n), SIGKILL);
  waitpid(Pid(n), &status, 0);
  At(n).pid = 0;
  // It may have ended by itself just before.
  if (ExitCode(status) != -SIGKILL) Ended(n, ExitCode(status));
}

void FaultCluster::Stop(int n) {
  if (!Running(n)) return;
  kill(Pid(n), SIGTERM);
  int status = 0;
  pid_t pid = Pid(n);
  bool ended = Await([&] { return waitpid(pid, &status, WNOHANG) == pid; }, 30);
  if (!ended) {
    AddProblem(absl::StrCat("store ", n, " did not end within 30 s of SIGTERM"));
    return Kill(n);
  }
  At(n).pid = 0;
  if (ExitCode(status) != 0) Ended(n, ExitCode(status));
}

void FaultCluster::Poll() {
  for (int n = 1; n <= size(); ++n) {
    int status = 0;
    if (!Running(n) || waitpid(Pid(n), &status, WNOHANG) != Pid(n)) continue;
    At(n).pid = 0;
    Ended(n, ExitCode(status));
  }
}

bool FaultCluster::AwaitEnd(int n, int seconds) {
  return Await(
      [&] {
        Poll();
        return !Running(n);
      },
      seconds);
}

std::vector<std::string> FaultCluster::LastWords(int n) const {
  return ClosingLines(ReadAll(LogPath(n)).substr(At(n).log_begin));
}

bool FaultCluster::MayEndWithOneLine(int n) const {
  return At(n).damaged || At(n).may_end == Ending::kOneLine || At(n).may_end == Ending::kAny;
}

void FaultCluster::Ended(int n, int exit_code) {
  std::vector<std::string> words = LastWords(n);
  std::string told =
      absl::StrCat("store ", n, " ended with ", exit_code, ": ", absl::StrJoin(words, " / "));
  Note(told);
  Ending may = At(n).may_end;
  bool killed = exit_code == -SIGKILL && (may == Ending::kKilled || may == Ending::kAny);
  bool explained = exit_code > 0 && words.size() == 1 && MayEndWithOneLine(n);
  if (!killed && !explained) AddProblem(told);
}

absl::StatusOr<v1::GroupStatus> FaultCluster::StatusOf(int n) const {
  if (!Running(n)) return absl::UnavailableError("it does not run");
  auto status = client::ClusterClient({}, std::chrono::seconds(1)).StatusOf(Address(n));
  if (!status.ok()) return status.status();
  const v1::GroupStatus* group = DataGroupOf(*status);
  if (group == nullptr) return absl::UnavailableError("it has no replica of the data group");
  return *group;
}

int FaultCluster::Leader(int seconds) const {
  int leader = 0;
  Await(
      [&] {
        uint64_t term = 0;
        for (int n = 1; n <= size(); ++n) {
          auto status = StatusOf(n);
          if (!status.ok() || status->role() != v1::GroupStatus::LEADER || status->term() < term)
            continue;
          term = status->term();
          leader = n;
        }
        return leader != 0;
      },
      seconds);
  return leader;
}

std::vector<int> FaultCluster::Members() const {
  std::vector<int> places;
  auto group = Patient(Addresses()).Group(2);
  if (!group.ok()) return places;
  for (int n = 1; n <= size(); ++n) {
    for (const auto& replica : group->replicas()) {
      if (replica.store_id() == At(n).id) places.push_back(n);
    }
  }
  return places;
}

void FaultCluster::Note(const std::string& what) const {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  time_t seconds = ms / 1000;
  tm local = {};
  localtime_r(&seconds, &local);
  std::printf("%02d:%02d:%02d.%03d %s\n", local.tm_hour, local.tm_min, local.tm_sec,
              static_cast<int>(ms % 1000), what.c_str());
  std::fflush(stdout);
}

void FaultCluster::AddProblem(std::string problem) {
  Note("PROBLEM " + problem);
  problems_.push_back(std::move(problem));
}

}  // namespace kvd
