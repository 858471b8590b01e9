// Map output without an aggregator: every pair is kept and sorted.
#pragma once

#include "mapreduce/dataflow/map_output.h"
#include "mapreduce/dataflow/memory.h"
#include "mapreduce/dataflow/sort.h"

namespace kvd::mapreduce {

// Pairs grow from the front of a region and what is sorted of them from its end, until they meet.
class SortOutput final : public MapOutput, private KeyTable {
 public:
  // Requires: Validate(options) is OK, and there is no aggregator.
  explicit SortOutput(MapOutputOptions options);

  absl::Status Emit(std::string_view key, std::string_view value) override;

 private:
  class MemoryPairs;

  absl::Status WriteMemory(BlockFileWriter* out) override;
  Fold MergeFold() override;
  absl::Status FinishFunctions() override;
  std::string_view KeyAt(uint32_t offset) const override;
  Record PairAt(uint32_t offset) const;
  absl::Status WriteCombined(BlockFileWriter* out, std::span<const SortItem> items) const;

  const uint64_t memory_max_;
  Region region_;
  size_t used_ = 0;
  uint32_t count_ = 0;
};

}  // namespace kvd::mapreduce
