#include "tests/cluster/tracer.h"

#include <signal.h>
#include <sys/wait.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/cluster/fault_cluster.h"
#include "tests/cluster/process.h"

namespace kvd {

Tracer::Tracer(pid_t pid, const std::string& call, const std::string& injection,
               std::string log_path)
    : log_path_(std::move(log_path)), log_begin_(ReadAll(log_path_).size()) {
  strace_ = Spawn({"/usr/bin/strace", "-f", "-p", std::to_string(pid), "-e", "trace=" + call, "-e",
                   absl::StrCat("inject=", call, ":", injection)},
                  log_path_);
  int status = 0;
  Await(
      [&] {
        attached_ = absl::StrContains(ReadAll(log_path_).substr(log_begin_), " attached");
        if (!attached_ && waitpid(strace_, &status, WNOHANG) == strace_) strace_ = 0;
        return attached_ || strace_ == 0;
      },
      10);
}

Tracer::~Tracer() {
  if (strace_ == 0) return;
  kill(strace_, SIGTERM);
  // A process that was killed under it may leave it waiting for a thread that is no more.
  if (!Await([&] { return waitpid(strace_, nullptr, WNOHANG) == strace_; }, 5)) {
    kill(strace_, SIGKILL);
    waitpid(strace_, nullptr, 0);
  }
}

bool Tracer::Injected() const {
  std::string log = ReadAll(log_path_).substr(log_begin_);
  return absl::StrContains(log, "(INJECTED)") || absl::StrContains(log, "(DELAYED)") ||
         absl::StrContains(log, "killed by SIGKILL");
}

}  // namespace kvd
