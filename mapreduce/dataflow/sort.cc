#include "mapreduce/dataflow/sort.h"

#include <algorithm>
#include <array>
#include <vector>

#include "mapreduce/dataflow/merge.h"

namespace kvd::mapreduce {
namespace {

// Smaller stretches are sorted by comparing.
constexpr size_t kRadixMin = 64;

using Items = std::span<SortItem>;

// Puts the items in order of their digits, each swap bringing one home (American flag sort:
// McIlroy, Bostic, McIlroy 1993). `ends` has the count of each digit, and is left with where its
// items end.
template <class Digit>
void Distribute(Items items, std::span<size_t> ends, Digit digit) {
  std::vector<size_t> next(ends.size());
  size_t sum = 0;
  for (size_t d = 0; d < ends.size(); ++d) {
    next[d] = sum;
    sum += ends[d];
    ends[d] = sum;
  }
  for (size_t d = 0; d < ends.size(); ++d) {
    while (next[d] < ends[d]) {
      SortItem item = items[next[d]];
      for (size_t home = digit(item); home != d; home = digit(item)) {
        std::swap(item, items[next[home]++]);
      }
      items[next[d]++] = item;
    }
  }
}

class Sorter {
 public:
  Sorter(const KeyTable& keys, size_t skip) : keys_(keys), skip_(skip) {}

  // Items of one partition, whose prefixes agree above `shift` + 8 bits.
  void Sort(Items items, int shift) const {
    if (items.empty()) return;
    if (items.size() < kRadixMin || shift < 0) return Compare(items, shift < 0);
    auto digit = [shift](const SortItem& item) {
      return static_cast<size_t>(item.prefix >> shift & 0xff);
    };
    std::array<size_t, 256> ends{};
    for (const SortItem& item : items) ++ends[digit(item)];
    // Nothing to move if all have one digit.
    if (ends[digit(items[0])] == items.size()) return Sort(items, shift - 8);
    Distribute(items, ends, digit);
    size_t begin = 0;
    for (size_t end : ends) {
      if (end - begin > 1) Sort(items.subspan(begin, end - begin), shift - 8);
      begin = end;
    }
  }

 private:
  void Compare(Items items, bool same_prefix) const {
    if (same_prefix) return CompareRest(items);
    std::sort(items.begin(), items.end(), [this](const SortItem& a, const SortItem& b) {
      return a.prefix != b.prefix ? a.prefix < b.prefix : RestBefore(a, b);
    });
  }
  // Mostly these are pairs of one key: then it is enough to put them in order of emitting, and to
  // look at each key once, one after the other in memory.
  void CompareRest(Items items) const {
    std::sort(items.begin(), items.end(),
              [](const SortItem& a, const SortItem& b) { return a.offset < b.offset; });
    std::string_view first = keys_.KeyAt(items[0].offset);
    bool one_key = std::all_of(items.begin() + 1, items.end(), [this, first](const SortItem& item) {
      return keys_.KeyAt(item.offset) == first;
    });
    if (one_key) return;
    std::sort(items.begin(), items.end(),
              [this](const SortItem& a, const SortItem& b) { return RestBefore(a, b); });
  }
  // By length too: a prefix that ends early looks like one with zeros.
  bool RestBefore(const SortItem& a, const SortItem& b) const {
    int order = keys_.KeyAt(a.offset).substr(skip_).compare(keys_.KeyAt(b.offset).substr(skip_));
    return order != 0 ? order < 0 : a.offset < b.offset;
  }

  const KeyTable& keys_;
  const size_t skip_;
};

// How many bytes all keys begin with in common.
size_t CommonToAll(Items items, const KeyTable& keys) {
  std::string_view first = keys.KeyAt(items[0].offset);
  size_t common = first.size();
  for (const SortItem& item : items) {
    std::string_view key = keys.KeyAt(item.offset);
    common = std::min(common, key.size());
    if (std::equal(first.begin(), first.begin() + static_cast<ptrdiff_t>(common), key.begin())) {
      continue;
    }
    while (first.substr(0, common) != key.substr(0, common)) --common;
    if (common == 0) break;
  }
  return common;
}

}  // namespace

void SortItems(std::span<SortItem> items, uint32_t partitions, const KeyTable& keys) {
  if (items.empty()) return;
  size_t skip = CommonToAll(items, keys);
  for (SortItem& item : items) item.prefix = KeyPrefix(keys.KeyAt(item.offset).substr(skip));
  std::vector<size_t> ends(partitions);
  for (const SortItem& item : items) ++ends[item.partition];
  if (partitions > 1) {
    Distribute(items, ends, [](const SortItem& item) { return size_t{item.partition}; });
  }
  Sorter sorter(keys, skip);
  size_t begin = 0;
  for (size_t end : ends) {
    sorter.Sort(items.subspan(begin, end - begin), 56);
    begin = end;
  }
}

}  // namespace kvd::mapreduce
