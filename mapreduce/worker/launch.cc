#include "mapreduce/worker/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mapreduce/worker/protocol.h"

namespace kvd::mapreduce {
namespace {

[[noreturn]] void GiveUp(LaunchPlan* plan, const char* step) {
  plan->failed_error = errno;
  plan->failed_step = step;
  _exit(127);
}

// Handlers of the store's would run in its memory.
void ResetSignals() {
  // As the kernel has it; sigaction() may keep notes, in memory that is not ours.
  struct {
    void (*handler)(int) = SIG_DFL;
    unsigned long flags = 0;
    void (*restorer)() = nullptr;
    unsigned long mask = 0;
  } action;
  for (int signal = 1; signal <= 64; ++signal)
    syscall(SYS_rt_sigaction, signal, &action, nullptr, sizeof(action.mask));
  unsigned long none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof(none));
}

// Puts the worker's files where it expects them and closes all others. Gives the program's new
// number.
int PlaceFiles(LaunchPlan* plan) {
  constexpr int kAside = 16;
  int socket = fcntl(plan->socket, F_DUPFD, kAside);
  int slot = fcntl(plan->slot, F_DUPFD, kAside);
  int null_device = fcntl(plan->null_device, F_DUPFD, kAside);
  int program = fcntl(plan->program_fd, F_DUPFD_CLOEXEC, kAside);
  if (socket < 0 || slot < 0 || null_device < 0 || program < 0) GiveUp(plan, "fcntl");
  for (int fd = 0; fd < wire::kSocketFd; ++fd)
    if (dup2(null_device, fd) < 0) GiveUp(plan, "dup2");
  if (dup2(socket, wire::kSocketFd) < 0 || dup2(slot, wire::kSlotFd) < 0) GiveUp(plan, "dup2");
  if (syscall(SYS_close_range, wire::kSlotFd + 1, program - 1, 0) != 0 ||
      syscall(SYS_close_range, program + 1, ~0U, 0) != 0)
    GiveUp(plan, "close_range");
  return program;
}

// The C library's functions for this would change all of the store's threads.
void ChangeUser(LaunchPlan* plan) {
  if (!plan->changes_user) return;
  if (syscall(SYS_setgroups, 0, nullptr) != 0) GiveUp(plan, "setgroups");
  if (syscall(SYS_setresgid, plan->group, plan->group, plan->group) != 0) GiveUp(plan, "setresgid");
  if (syscall(SYS_setresuid, plan->user, plan->user, plan->user) != 0) GiveUp(plan, "setresuid");
}

// When memory is short a worker goes, not the store. Best effort.
void BeFirstToGo() {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] ssize_t written = write(fd, "1000", 4);
  close(fd);
}

[[noreturn]] void RunChild(LaunchPlan* plan) {
  ResetSignals();
  if (setsid() < 0) GiveUp(plan, "setsid");
  BeFirstToGo();
  int program = PlaceFiles(plan);
  if (chdir(plan->directory) != 0) GiveUp(plan, "chdir");
  ChangeUser(plan);
  for (size_t i = 0; i < plan->limit_count; ++i)
    if (syscall(SYS_prlimit64, 0, plan->limits[i].resource, &plan->limits[i].value, nullptr) != 0)
      GiveUp(plan, "setrlimit");
  // Both are undone by a change of user, so they come after it.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) GiveUp(plan, "prctl");
  if (getppid() != plan->parent) _exit(127);
  sched_param none = {};
  if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) GiveUp(plan, "sched_setscheduler");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) GiveUp(plan, "prctl");
  auto self = static_cast<uint32_t>(syscall(SYS_getpid));
  for (size_t at : plan->filter->own_id_at) plan->filter->program[at].k = self;
  if (!SetFilter(plan->filter->program.data(), plan->filter->program.size()))
    GiveUp(plan, "seccomp");
  const char* arguments[] = {plan->name, nullptr};
  const char* environment[] = {nullptr};
  syscall(SYS_execveat, program, "", arguments, environment, AT_EMPTY_PATH);
  GiveUp(plan, "exec");
}

}  // namespace

pid_t Launch(LaunchPlan* plan) {
  // Not fork: copying the page tables of a store holds up all of its threads, for milliseconds a
  // GB.
  // And not posix_spawn, which can't do what RunChild does.
  pid_t pid = vfork();           // NOLINT(clang-analyzer-security.insecureAPI.vfork)
  if (pid == 0) RunChild(plan);  // NOLINT(clang-analyzer-unix.Vfork): it makes system calls only
  return pid;
}

}  // namespace kvd::mapreduce
