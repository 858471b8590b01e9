// Memory of a fixed size that a task may use, straight from the system: untouched pages cost
// nothing, and what was touched is given back at once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvd::mapreduce {

// Used by one thread.
class Region {
 public:
  Region() = default;
  // Zeros. Aborts the process if there is no address space left.
  explicit Region(size_t bytes);
  ~Region();
  Region(Region&& other) noexcept;
  Region& operator=(Region&& other) noexcept;

  char* data() const { return data_; }
  size_t size() const { return size_; }
  char* end() const { return data_ + size_; }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace kvd::mapreduce
