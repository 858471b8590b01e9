// A process for user code, as a store starts it: a socketpair and a page of shared memory, and else
// nothing of the store's. Before its program begins it has: a session of its own, no file beside
// these and /dev/null, an empty directory as its own, an empty environment, another user if one is
// given, resource limits, SCHED_IDLE, first place with the kernel's out-of-memory killer, no way to
// new privileges, LaunchFilter (system_calls.h), and death when the thread ends that started it.
// Used by one thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mapreduce/worker/protocol.h"

namespace kvd::mapreduce {

struct UserIds {
  uid_t user = 0;
  gid_t group = 0;
};
// UNAVAILABLE: there is no such user.
absl::StatusOr<UserIds> FindUser(const std::string& name);

// A file descriptor, closed with it.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnedFd();
  int get() const { return fd_; }

 private:
  int fd_;
};

struct ProcessOptions {
  // The program, open (O_PATH will do), and its name for messages and its argv[0].
  int program_fd = -1;
  std::string name;
  // An empty directory that the user may enter.
  std::string directory;
  // Needs root.
  std::optional<UserIds> user;
  // Of memory that is its own to write, and of address space. Not enforced in builds with
  // sanitizers, which reserve terabytes.
  uint64_t data_bytes = 0;
  uint64_t address_space_bytes = 0;
  // Rounded up to seconds.
  uint64_t cpu_ms = 0;
};

// How a process ended.
struct ProcessEnd {
  // By store's wish.
  bool killed = false;
  // 0: by itself, with exit_code.
  int signal = 0;
  int exit_code = 0;
  uint64_t cpu_ms = 0;
};

class WorkerProcess {
 public:
  // UNAVAILABLE if it can't be started; names the step and the system's error.
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Start(const ProcessOptions& options);
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;
  // Kills it with all of its process group.
  ~WorkerProcess();

  pid_t pid() const { return pid_; }
  // Does not block.
  int socket() const { return socket_.get(); }
  const wire::Slot& slot() const { return *slot_; }
  // What it has had of the processors so far; all 0 if the kernel does not tell.
  struct Schedule {
    // Nanoseconds that it or the thread that started it could have run but had no processor. What
    // the worker waits now is in it only when it runs again.
    uint64_t waited = 0;
    // Nanoseconds that it ran.
    uint64_t ran = 0;
    // It runs, or would if it had a processor.
    bool runnable = false;
  };
  Schedule schedule() const;
  // SIGUSR1. A program that does not handle it dies of it.
  void AskToStop();
  // How it ended; if it has not after so long, it is killed.
  const ProcessEnd& End(int wait_ms);

 private:
  WorkerProcess() = default;
  absl::Status Launch(const ProcessOptions& options);

  pid_t pid_ = -1;
  OwnedFd socket_;
  OwnedFd handle_;
  OwnedFd schedule_;
  OwnedFd own_schedule_;
  OwnedFd state_;
  wire::Slot* slot_ = nullptr;
  std::optional<ProcessEnd> end_;
};

}  // namespace kvd::mapreduce
