// What happens between fork and exec of a worker process. The child shares the store's memory until
// exec, as after vfork: nothing is allocated there, no lock taken, and no function called that is
// more than a system call.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstddef>

#include "mapreduce/worker/system_calls.h"

namespace kvd::mapreduce {

// Everything prepared beforehand.
struct LaunchPlan {
  int program_fd = -1;
  const char* name = nullptr;
  const char* directory = nullptr;
  int socket = -1;
  int slot = -1;
  int null_device = -1;
  bool changes_user = false;
  uid_t user = 0;
  gid_t group = 0;
  struct Limit {
    int resource;
    rlimit value;
  };
  const Limit* limits = nullptr;
  size_t limit_count = 0;
  SystemCallFilter* filter = nullptr;
  pid_t parent = -1;

  // What did not work, written by the child.
  const char* volatile failed_step = nullptr;
  volatile int failed_error = 0;
};

// Starts the child and waits until its program runs or it has given up. All signals must be
// blocked. -1: errno tells.
pid_t Launch(LaunchPlan* plan);

}  // namespace kvd::mapreduce
