#include "mapreduce/dataflow/runs.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "mapreduce/dataflow/merge.h"

namespace kvd::mapreduce {
namespace {

using Sources = std::vector<std::unique_ptr<BlockSource>>;

// How many of the sources from `begin` on are read together.
size_t Together(const Sources& sources, size_t begin, uint64_t memory_bytes) {
  uint64_t bytes = 0;
  size_t count = 0;
  while (begin + count < sources.size() && count < kMergeSourcesMax) {
    // A block as it is stored, and as it is read.
    bytes += 2 * std::max<uint64_t>(sources[begin + count]->block_bytes_max(), 1024);
    if (count >= 2 && bytes > memory_bytes) break;
    ++count;
  }
  return count;
}

// A run that takes no place on the disk any more once it was read.
class RunSource final : public BlockSource {
 public:
  RunSource(const Run& run, WriteBudget* disk)
      : source_(run.Partition(0)), disk_(disk), bytes_(run.info.bytes) {}
  ~RunSource() override { disk_->Give(bytes_); }

  absl::StatusOr<RawBlock> Next() override { return source_->Next(); }
  uint64_t block_bytes_max() const override { return source_->block_bytes_max(); }
  std::string Where() const override { return source_->Where(); }

 private:
  const std::unique_ptr<BlockSource> source_;
  WriteBudget* const disk_;
  const uint64_t bytes_;
};

absl::StatusOr<Run> MergeToRun(Sources sources, const MergeOptions& options, const Fold& step) {
  auto writer = RunWriter::Create(options.directory, 1, options.disk);
  if (!writer.ok()) return writer.status();
  MergedPairs merged(std::move(sources));
  PartitionSink sink((*writer)->blocks(), 0);
  absl::Status status = step(&merged, &sink);
  if (!status.ok()) return status;
  return (*writer)->Finish();
}

// One step: neighbours become runs, no more of them than it takes until `enough` sources are left.
absl::StatusOr<Sources> MergeNeighbours(Sources sources, size_t enough, const MergeOptions& options,
                                        const Fold& step) {
  Sources next;
  for (size_t begin = 0; begin < sources.size();) {
    size_t excess = next.size() + (sources.size() - begin) - enough;
    size_t count = std::min(Together(sources, begin, options.memory_bytes), excess + 1);
    auto first = std::make_move_iterator(sources.begin() + static_cast<ptrdiff_t>(begin));
    Sources group(first, first + static_cast<ptrdiff_t>(count));
    begin += count;
    if (count == 1) {
      next.push_back(std::move(group[0]));
      continue;
    }
    auto run = MergeToRun(std::move(group), options, step);
    if (!run.ok()) return run.status();
    next.push_back(std::make_unique<RunSource>(*run, options.disk));
  }
  return next;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunWriter>> RunWriter::Create(const std::string& directory,
                                                             uint32_t partitions,
                                                             WriteBudget* budget) {
  auto file = OutputFile::CreateNameless(directory);
  if (!file.ok()) return file.status();
  return std::unique_ptr<RunWriter>(new RunWriter(*std::move(file), partitions, budget));
}

absl::StatusOr<Run> RunWriter::Finish() {
  auto info = writer_.Finish();
  if (!info.ok()) return info.status();
  auto file = file_->Reopen();
  if (!file.ok()) return file.status();
  return Run{*std::move(file), *std::move(info)};
}

absl::Status MergeSources(Sources sources, const MergeOptions& options, const Fold& step,
                          const Fold& last, PairSink* out) {
  size_t together;
  while ((together = Together(sources, 0, options.memory_bytes)) < sources.size()) {
    auto next = MergeNeighbours(std::move(sources), together, options, step);
    if (!next.ok()) return next.status();
    sources = *std::move(next);
  }
  MergedPairs merged(std::move(sources));
  return last(&merged, out);
}

}  // namespace kvd::mapreduce
