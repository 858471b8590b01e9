#include "mapreduce/worker/lua_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace kvd::mapreduce {
namespace {

// Far from where the kernel and sanitizers put things.
constexpr uintptr_t kRegion = 0x6b7600000000;

char* Reserve(uint64_t bytes) {
  // Without the fixed address, as under a sanitizer that forbids it, scripts run all the same.
  void* wanted = reinterpret_cast<void*>(kRegion);  // NOLINT(performance-no-int-to-ptr)
  void* at = mmap(wanted, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (at == MAP_FAILED)
    at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
              -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<char*>(at);
}

}  // namespace

LuaMemory::LuaMemory(uint64_t bytes_max)
    : bytes_max_(bytes_max), region_(Reserve(bytes_max)), next_(region_) {
  region_end_ = region_ == nullptr ? nullptr : region_ + bytes_max;
}

LuaMemory::~LuaMemory() {
  if (region_ != nullptr) munmap(region_, bytes_max_);
}

void* LuaMemory::Allocate(size_t bytes) {
  if (bytes > kSmallMax) {
    if (bytes > bytes_max_ - bytes_) return nullptr;
    void* block = std::malloc(bytes);
    if (block != nullptr) bytes_ += bytes;
    return block;
  }
  size_t size_class = (bytes + kStep - 1) / kStep;
  if (Free* block = free_[size_class]; block != nullptr) {
    free_[size_class] = block->next;
    return block;
  }
  bytes = size_class * kStep;
  if (bytes > bytes_max_ - bytes_ || bytes > static_cast<size_t>(region_end_ - next_))
    return nullptr;
  void* block = next_;
  next_ += bytes;
  bytes_ += bytes;
  return block;
}

void LuaMemory::Release(void* block, size_t bytes) {
  if (block == nullptr) return;
  if (bytes > kSmallMax) {
    std::free(block);
    bytes_ -= bytes;
    return;
  }
  auto* free = static_cast<Free*>(block);
  size_t size_class = (bytes + kStep - 1) / kStep;
  free->next = free_[size_class];
  free_[size_class] = free;
}

void* LuaMemory::Resize(void* block, size_t old_bytes, size_t new_bytes) {
  // For a new object Lua gives its kind as the old size.
  if (block == nullptr) old_bytes = 0;
  if (new_bytes == 0) {
    Release(block, old_bytes);
    return nullptr;
  }
  if (block == nullptr) return Allocate(new_bytes);
  if (old_bytes > kSmallMax && new_bytes > kSmallMax) {
    if (new_bytes > old_bytes && new_bytes - old_bytes > bytes_max_ - bytes_) return nullptr;
    void* moved = std::realloc(block, new_bytes);
    if (moved != nullptr) bytes_ += new_bytes - old_bytes;
    return moved;
  }
  if (old_bytes <= kSmallMax && (old_bytes + kStep - 1) / kStep == (new_bytes + kStep - 1) / kStep)
    return block;
  void* moved = Allocate(new_bytes);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, block, std::min(old_bytes, new_bytes));
  Release(block, old_bytes);
  return moved;
}

}  // namespace kvd::mapreduce
