// Which reducer gets a key, for jobs that bring no partitioner of their own. Pure and thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "mapreduce/function.h"

namespace kvd::mapreduce {

// By XXH3 of the key: an even share of the hashes each. The same on every store, in every version.
class HashPartitioner final : public Partitioner {
 public:
  uint32_t PartitionOf(std::string_view key, uint32_t partitions) const override;
};

// By ranges: partition i has the keys from splitter i - 1 to before splitter i, so that the
// partitions one after the other are sorted as a whole.
class RangePartitioner final : public Partitioner {
 public:
  // INVALID_ARGUMENT unless they rise.
  static absl::StatusOr<RangePartitioner> Create(std::vector<std::string> splitters);
  // With fewer partitions than ranges the last one has what is left.
  uint32_t PartitionOf(std::string_view key, uint32_t partitions) const override;

 private:
  explicit RangePartitioner(std::vector<std::string> splitters);

  std::vector<std::string> splitters_;
  // How many bytes all of them begin with in common, and the eight bytes behind those.
  size_t common_ = 0;
  std::vector<uint64_t> prefixes_;
};

// At most `partitions` - 1 rising splitters that cut keys like these of a sample, which are sorted,
// into even parts. A key that is as frequent as a whole part gets one of its own.
std::vector<std::string> ChooseSplitters(const std::vector<std::string>& sample,
                                         uint32_t partitions);

}  // namespace kvd::mapreduce
