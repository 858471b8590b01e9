// A range of keys [start, end). An empty end means "to the last key". A value type.
#pragma once

#include <string>
#include <string_view>

namespace kvd {

struct KeyRange {
  std::string start;
  std::string end;

  bool Contains(std::string_view key) const { return key >= start && (end.empty() || key < end); }
  bool Contains(const KeyRange& other) const {
    if (other.start < start) return false;
    return end.empty() || (!other.end.empty() && other.end <= end);
  }
  bool Overlaps(const KeyRange& other) const {
    return (end.empty() || other.start < end) && (other.end.empty() || start < other.end);
  }
  // Whether no key can be in the range.
  bool Empty() const { return !end.empty() && end <= start; }

  bool operator==(const KeyRange&) const = default;
};

// The first key after all keys that start with `prefix`; empty if there is none.
inline std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

}  // namespace kvd
