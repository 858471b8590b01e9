#include "tests/cluster/lone_store.h"

#include <signal.h>
#include <sys/wait.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/cluster/fault_cluster.h"
#include "tests/cluster/process.h"

namespace kvd {
namespace {

constexpr int kStartSeconds = 60;

}  // namespace

bool LoneStore::Start() {
  std::filesystem::remove(LogPath());
  pid_ = Spawn({KvdPath(), "--listen", Address(), "--http-listen", "none", "--data-dir", directory_,
                "--write-buffer-mb", "1", "--log-keep-mb", "1", "--election-timeout-ms", "60",
                "--heartbeat-ms", "20"},
               LogPath());
  KVD_CHECK_MSG(Await([&] { return Ended() || Status().ok(); }, kStartSeconds), Log());
  // It may yet meet the damage when it becomes the leader.
  KVD_CHECK_MSG(
      Await([&] { return Ended() || Connect(std::chrono::seconds(2))->Put("probe", "x").ok(); },
            kStartSeconds),
      Log());
  return pid_ != 0;
}

bool LoneStore::Ended() {
  int status = 0;
  if (pid_ != 0 && waitpid(pid_, &status, WNOHANG) == pid_) {
    pid_ = 0;
    exit_code_ = ExitCode(status);
  }
  return pid_ == 0;
}

void LoneStore::Kill() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

std::string LoneStore::Log() const { return ReadAll(LogPath()); }

absl::StatusOr<v1::StatusResponse> LoneStore::Status() const {
  return client::ClusterClient({}, std::chrono::seconds(2)).StatusOf(Address());
}

std::unique_ptr<Client> LoneStore::Connect(std::chrono::milliseconds deadline) const {
  ClientOptions options;
  options.addresses = {Address()};
  options.deadline = deadline;
  return *Client::Connect(options);
}

std::string LoneStore::Address() const { return absl::StrCat("127.0.0.1:", port_); }

}  // namespace kvd
