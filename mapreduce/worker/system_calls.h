// Seccomp filters, in two layers. The store sets the first on every worker process before its
// program begins; it takes away what no worker needs but leaves what starting a program does. A
// program that runs user code sets the second itself, before any of it: that lets only what is
// listed pass. Used by both sides; nothing here needs more than the C library.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kvd::mapreduce {

struct SystemCallFilter {
  std::vector<sock_filter> program;
  // Instructions that compare with the process's own id: it is to be put there (k) before use.
  std::vector<size_t> own_id_at;
};

// Refused with EPERM: sockets, new processes, signals to others, writing or changing files, mounts,
// namespaces, tracing, raising limits or priority.
SystemCallFilter LaunchFilter();

// Passes: reading from and writing to the worker's socket, writing to standard output and error
// (which lead nowhere), memory without execute permission, signals to itself, and exit. What C
// libraries ask and can do without is refused with EPERM. Anything else raises SIGSYS.
SystemCallFilter UserCodeFilter();

// Sets it on the calling thread, for good. PR_SET_NO_NEW_PRIVS must be set. Makes one system call
// and allocates nothing, so it may be called between fork and exec. False: errno tells.
bool SetFilter(const sock_filter* program, size_t size);

// "openat"; null for one that is not well known.
const char* SystemCallName(uint64_t number);

}  // namespace kvd::mapreduce
