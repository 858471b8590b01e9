#include "tests/cluster/mini_cluster.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/src/cluster_client.h"
#include "gtest/gtest.h"
#include "proto/check.h"

namespace kvd {
namespace {

bool PortIsFree(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  int yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return free;
}

}  // namespace

const v1::GroupStatus* DataGroupOf(const v1::StatusResponse& status) {
  for (const v1::GroupStatus& group : status.groups()) {
    if (group.group_id() == 2) return &group;
  }
  return nullptr;
}

int FreePortPair() {
  // Below the range that the kernel hands out by itself, each test process from its own place.
  static int next = 10000 + (getpid() * 37) % 20000;
  for (int i = 0; i < 2000; ++i) {
    next += 2;
    if (next > 32000) next = 10000;
    if (PortIsFree(next) && PortIsFree(next + 1)) return next;
  }
  KVD_CHECK(false);
  return 0;
}

MiniCluster::MiniCluster(int stores, std::vector<std::string> flags,
                         const std::function<void(const MiniCluster&)>& prepare)
    : flags_(std::move(flags)) {
  for (int i = 0; i < stores; ++i) stores_.push_back({FreePortPair(), 0});
  if (prepare) prepare(*this);
  for (int n = 1; n <= stores; ++n) {
    KVD_CHECK_MSG(Start(n), Log(n));
  }
  KVD_CHECK_MSG(Await([&] { return HasGrown(stores); }, 60),
                absl::StrCat("the groups did not grow:\n", Log(1)));
}

// An even number of voters stands no more losses than the one below.
bool MiniCluster::HasGrown(int stores) const {
  int of_data = stores >= 3 ? 3 : 1;
  int of_controller = stores >= 5 ? 5 : of_data;
  client::ClusterClient cluster({Address(1)}, std::chrono::seconds(2));
  for (int group : {1, 2}) {
    auto status = cluster.Group(static_cast<uint64_t>(group));
    if (!status.ok() || status->role() != v1::GroupStatus::LEADER || status->joint()) return false;
    int voters = 0;
    for (const auto& replica : status->replicas()) voters += replica.voter() ? 1 : 0;
    if (voters != (group == 1 ? of_controller : of_data)) return false;
  }
  return cluster.Group(0).ok();
}

MiniCluster::~MiniCluster() {
  for (int n = 1; n <= size(); ++n) {
    if (Running(n)) Kill(n);
  }
}

std::string MiniCluster::Address(int n) const {
  return absl::StrCat("127.0.0.1:", stores_[Slot(n)].port);
}

std::string MiniCluster::Addresses() const {
  std::string out;
  for (int n = 1; n <= size(); ++n) absl::StrAppend(&out, n == 1 ? "" : ",", Address(n));
  return out;
}

std::string MiniCluster::HttpAddress(int n) const {
  return absl::StrCat("127.0.0.1:", stores_[Slot(n)].port + 1);
}

std::string MiniCluster::DataDir(int n) const {
  return absl::StrCat(directory_.path(), "/store-", n);
}
std::string MiniCluster::Log(int n) const { return ReadAll(DataDir(n) + ".log"); }

void MiniCluster::Launch(int n) {
  std::vector<std::string> words = {KvdPath(), "--listen", Address(n), "--data-dir", DataDir(n)};
  // The same number of groups on every machine.
  if (std::find(flags_.begin(), flags_.end(), "--cores") == flags_.end())
    words.insert(words.end(), {"--cores", "1"});
  if (n != 1) {
    words.push_back("--join");
    words.push_back(Addresses());
  }
  words.insert(words.end(), flags_.begin(), flags_.end());
  stores_[Slot(n)].pid = Spawn(words, DataDir(n) + ".log");
}

int MiniCluster::Add() {
  stores_.push_back({FreePortPair(), 0});
  KVD_CHECK_MSG(Start(size()), Log(size()));
  return size();
}

bool MiniCluster::Start(int n) {
  if (!Running(n)) Launch(n);
  pid_t pid = Pid(n);
  bool ended = false;
  Await(
      [&] {
        int status = 0;
        ended = waitpid(pid, &status, WNOHANG) == pid;
        return ended ||
               client::ClusterClient({}, std::chrono::seconds(1)).StatusOf(Address(n)).ok();
      },
      70);
  if (ended) stores_[Slot(n)].pid = 0;
  return !ended;
}

void MiniCluster::Kill(int n) {
  kill(Pid(n), SIGKILL);
  waitpid(Pid(n), nullptr, 0);
  stores_[Slot(n)].pid = 0;
}

int MiniCluster::Terminate(int n) {
  kill(Pid(n), SIGTERM);
  int status = 0;
  waitpid(Pid(n), &status, 0);
  stores_[Slot(n)].pid = 0;
  return ExitCode(status);
}

std::optional<int> MiniCluster::AwaitEnd(int n, int seconds) {
  int status = 0;
  if (!Await([&] { return waitpid(Pid(n), &status, WNOHANG) == Pid(n); }, seconds))
    return std::nullopt;
  stores_[Slot(n)].pid = 0;
  return ExitCode(status);
}

bool MiniCluster::Await(const std::function<bool()>& condition, int seconds) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

std::string MiniCluster::Metrics(int n) const {
  return RunProgram({"/usr/bin/curl", "-s", "http://" + HttpAddress(n) + "/metrics"}).output;
}

double MiniCluster::Metric(int n, const std::string& name) const {
  std::string told = "\n" + Metrics(n);
  size_t at = told.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(told.substr(at + name.size() + 2));
}

int MiniCluster::Leader(int seconds) {
  int leader = 0;
  client::ClusterClient cluster({}, std::chrono::seconds(1));
  Await(
      [&] {
        uint64_t term = 0;
        for (int n = 1; n <= size(); ++n) {
          if (!Running(n)) continue;
          auto status = cluster.StatusOf(Address(n));
          const v1::GroupStatus* group = status.ok() ? DataGroupOf(*status) : nullptr;
          if (group == nullptr || group->role() != v1::GroupStatus::LEADER) continue;
          if (group->term() < term) continue;
          term = group->term();
          leader = n;
        }
        return leader != 0;
      },
      seconds);
  return leader;
}

bool MiniCluster::Converged() {
  client::ClusterClient cluster({}, std::chrono::seconds(1));
  return Await([&] {
    uint64_t applied = 0;
    for (int n = 1; n <= size(); ++n) {
      if (!Running(n)) continue;
      auto status = cluster.StatusOf(Address(n));
      if (!status.ok()) return false;
      const v1::GroupStatus* group = DataGroupOf(*status);
      if (group == nullptr) continue;
      if (applied == 0) applied = group->applied_index();
      if (group->applied_index() != applied) return false;
    }
    return applied != 0;
  });
}

std::unique_ptr<Client> MiniCluster::Connect(std::chrono::milliseconds deadline) {
  ClientOptions options;
  options.addresses.clear();
  for (int n = 1; n <= size(); ++n) options.addresses.push_back(Address(n));
  options.deadline = deadline;
  auto client = Client::Connect(options);
  KVD_CHECK(client.ok());
  return *std::move(client);
}

Finished MiniCluster::Kvctl(std::vector<std::string> words, const std::string& input) {
  words.insert(words.begin(), {KvctlPath(), "--connect", Addresses()});
  return RunProgram(words, 60, input);
}

}  // namespace kvd
