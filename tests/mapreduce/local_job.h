// Runs a whole job in this process: map tasks over slices, then reduce tasks, on some threads, with
// the shuffle's files in a directory. What tests and the benchmark drive the data path with.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mapreduce/dataflow/aggregator.h"
#include "mapreduce/dataflow/emitters.h"
#include "mapreduce/dataflow/reduce_task.h"
#include "mapreduce/function.h"

namespace kvd::mapreduce {

using Batch = std::span<const Record>;
// Calls the given function with each batch of a slice; stops at its error.
using Slice = std::function<absl::Status(const std::function<absl::Status(Batch)>&)>;

struct LocalJob {
  std::string directory;
  std::function<std::unique_ptr<MapFunction>()> map;
  std::function<std::unique_ptr<ReduceFunction>()> combine;
  std::function<std::unique_ptr<ReduceFunction>()> reduce;
  std::optional<AggregatorSpec> aggregator;
  bool reduce_keeps_order = true;
  // Null: by hash, or with `total_order` by ranges chosen from a sample of every 16th batch.
  const Partitioner* partitioner = nullptr;
  bool total_order = false;
  uint32_t reducers = 4;
  int threads = 2;
  uint64_t memory_bytes = 64 << 20;
  uint64_t spill_bytes = uint64_t{4} << 30;
  uint64_t output_bytes = uint64_t{16} << 30;
};

struct LocalResult {
  // Of each reducer, in order: the output's file, and what is known of it.
  std::vector<std::string> paths;
  std::vector<ReduceTaskResult> outputs;
  Counters counters;
  size_t runs = 0;
};

absl::StatusOr<LocalResult> RunLocally(const LocalJob& job, const std::vector<Slice>& slices);

// The pairs of a file of one partition.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadPairs(const std::string& path,
                                                                           uint32_t partition = 0);

}  // namespace kvd::mapreduce
