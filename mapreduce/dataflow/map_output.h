// The map side of the shuffle: takes what a map function emits and leaves one shuffle file, within
// a budget of memory. With an aggregator every key has one state in a hash table; without one,
// pairs are sorted. What memory cannot hold is spilled in sorted runs and merged at the end.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mapreduce/dataflow/aggregator.h"
#include "mapreduce/dataflow/block_file.h"
#include "mapreduce/dataflow/emitters.h"
#include "mapreduce/dataflow/runs.h"
#include "mapreduce/function.h"

namespace kvd::mapreduce {

struct MapOutputOptions {
  // Where runs are put; it exists. They have no names there.
  std::string directory;
  // The shuffle file: see ShuffleFileWriter.
  std::string path;
  // 1 to kPartitionsMax.
  uint32_t partitions = 1;
  // Outlives the output. Not needed with one partition.
  const Partitioner* partitioner = nullptr;
  // Values become states of it.
  std::optional<AggregatorSpec> aggregator;
  // Instead of an aggregator: called for the pairs of each spill and of each merge. It emits
  // nothing but the key that it was given. Outlives the output.
  ReduceFunction* combine = nullptr;
  // For pairs, states and the blocks of a merge, beside about 1 MiB of buffers; at least
  // kTaskMemoryMin. One pair is taken however great it is.
  uint64_t memory_bytes = 64 << 20;
  // Of runs and the shuffle file together.
  uint64_t spill_bytes = uint64_t{4} << 30;
  // Of what is emitted.
  uint64_t output_bytes = uint64_t{16} << 30;
  // Whether the file must survive a power cut.
  bool sync = false;
  // Ends the task with CANCELLED at the next block that it writes. Outlives the output; may be
  // null.
  const std::atomic<bool>* cancelled = nullptr;
};

// INVALID_ARGUMENT naming the field.
absl::Status Validate(const MapOutputOptions& options);

// Used by one thread. Unless Finish succeeds, nothing is left on the disk. The file's bytes depend
// on the emitted pairs and their order alone: not on the memory, and with an aggregator not on the
// order.
class MapOutput : public TaskEmitter {
 public:
  // With `disk`, which outlives it, that is the budget instead of options.spill_bytes.
  static absl::StatusOr<std::unique_ptr<MapOutput>> Create(MapOutputOptions options,
                                                           WriteBudget* disk = nullptr);

  // The first error that an Emit gave, or one of writing. The last call.
  absl::StatusOr<BlockFileInfo> Finish();
  // How many runs were spilled.
  size_t runs() const { return runs_.size(); }

 protected:
  explicit MapOutput(MapOutputOptions options);

  // Brings what was emitted into memory.
  virtual absl::Status Flush() { return absl::OkStatus(); }
  // Writes what is in memory by partition and key, and forgets it.
  virtual absl::Status WriteMemory(BlockFileWriter* out) = 0;
  // Of pairs from several runs.
  virtual Fold MergeFold() = 0;
  virtual absl::Status FinishFunctions() { return absl::OkStatus(); }

  absl::Status Spill();
  // Below options.partitions, or INVALID_ARGUMENT.
  absl::StatusOr<uint32_t> PartitionOf(std::string_view key) const {
    if (options_.partitions == 1) return 0;
    uint32_t partition = options_.partitioner->PartitionOf(key, options_.partitions);
    if (partition >= options_.partitions) [[unlikely]]
      return NoPartition(key, partition);
    return partition;
  }
  // Keeps the first error: after it nothing is taken.
  absl::Status Fail(absl::Status status) {
    if (failed_.ok()) failed_ = std::move(status);
    return failed_;
  }
  const absl::Status& failed() const { return failed_; }

  const MapOutputOptions options_;

 private:
  absl::Status NoPartition(std::string_view key, uint32_t partition) const;
  absl::Status WriteFile(BlockFileWriter* out);

  absl::Status failed_;
  WriteBudget own_disk_{"spill_bytes", options_.spill_bytes, options_.cancelled};
  WriteBudget* disk_ = &own_disk_;
  std::vector<Run> runs_;
};

}  // namespace kvd::mapreduce
