#include "tests/cluster/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tests/cluster/process.h"

namespace kvd {
namespace {

constexpr int kNoSandbox = 125;

void DieWithParent() { prctl(PR_SET_PDEATHSIG, SIGKILL); }

[[noreturn]] void Give(const char* what) {
  std::fprintf(stderr, "sandbox: %s: %s\n", what, std::strerror(errno));
  _exit(kNoSandbox);
}

// Mounts that are seen by nobody else: process ids as they are in here, and namespaces' names.
void MountOwn() {
  // In a chroot "/" is no mount point, which ip wants it to be: the same is mounted once more, and
  // entered.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    bool entered = errno == EINVAL && mount("/", "/mnt", nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
                   chroot("/mnt") == 0 && chdir("/") == 0 &&
                   mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    if (!entered) Give("private mounts");
  }
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) Give("/proc");
  mkdir("/run/netns", 0755);
  if (mount("tmpfs", "/run/netns", "tmpfs", 0, "size=1m") != 0) Give("/run/netns");
}

// The first process in there: its end ends all others. Its child does the work, since the kernel
// shields a first process from signals, abort() included.
[[noreturn]] void RunInside(const std::function<int()>& body) {
  DieWithParent();
  MountOwn();
  pid_t worker = fork();
  if (worker == 0) {
    DieWithParent();
    int code = body();
    std::fflush(nullptr);
    _exit(code);
  }
  int status = 0;
  while (true) {
    pid_t ended = waitpid(-1, &status, 0);
    if (ended == worker) break;
    if (ended < 0 && errno != EINTR) _exit(kNoSandbox);
  }
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

}  // namespace

std::string WhyNoSandbox() {
  if (geteuid() != 0) return "network namespaces need root; run it as root";
  for (const char* tool : {"/usr/sbin/ip", "/usr/sbin/nft", "/usr/sbin/iptables", "/usr/sbin/tc",
                           "/usr/bin/strace", "/usr/bin/nsenter"}) {
    if (access(tool, X_OK) != 0) {
      return absl::StrCat(tool, " is missing; deploy/install-packages.sh test installs it");
    }
  }
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) _exit(unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID) == 0 ? 0 : 1);
  waitpid(pid, &status, 0);
  if (ExitCode(status) != 0) return "this machine allows no namespaces (unshare failed)";
  return "";
}

pid_t StartSandbox(const std::string& log_path, const std::function<int()>& body) {
  std::fflush(nullptr);
  pid_t pid = fork();
  if (pid != 0) return pid;
  DieWithParent();
  signal(SIGINT, SIG_IGN);  // the parent decides
  int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (log < 0) Give(log_path.c_str());
  dup2(log, 1);
  dup2(log, 2);
  if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID) != 0) Give("unshare");
  pid_t inside = fork();
  if (inside == 0) RunInside(body);
  _exit(WaitForSandbox(inside));
}

int WaitForSandbox(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return ExitCode(status);
}

}  // namespace kvd
