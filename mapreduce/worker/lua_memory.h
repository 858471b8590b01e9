// Memory of one Lua state: a limit, and addresses that depend on nothing but what the script does.
// Lua orders the keys of a table by hashes, and tables and functions as keys by their addresses:
// were these different in each process, so would be what `pairs` gives, and with it a task's
// output. Small blocks come from a region at a fixed address, by size classes; large ones, which
// are never hashed by address, from the C library. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvd::mapreduce {

class LuaMemory {
 public:
  explicit LuaMemory(uint64_t bytes_max);
  LuaMemory(const LuaMemory&) = delete;
  LuaMemory& operator=(const LuaMemory&) = delete;
  ~LuaMemory();

  // As lua_Alloc: null if the limit would be exceeded.
  void* Resize(void* block, size_t old_bytes, size_t new_bytes);
  uint64_t bytes_max() const { return bytes_max_; }

 private:
  static constexpr size_t kStep = 16;
  static constexpr size_t kSmallMax = 2048;
  struct Free {
    Free* next;
  };

  void* Allocate(size_t bytes);
  void Release(void* block, size_t bytes);

  const uint64_t bytes_max_;
  // Of large blocks in use, and what was ever taken from the region.
  uint64_t bytes_ = 0;
  char* region_;
  char* region_end_;
  char* next_;
  Free* free_[kSmallMax / kStep + 1] = {};
};

}  // namespace kvd::mapreduce
