#include "mapreduce/worker/sandbox.h"

#include <link.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "mapreduce/worker/guest_port.h"
#include "mapreduce/worker/system_calls.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KVD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KVD_SANITIZED 1
#endif
#endif

#ifdef KVD_SANITIZED
// Its runtime would set a limit at start and look for leaks at the end, neither of which is allowed
// here.
extern "C" const char* __asan_default_options() {  // NOLINT
  return "disable_coredump=0:detect_leaks=0";
}
#endif

namespace kvd::mapreduce {
namespace {

wire::Slot* slot_of_process = nullptr;

#if defined(__x86_64__) && !defined(KVD_SANITIZED)
constexpr bool kHidesClock = true;
#else
// On arm64 returning from a signal needs the vDSO, and a sanitizer's runtime reads the clock.
constexpr bool kHidesClock = false;
#endif

// Where the kernel's clock functions were.
uintptr_t vdso_begin = 0;
uintptr_t vdso_end = 0;

void OnSystemCall(int, siginfo_t* info, void*) {
  EndInTrap(wire::Trap::kSystemCall, static_cast<uint64_t>(info->si_syscall));
}

#if !defined(KVD_SANITIZED)
#if defined(__x86_64__)
bool IsTimeStampCounter(const ucontext_t* context) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  const auto* at = reinterpret_cast<const unsigned char*>(context->uc_mcontext.gregs[REG_RIP]);
  // rdtsc, rdtscp. The processor was about to execute this, so it can be read.
  return at[0] == 0x0f && (at[1] == 0x31 || (at[1] == 0x01 && at[2] == 0xf9));
}
#endif

// The handler is gone when this runs (SA_RESETHAND): to return is to fault again, and die of it.
void OnSegmentationFault([[maybe_unused]] int signal, siginfo_t* info,
                         [[maybe_unused]] void* context) {
  auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (info->si_code != SI_KERNEL) {
    if (address >= vdso_begin && address < vdso_end) EndInTrap(wire::Trap::kClock, 0);
    return;
  }
#if defined(__x86_64__)
  // The stack, or an address that is none, faults so too: its instruction can still be read.
  if (IsTimeStampCounter(static_cast<ucontext_t*>(context))) EndInTrap(wire::Trap::kClock, 0);
#endif
}
#endif  // KVD_SANITIZED

bool SetHandlers() {
  static char stack[16 << 10];
  stack_t alternative = {};
  alternative.ss_sp = stack;
  alternative.ss_size = sizeof(stack);
  if (sigaltstack(&alternative, nullptr) != 0) return false;
  struct sigaction action = {};
  action.sa_sigaction = OnSystemCall;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  if (sigaction(SIGSYS, &action, nullptr) != 0) return false;
#ifndef KVD_SANITIZED
  action.sa_sigaction = OnSegmentationFault;
  action.sa_flags = static_cast<int>(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND);
  if (sigaction(SIGSEGV, &action, nullptr) != 0) return false;
#endif
  return true;
}

// The bytes of the ELF image that the kernel maps into each process, in whole pages.
size_t VdsoBytes(const char* image) {
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(image);
  const auto* segments = reinterpret_cast<const ElfW(Phdr)*>(image + header->e_phoff);
  size_t bytes = 0;
  for (int i = 0; i < header->e_phnum; ++i)
    if (segments[i].p_type == PT_LOAD) bytes = segments[i].p_vaddr + segments[i].p_memsz;
  auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// Takes the functions away that read the clock without a system call, and forbids the instruction
// that they use. The data that they read stay: whoever looks for them there can find the time to a
// few milliseconds.
bool HideClock() {
  if (!kHidesClock) return true;
  uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
  if (vdso != 0) {
    auto* image = reinterpret_cast<char*>(vdso);  // NOLINT(performance-no-int-to-ptr)
    size_t bytes = VdsoBytes(image);
    if (munmap(image, bytes) != 0) return false;
    vdso_begin = vdso;
    vdso_end = vdso + bytes;
  }
  return prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0;
}

}  // namespace

void EndInTrap(wire::Trap trap, uint64_t detail) {
  slot_of_process->trap_detail.store(detail, std::memory_order_relaxed);
  slot_of_process->trap.store(static_cast<uint32_t>(trap), std::memory_order_relaxed);
  _exit(kTrapped);
}

bool EnterSandbox(wire::Slot* slot) {
  slot_of_process = slot;
  SystemCallFilter filter = UserCodeFilter();
  for (size_t at : filter.own_id_at) filter.program[at].k = static_cast<uint32_t>(getpid());
  return SetHandlers() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && HideClock() &&
         SetFilter(filter.program.data(), filter.program.size());
}

}  // namespace kvd::mapreduce
