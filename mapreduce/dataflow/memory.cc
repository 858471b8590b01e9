#include "mapreduce/dataflow/memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "proto/check.h"

namespace kvd::mapreduce {

Region::Region(size_t bytes) : size_(bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  KVD_CHECK_MSG(at != MAP_FAILED, std::strerror(errno));
  data_ = static_cast<char*>(at);
  // Look-ups all over it would miss the TLB each time. A kernel without huge pages refuses; fine.
  constexpr size_t kWorthIt = 4 << 20;
  if (bytes >= kWorthIt) madvise(at, bytes, MADV_HUGEPAGE);
}

Region::~Region() {
  if (data_ != nullptr) munmap(data_, size_);
}

Region::Region(Region&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Region& Region::operator=(Region&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace kvd::mapreduce
