// The greatest of the values seen, each a decimal number and, behind a space or tab, what belongs
// to it. Equal numbers stand in the order of what belongs to them, byte by byte; equal values are
// kept as often as they came. The result does not depend on the order of adding and merging.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "mapreduce/dataflow/decimal.h"

namespace kvd::mapreduce {

// Used by one thread.
class TopValues {
 public:
  // INVALID_ARGUMENT naming the value if it begins with no number, or kTopPayloadMax.
  absl::Status Add(std::string_view value, uint32_t top);
  // Takes in a stored form. False: it is malformed; what stands before the damage may be taken.
  bool Merge(std::string_view encoded, uint32_t top);
  void Encode(std::string* out) const;
  // A line for each, the greatest first: the number, and if there is more a space and the rest.
  void Render(std::string* out) const;
  size_t MemoryBytes() const {
    return bytes_ + sizeof(*this) + entries_.capacity() * sizeof(Entry);
  }

 private:
  struct Entry {
    Decimal number;
    std::string payload;
  };
  static bool Before(const Entry& a, const Entry& b);
  void Insert(Entry entry, uint32_t top);

  // The greatest first.
  std::vector<Entry> entries_;
  // Of payloads.
  size_t bytes_ = 0;
};

}  // namespace kvd::mapreduce
