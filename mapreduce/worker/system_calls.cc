#include "mapreduce/worker/system_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "mapreduce/worker/protocol.h"

namespace kvd::mapreduce {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the worker's sandbox is known for x86-64 and arm64 only"
#endif

constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;
// What the C library takes as "not in this kernel": it then uses an older call.
constexpr uint32_t kUnknown = SECCOMP_RET_ERRNO | ENOSYS;

// Assembles a filter rule by rule; the system call's number is in the accumulator between rules.
class Assembler {
 public:
  Assembler() {
    Load(offsetof(seccomp_data, arch));
    Jump(BPF_JEQ, kArchitecture, 1, 0);
    Return(SECCOMP_RET_KILL_PROCESS);
    LoadNumber();
    // x32 calls on x86-64: other numbers for the same things.
    Jump(BPF_JGE, 0x40000000, 0, 1);
    Return(SECCOMP_RET_KILL_PROCESS);
  }

  void Always(long number, uint32_t action) {
    Jump(BPF_JEQ, static_cast<uint32_t>(number), 0, 1);
    Return(action);
  }
  // `action` if the low half of an argument compares so with `k`, else `otherwise`.
  void If(long number, int argument, uint16_t comparison, uint32_t k, uint32_t action,
          uint32_t otherwise) {
    Jump(BPF_JEQ, static_cast<uint32_t>(number), 0, 4);
    Load(offsetof(seccomp_data, args) + 8 * static_cast<size_t>(argument));
    Jump(comparison, k, 0, 1);
    Return(action);
    Return(otherwise);
  }
  void OnlyToItself(long number) {
    filter_.own_id_at.push_back(filter_.program.size() + 2);
    If(number, 0, BPF_JEQ, 0, SECCOMP_RET_ALLOW, kRefuse);
  }
  void Return(uint32_t action) { Add(BPF_RET | BPF_K, action, 0, 0); }

  SystemCallFilter Take() { return std::move(filter_); }

 private:
  void Add(int code, uint32_t k, uint8_t if_true, uint8_t if_false) {
    filter_.program.push_back({static_cast<uint16_t>(code), if_true, if_false, k});
  }
  void Load(size_t offset) { Add(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset), 0, 0); }
  void LoadNumber() { Load(offsetof(seccomp_data, nr)); }
  void Jump(int comparison, uint32_t k, uint8_t if_true, uint8_t if_false) {
    Add(BPF_JMP | comparison | BPF_K, k, if_true, if_false);
  }

  SystemCallFilter filter_;
};

// No worker needs these, nor does starting a program.
constexpr long kDenied[] = {
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_sendto,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_kill,
    SYS_tkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_pidfd_getfd,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_setns,
    SYS_unshare,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_reboot,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_swapon,
    SYS_swapoff,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_acct,
    SYS_quotactl,
    SYS_syslog,
    SYS_sched_setscheduler,
    SYS_sched_setparam,
    SYS_sched_setattr,
    SYS_setpriority,
    SYS_ioprio_set,
    SYS_setrlimit,
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setgroups,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_capset,
    SYS_setsid,
    SYS_setpgid,
    SYS_open_by_handle_at,
    SYS_mknodat,
    SYS_unlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_mkdirat,
    SYS_linkat,
    SYS_symlinkat,
    SYS_truncate,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_utimensat,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_fsetxattr,
    SYS_removexattr,
    SYS_lremovexattr,
    SYS_fremovexattr,
    SYS_memfd_create,
    SYS_inotify_init1,
    SYS_fanotify_init,
    SYS_msgget,
    SYS_semget,
    SYS_shmget,
    SYS_mq_open,
#if defined(__x86_64__)
    SYS_fork,
    SYS_vfork,
    SYS_creat,
    SYS_mknod,
    SYS_unlink,
    SYS_rmdir,
    SYS_rename,
    SYS_mkdir,
    SYS_link,
    SYS_symlink,
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
    SYS_utime,
    SYS_utimes,
    SYS_futimesat,
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
    SYS_inotify_init,
#endif
};

constexpr long kAllowed[] = {
    SYS_brk,          SYS_munmap,         SYS_mremap,          SYS_madvise,     SYS_futex,
    SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_restart_syscall, SYS_exit,        SYS_exit_group,
    SYS_getpid,       SYS_gettid,         SYS_sched_yield,     SYS_sigaltstack,
};

