#include "mapreduce/dataflow/map_output.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "mapreduce/dataflow/hash_output.h"
#include "mapreduce/dataflow/shuffle_file.h"
#include "mapreduce/dataflow/sort_output.h"
#include "proto/bytes.h"
#include "proto/error.h"

namespace kvd::mapreduce {

absl::Status Validate(const MapOutputOptions& options) {
  if (options.partitions < 1 || options.partitions > kPartitionsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("partitions is ", options.partitions, ", it must be 1 to ", kPartitionsMax));
  }
  if (options.partitions > 1 && options.partitioner == nullptr) {
    return absl::InvalidArgumentError("partitioner is missing");
  }
  if (options.memory_bytes < kTaskMemoryMin || options.memory_bytes > kTaskMemoryMax) {
    return absl::InvalidArgumentError(absl::StrCat("memory_bytes is ", options.memory_bytes,
                                                   ", it must be ", kTaskMemoryMin, " to ",
                                                   kTaskMemoryMax));
  }
  if (!options.aggregator) return absl::OkStatus();
  if (options.combine != nullptr) {
    return absl::InvalidArgumentError("combine and aggregator exclude each other");
  }
  return Validate(*options.aggregator);
}

absl::StatusOr<std::unique_ptr<MapOutput>> MapOutput::Create(MapOutputOptions options,
                                                             WriteBudget* disk) {
  absl::Status status = Validate(options);
  if (!status.ok()) return status;
  std::unique_ptr<MapOutput> output;
  if (options.aggregator) {
    output = std::make_unique<HashOutput>(std::move(options));
  } else {
    output = std::make_unique<SortOutput>(std::move(options));
  }
  if (disk != nullptr) output->disk_ = disk;
  return output;
}

MapOutput::MapOutput(MapOutputOptions options)
    : TaskEmitter(options.output_bytes), options_(std::move(options)) {}

absl::Status MapOutput::NoPartition(std::string_view key, uint32_t partition) const {
  return absl::InvalidArgumentError(absl::StrCat("the partitioner gives key ", Printable(key),
                                                 " partition ", partition, ", there are ",
                                                 options_.partitions));
}

absl::Status MapOutput::Spill() {
  auto writer = RunWriter::Create(options_.directory, options_.partitions, disk_);
  if (!writer.ok()) return writer.status();
  absl::Status status = WriteMemory((*writer)->blocks());
  if (!status.ok()) return status;
  auto run = (*writer)->Finish();
  if (!run.ok()) return run.status();
  runs_.push_back(*std::move(run));
  return absl::OkStatus();
}

absl::Status MapOutput::WriteFile(BlockFileWriter* out) {
  if (runs_.empty()) return WriteMemory(out);
  absl::Status status = Spill();
  MergeOptions merge{options_.directory, options_.memory_bytes, disk_};
  Fold fold = MergeFold();
  for (uint32_t partition = 0; status.ok() && partition < options_.partitions; ++partition) {
    std::vector<std::unique_ptr<BlockSource>> sources;
    for (const Run& run : runs_) {
      if (run.info.partitions[partition].records > 0) sources.push_back(run.Partition(partition));
    }
    PartitionSink sink(out, partition);
    if (!sources.empty()) status = MergeSources(std::move(sources), merge, fold, fold, &sink);
  }
  return status;
}

absl::StatusOr<BlockFileInfo> MapOutput::Finish() {
  if (failed_.ok()) failed_ = Flush();
  if (!failed_.ok()) return failed_;
  auto writer = ShuffleFileWriter::Create(options_.path, options_.partitions, disk_);
  if (!writer.ok()) return Fail(writer.status());
  absl::Status status = WriteFile((*writer)->blocks());
  if (status.ok()) status = FinishFunctions();
  if (!status.ok()) return Fail(status);
  return (*writer)->Finish(options_.sync);
}

}  // namespace kvd::mapreduce
