// The reduce side of the shuffle: merges one partition of all map outputs, folds the values of each
// key, and leaves a sorted, checksummed file.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "mapreduce/dataflow/aggregator.h"
#include "mapreduce/dataflow/block_file.h"
#include "mapreduce/dataflow/block_source.h"
#include "mapreduce/dataflow/emitters.h"
#include "mapreduce/function.h"

namespace kvd::mapreduce {

struct ReduceTaskOptions {
  // Where runs are put; it exists. They have no names there.
  std::string directory;
  // The output: a shuffle file of one partition, see ShuffleFileWriter.
  std::string path;
  // What map outputs were made with. Its final values are the output, or what `reduce` is called
  // with, one a key.
  std::optional<AggregatorSpec> aggregator;
  // None: pairs are put out as they are. Outlives the task.
  ReduceFunction* reduce = nullptr;
  // `reduce` emits keys that never fall, such as only those that it is called with. Otherwise what
  // it emits is sorted once more.
  bool reduce_keeps_order = true;
  // For the blocks of a merge, and for sorting once more.
  uint64_t memory_bytes = 64 << 20;
  // Of runs and the output together.
  uint64_t spill_bytes = uint64_t{4} << 30;
  // Of what is emitted.
  uint64_t output_bytes = uint64_t{16} << 30;
  // Whether the file must survive a power cut.
  bool sync = true;
  // Ends the task with CANCELLED at the next block that it writes. Outlives the task; may be null.
  const std::atomic<bool>* cancelled = nullptr;
};

struct ReduceTaskResult {
  // hash: the output's identity.
  BlockFileInfo info;
  Counters counters;
};

// `sources`: of each map task, in the order of their numbers, what it has for this partition.
// Values of one key come in that order, and of one task as they were emitted: so the output's bytes
// depend on the map outputs' contents alone. Blocks; unless it succeeds nothing is left on the
// disk.
absl::StatusOr<ReduceTaskResult> RunReduceTask(std::vector<std::unique_ptr<BlockSource>> sources,
                                               const ReduceTaskOptions& options);

}  // namespace kvd::mapreduce
