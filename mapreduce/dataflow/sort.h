// Sorts references to keys by partition and key. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace kvd::mapreduce {

struct SortItem {
  // Eight bytes of the key, as KeyPrefix has them, from the position that SortItems is told.
  uint64_t prefix;
  uint32_t partition;
  // Where the pair or entry lies, from `base`; rises with the order of emitting.
  uint32_t offset;
};

// What a sort knows of the memory that items point into.
class KeyTable {
 public:
  virtual ~KeyTable() = default;
  virtual std::string_view KeyAt(uint32_t offset) const = 0;
};

// Fills in the prefixes, taken behind what all keys have in common, and sorts by (partition, key,
// offset), in place. Requires: partitions below `partitions`.
void SortItems(std::span<SortItem> items, uint32_t partitions, const KeyTable& keys);

}  // namespace kvd::mapreduce