// Asked by C libraries in passing; without an answer they do something else.
constexpr long kRefused[] = {
    SYS_sysinfo,   SYS_prlimit64,  SYS_getrlimit,    SYS_sched_getaffinity,
    SYS_fstat,     SYS_newfstatat, SYS_ioctl,        SYS_lseek,
    SYS_getrandom, SYS_uname,      SYS_rt_sigaction,
};

constexpr uint32_t kWriting = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;

}  // namespace

SystemCallFilter LaunchFilter() {
  Assembler a;
  for (long number : kDenied) a.Always(number, kRefuse);
  a.If(SYS_openat, 2, BPF_JSET, kWriting, kRefuse, SECCOMP_RET_ALLOW);
  a.Always(SYS_openat2, kUnknown);
#if defined(__x86_64__)
  a.If(SYS_open, 1, BPF_JSET, kWriting, kRefuse, SECCOMP_RET_ALLOW);
#endif
  // Threads (a sanitizer's runtime starts one), but no processes.
  a.If(SYS_clone, 0, BPF_JSET, CLONE_THREAD, SECCOMP_RET_ALLOW, kRefuse);
  a.Always(SYS_clone3, kUnknown);
  a.OnlyToItself(SYS_tgkill);
  // Reading one's limits, not setting them.
  a.If(SYS_prlimit64, 2, BPF_JEQ, 0, SECCOMP_RET_ALLOW, kRefuse);
  a.Return(SECCOMP_RET_ALLOW);
  return a.Take();
}

SystemCallFilter UserCodeFilter() {
  Assembler a;
  a.If(SYS_read, 0, BPF_JEQ, wire::kSocketFd, SECCOMP_RET_ALLOW, SECCOMP_RET_TRAP);
  // 1, 2: /dev/null; 3: the socket.
  static_assert(wire::kSocketFd == 3);
  a.If(SYS_write, 0, BPF_JGT, wire::kSocketFd, SECCOMP_RET_TRAP, SECCOMP_RET_ALLOW);
  a.If(SYS_writev, 0, BPF_JGT, wire::kSocketFd, SECCOMP_RET_TRAP, SECCOMP_RET_ALLOW);
  // Files can't be mapped: there are none.
  a.If(SYS_mmap, 2, BPF_JSET, PROT_EXEC, SECCOMP_RET_TRAP, SECCOMP_RET_ALLOW);
  a.If(SYS_mprotect, 2, BPF_JSET, PROT_EXEC, SECCOMP_RET_TRAP, SECCOMP_RET_ALLOW);
  for (long number : kAllowed) a.Always(number, SECCOMP_RET_ALLOW);
  for (long number : kRefused) a.Always(number, kRefuse);
  a.OnlyToItself(SYS_tgkill);
  a.Return(SECCOMP_RET_TRAP);
  return a.Take();
}

bool SetFilter(const sock_filter* program, size_t size) {
  sock_fprog filter{static_cast<unsigned short>(size), const_cast<sock_filter*>(program)};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

const char* SystemCallName(uint64_t number) {
  struct Name {
    long number;
    const char* name;
  };
  static constexpr Name kNames[] = {
    {SYS_openat, "openat"},
    {SYS_socket, "socket"},
    {SYS_connect, "connect"},
    {SYS_clone, "clone"},
    {SYS_clone3, "clone3"},
    {SYS_execve, "execve"},
    {SYS_execveat, "execveat"},
    {SYS_kill, "kill"},
    {SYS_ptrace, "ptrace"},
    {SYS_mmap, "mmap"},
    {SYS_mprotect, "mprotect"},
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_close, "close"},
    {SYS_dup, "dup"},
    {SYS_clock_gettime, "clock_gettime"},
    {SYS_gettimeofday, "gettimeofday"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_rt_sigaction, "rt_sigaction"},
    {SYS_prctl, "prctl"},
    {SYS_unlinkat, "unlinkat"},
    {SYS_readlinkat, "readlinkat"},
    {SYS_getcwd, "getcwd"},
    {SYS_wait4, "wait4"},
    {SYS_pipe2, "pipe2"},
    {SYS_getrusage, "getrusage"},
    {SYS_times, "times"},
#if defined(__x86_64__)
    {SYS_open, "open"},
    {SYS_fork, "fork"},
    {SYS_vfork, "vfork"},
    {SYS_time, "time"},
    {SYS_unlink, "unlink"},
    {SYS_pause, "pause"},
#endif
  };
  for (const Name& known : kNames)
    if (static_cast<uint64_t>(known.number) == number) return known.name;
  return nullptr;
}

}  // namespace kvd::mapreduce
