// Runs of many seeds in processes of their own, so that one that fails does not end the others;
// what they count lies in memory that all share.
#pragma once

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>

namespace kvd::sim {

// A T that child processes write to as well.
template <class T>
T* MakeShared() {
  void* memory =
      mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return new (memory) T();
}

// Runs `count` seeds from `first` in a child; the seed that failed, or 0.
inline uint64_t RunBlock(uint64_t first, uint64_t count, const std::function<void(uint64_t)>& run) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) std::abort();
  pid_t child = fork();
  if (child == 0) {
    for (uint64_t seed = first; seed < first + count; ++seed) {
      if (write(pipe_ends[1], &seed, sizeof seed) != sizeof seed) _exit(1);
      run(seed);
    }
    std::fflush(stdout);
    _exit(0);
  }
  close(pipe_ends[1]);
  uint64_t seed = first;
  while (read(pipe_ends[0], &seed, sizeof seed) == sizeof seed) {
  }
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : seed;
}

}  // namespace kvd::sim
