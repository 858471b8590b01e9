// Runs: sorted files without a name that a task spills to when its memory is full, and merging any
// number of sorted sources within bounded memory.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mapreduce/dataflow/block_file.h"
#include "mapreduce/dataflow/block_source.h"
#include "mapreduce/dataflow/pairs.h"

namespace kvd::mapreduce {

struct Run {
  std::shared_ptr<const InputFile> file;
  BlockFileInfo info;

  std::unique_ptr<BlockSource> Partition(uint32_t partition) const {
    return std::make_unique<FileBlockSource>(file, info.partitions[partition]);
  }
};

// Used by one thread.
class RunWriter {
 public:
  // `budget` outlives it.
  static absl::StatusOr<std::unique_ptr<RunWriter>> Create(const std::string& directory,
                                                           uint32_t partitions,
                                                           WriteBudget* budget);
  BlockFileWriter* blocks() { return &writer_; }
  // The last call.
  absl::StatusOr<Run> Finish();

 private:
  RunWriter(std::unique_ptr<OutputFile> file, uint32_t partitions, WriteBudget* budget)
      : file_(std::move(file)), writer_(file_.get(), partitions, budget) {}

  std::unique_ptr<OutputFile> file_;
  BlockFileWriter writer_;
};

// Adds to one partition of a file.
class PartitionSink final : public PairSink {
 public:
  PartitionSink(BlockFileWriter* writer, uint32_t partition)
      : writer_(writer), partition_(partition) {}
  absl::Status Add(std::string_view key, std::string_view value) override {
    return writer_->Add(partition_, key, value);
  }

 private:
  BlockFileWriter* const writer_;
  const uint32_t partition_;
};

// What is done with a sorted stream before it is written.
using Fold = std::function<absl::Status(PairStream* in, PairSink* out)>;

struct MergeOptions {
  // Where runs are put.
  std::string directory;
  // For the blocks of the sources that are read together; two are, however great their blocks.
  uint64_t memory_bytes = 0;
  // Of all runs that are there at a time.
  WriteBudget* disk = nullptr;
};

// Merges the sources; equal keys in the order of sources. If they are more than kMergeSourcesMax or
// than the memory holds, neighbours are merged into runs first, each through `step`; what the last
// merge gives goes through `last`.
absl::Status MergeSources(std::vector<std::unique_ptr<BlockSource>> sources,
                          const MergeOptions& options, const Fold& step, const Fold& last,
                          PairSink* out);

}  // namespace kvd::mapreduce
