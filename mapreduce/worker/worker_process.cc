#include "mapreduce/worker/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "mapreduce/worker/launch.h"

namespace kvd::mapreduce {
namespace {

constexpr int kSocketBufferBytes = 1 << 20;
// The program loader needs a few.
constexpr rlim_t kFilesMax = 32;
constexpr rlim_t kStackBytes = 8 << 20;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kLimitsMemory = false;
#else
constexpr bool kLimitsMemory = true;
#endif

absl::Status SystemError(const std::string& name, const char* step, int error) {
  return absl::UnavailableError(absl::StrCat("worker process ", name, " can't be started: ", step,
                                             ": ", strerrordesc_np(error)));
}

std::vector<LaunchPlan::Limit> LimitsOf(const ProcessOptions& options) {
  auto hard = [](rlim_t value) { return rlimit{value, value}; };
  rlim_t cpu_s = (options.cpu_ms + 999) / 1000;
  std::vector<LaunchPlan::Limit> limits = {
      {RLIMIT_CORE, hard(0)},
      {RLIMIT_FSIZE, hard(0)},
      {RLIMIT_NPROC, hard(0)},
      {RLIMIT_MEMLOCK, hard(0)},
      {RLIMIT_MSGQUEUE, hard(0)},
      {RLIMIT_NOFILE, hard(kFilesMax)},
      {RLIMIT_STACK, hard(kStackBytes)},
      // SIGXCPU tells which limit it was; who ignores it is killed a second later.
      {RLIMIT_CPU, rlimit{cpu_s, cpu_s + 1}},
  };
  if (kLimitsMemory) {
    limits.push_back({RLIMIT_DATA, hard(options.data_bytes)});
    limits.push_back({RLIMIT_AS, hard(options.address_space_bytes)});
  }
  return limits;
}

// A page of shared memory whose size neither side can change: a shorter one would kill the other
// side at its next look.
int MakeSlot() {
  int fd = memfd_create("kvd-worker-slot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  if (ftruncate(fd, wire::kSlotBytes) == 0 &&
      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
    return fd;
  close(fd);
  return -1;
}

// Of a task's open schedstat: nanoseconds that it ran, and that it waited for a processor.
std::pair<uint64_t, uint64_t> RanAndWaited(int fd) {
  char text[128] = {};
  if (pread(fd, text, sizeof(text) - 1, 0) <= 0) return {0, 0};
  char* second = nullptr;
  uint64_t ran = std::strtoull(text, &second, 10);
  return {ran, std::strtoull(second, nullptr, 10)};
}

// Of a task's open stat: its number, its name in brackets, its state.
bool IsRunnable(int fd) {
  char text[128] = {};
  if (pread(fd, text, sizeof(text) - 1, 0) <= 0) return false;
  const char* name_end = std::strrchr(text, ')');
  return name_end != nullptr && name_end[1] == ' ' && name_end[2] == 'R';
}

// Holds back the thread's signals.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<UserIds> FindUser(const std::string& name) {
  passwd entry = {};
  passwd* found = nullptr;
  std::vector<char> buffer(16 << 10);
  int error = getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr)
    return absl::UnavailableError(absl::StrCat("there is no user ", name, " to run workers as",
                                               error == 0 ? "" : ": ",
                                               error == 0 ? "" : strerrordesc_np(error)));
  return UserIds{found->pw_uid, found->pw_gid};
}

absl::StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Start(const ProcessOptions& options) {
  std::unique_ptr<WorkerProcess> process(new WorkerProcess);
  if (absl::Status status = process->Launch(options); !status.ok()) return status;
  return process;
}

absl::Status WorkerProcess::Launch(const ProcessOptions& options) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return SystemError(options.name, "socketpair", errno);
  socket_ = OwnedFd(pair[0]);
  OwnedFd theirs(pair[1]);
  for (int fd : pair)
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBufferBytes, sizeof(kSocketBufferBytes));
  if (fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) return SystemError(options.name, "fcntl", errno);
  OwnedFd slot(MakeSlot());
  if (slot.get() < 0) return SystemError(options.name, "memfd_create", errno);
  void* at = mmap(nullptr, wire::kSlotBytes, PROT_READ | PROT_WRITE, MAP_SHARED, slot.get(), 0);
  if (at == MAP_FAILED) return SystemError(options.name, "mmap", errno);
  slot_ = static_cast<wire::Slot*>(at);
  OwnedFd null_device(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null_device.get() < 0) return SystemError(options.name, "open /dev/null", errno);

  auto limits = LimitsOf(options);
  SystemCallFilter filter = LaunchFilter();
  LaunchPlan plan;
  plan.program_fd = options.program_fd;
  plan.name = options.name.c_str();
  plan.directory = options.directory.c_str();
  plan.socket = theirs.get();
  plan.slot = slot.get();
  plan.null_device = null_device.get();
  plan.changes_user = options.user.has_value();
  plan.user = options.user.value_or(UserIds{}).user;
  plan.group = options.user.value_or(UserIds{}).group;
  plan.limits = limits.data();
  plan.limit_count = limits.size();
  plan.filter = &filter;
  plan.parent = getpid();
  {
    SignalsBlocked blocked;
    pid_ = mapreduce::Launch(&plan);
  }
  if (pid_ < 0) return SystemError(options.name, "vfork", errno);
  if (plan.failed_step != nullptr)
    return SystemError(options.name, plan.failed_step, plan.failed_error);
  handle_ = OwnedFd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  if (handle_.get() < 0) return SystemError(options.name, "pidfd_open", errno);
  std::string files = absl::StrCat("/proc/", pid_);
  schedule_ = OwnedFd(open((files + "/schedstat").c_str(), O_RDONLY | O_CLOEXEC));
  state_ = OwnedFd(open((files + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  own_schedule_ = OwnedFd(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  return absl::OkStatus();
}

WorkerProcess::~WorkerProcess() {
  if (pid_ > 0) End(0);
  if (slot_ != nullptr) munmap(slot_, wire::kSlotBytes);
}

WorkerProcess::Schedule WorkerProcess::schedule() const {
  Schedule now;
  // Before the numbers: if it runs in between, they have changed.
  now.runnable = IsRunnable(state_.get());
  std::tie(now.ran, now.waited) = RanAndWaited(schedule_.get());
  now.waited += RanAndWaited(own_schedule_.get()).second;
  return now;
}

void WorkerProcess::AskToStop() {
  if (!end_) kill(pid_, SIGUSR1);
}

const ProcessEnd& WorkerProcess::End(int wait_ms) {
  if (end_) return *end_;
  ProcessEnd end;
  pollfd ended{handle_.get(), POLLIN, 0};
  int ready = 0;
  if (wait_ms > 0 && handle_.get() >= 0) {
    do {
      ready = poll(&ended, 1, wait_ms);
    } while (ready < 0 && errno == EINTR);
  }
  end.killed = ready <= 0;
  // Until it is waited for, its id is nobody else's. The group goes with it.
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  int status = 0;
  rusage usage = {};
  pid_t ended_pid = 0;
  do {
    ended_pid = wait4(pid_, &status, 0, &usage);
  } while (ended_pid < 0 && errno == EINTR);
  // Not known if this process has been started with SIGCHLD ignored: it is gone nevertheless.
  if (ended_pid < 0) {
    end.exit_code = -1;
  } else if (WIFSIGNALED(status)) {
    end.signal = WTERMSIG(status);
  } else {
    end.exit_code = WEXITSTATUS(status);
  }
  auto ms = [](const timeval& t) {
    return static_cast<uint64_t>(t.tv_sec) * 1000 + static_cast<uint64_t>(t.tv_usec) / 1000;
  };
  end.cpu_ms = ms(usage.ru_utime) + ms(usage.ru_stime);
  end_ = end;
  return *end_;
}

}  // namespace kvd::mapreduce
