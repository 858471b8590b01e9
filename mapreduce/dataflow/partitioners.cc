#include "mapreduce/dataflow/partitioners.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "mapreduce/dataflow/hash.h"
#include "mapreduce/dataflow/merge.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {

uint32_t HashPartitioner::PartitionOf(std::string_view key, uint32_t partitions) const {
  return PartitionOfHash(Hash64(key, kPartitionSeed), partitions);
}

RangePartitioner::RangePartitioner(std::vector<std::string> splitters)
    : splitters_(std::move(splitters)) {
  if (splitters_.empty()) return;
  const std::string& first = splitters_.front();
  const std::string& last = splitters_.back();
  while (common_ < first.size() && first[common_] == last[common_]) ++common_;
  for (const std::string& splitter : splitters_) {
    prefixes_.push_back(KeyPrefix(std::string_view(splitter).substr(common_)));
  }
}

absl::StatusOr<RangePartitioner> RangePartitioner::Create(std::vector<std::string> splitters) {
  for (size_t i = 1; i < splitters.size(); ++i) {
    if (splitters[i - 1] < splitters[i]) continue;
    return absl::InvalidArgumentError(absl::StrCat("splitter ", i, " is ", Printable(splitters[i]),
                                                   ", it must be above ",
                                                   Printable(splitters[i - 1])));
  }
  return RangePartitioner(std::move(splitters));
}

uint32_t RangePartitioner::PartitionOf(std::string_view key, uint32_t partitions) const {
  size_t at = 0;
  std::string_view head = key.substr(0, common_);
  int order =
      splitters_.empty() ? -1 : head.compare(std::string_view(splitters_[0]).substr(0, common_));
  if (order > 0) {
    at = splitters_.size();
  } else if (order == 0) {
    auto [first, last] =
        std::equal_range(prefixes_.begin(), prefixes_.end(), KeyPrefix(key.substr(common_)));
    // Among splitters that begin alike the whole key decides.
    auto begin = splitters_.begin() + (first - prefixes_.begin());
    auto end = splitters_.begin() + (last - prefixes_.begin());
    at = static_cast<size_t>(std::upper_bound(begin, end, key) - splitters_.begin());
  }
  return std::min(static_cast<uint32_t>(at), partitions - 1);
}

std::vector<std::string> ChooseSplitters(const std::vector<std::string>& sample,
                                         uint32_t partitions) {
  std::vector<std::string> splitters;
  // Of the part that is being filled.
  size_t filled = 0;
  size_t left = sample.size();
  for (size_t i = 0; i < sample.size() && splitters.size() + 1 < partitions;) {
    size_t end = i + 1;
    while (end < sample.size() && sample[end] == sample[i]) ++end;
    size_t count = end - i;
    // An even share for this part and those behind it.
    size_t share = std::max<size_t>((left + filled) / (partitions - splitters.size()), 1);
    // Whether the part is nearer to its share without this key; a heavy one is left alone.
    bool cut = filled > 0 && (count >= share || filled + count / 2 >= share);
    if (cut) {
      splitters.push_back(sample[i]);
      filled = 0;
    }
    filled += count;
    left -= count;
    i = end;
  }
  return splitters;
}

}  // namespace kvd::mapreduce
