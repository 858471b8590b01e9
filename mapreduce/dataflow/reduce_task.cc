#include "mapreduce/dataflow/reduce_task.h"

#include <algorithm>
#include <utility>

#include "mapreduce/dataflow/fold.h"
#include "mapreduce/dataflow/map_output.h"
#include "mapreduce/dataflow/runs.h"
#include "mapreduce/dataflow/shuffle_file.h"

namespace kvd::mapreduce {
namespace {

// Of keys that are in order already.
class OrderedEmitter final : public TaskEmitter, public PairSink {
 public:
  OrderedEmitter(BlockFileWriter* out, uint64_t output_bytes)
      : TaskEmitter(output_bytes), out_(out) {}

  absl::Status Emit(std::string_view key, std::string_view value) override {
    if (!failed_.ok()) return failed_;
    failed_ = Admit(key.size(), value.size());
    if (failed_.ok()) failed_ = out_->Add(0, key, value);
    return failed_;
  }
  absl::Status Add(std::string_view key, std::string_view value) override {
    return Emit(key, value);
  }
  // An error that the function did not return.
  const absl::Status& failed() const { return failed_; }

 private:
  BlockFileWriter* const out_;
  absl::Status failed_;
};

class ReduceTask {
 public:
  explicit ReduceTask(const ReduceTaskOptions& options) : options_(options) {
    if (options.aggregator) aggregator_.emplace(*options.aggregator);
  }

  absl::StatusOr<ReduceTaskResult> Run(std::vector<std::unique_ptr<BlockSource>> sources) {
    bool sort = options_.reduce != nullptr && !options_.reduce_keeps_order;
    return sort ? RunSorted(std::move(sources)) : RunOrdered(std::move(sources));
  }

 private:
  using Sources = std::vector<std::unique_ptr<BlockSource>>;

  absl::StatusOr<ReduceTaskResult> RunOrdered(Sources sources) {
    auto writer = ShuffleFileWriter::Create(options_.path, 1, &disk_);
    if (!writer.ok()) return writer.status();
    OrderedEmitter emitter((*writer)->blocks(), options_.output_bytes);
    absl::Status status = Merge(std::move(sources), options_.memory_bytes, &emitter, &emitter);
    if (status.ok()) status = emitter.failed();
    if (!status.ok()) return status;
    auto info = (*writer)->Finish(options_.sync);
    if (!info.ok()) return info.status();
    return ReduceTaskResult{*std::move(info), emitter.counters()};
  }

  absl::StatusOr<ReduceTaskResult> RunSorted(Sources sources) {
    MapOutputOptions sorted;
    sorted.directory = options_.directory;
    sorted.path = options_.path;
    sorted.memory_bytes = std::max(options_.memory_bytes / 2, kTaskMemoryMin);
    sorted.output_bytes = options_.output_bytes;
    sorted.sync = options_.sync;
    auto output = MapOutput::Create(std::move(sorted), &disk_);
    if (!output.ok()) return output.status();
    absl::Status status =
        Merge(std::move(sources), options_.memory_bytes / 2, nullptr, output->get());
    if (!status.ok()) return status;
    auto info = (*output)->Finish();
    if (!info.ok()) return info.status();
    return ReduceTaskResult{*std::move(info), (*output)->counters()};
  }

  // Pairs go to `sink` if there is no reduce function, and else what it emits to `emitter`.
  absl::Status Merge(Sources sources, uint64_t memory_bytes, PairSink* sink, Emitter* emitter) {
    MergeOptions merge{options_.directory, memory_bytes, &disk_};
    Fold step = [this](PairStream* in, PairSink* out) {
      if (!aggregator_) return CopyPairs(in, out);
      AggregatedPairs states(in, &*aggregator_, AggregatedPairs::Give::kState);
      return CopyPairs(&states, out);
    };
    Fold last = [this, emitter](PairStream* in, PairSink* out) {
      if (!aggregator_) return Reduce(in, out, emitter);
      AggregatedPairs values(in, &*aggregator_, AggregatedPairs::Give::kFinal);
      return Reduce(&values, out, emitter);
    };
    return MergeSources(std::move(sources), merge, step, last, sink);
  }

  absl::Status Reduce(PairStream* in, PairSink* out, Emitter* emitter) {
    if (options_.reduce == nullptr) return CopyPairs(in, out);
    absl::Status status = ReducePairs(in, options_.reduce, emitter);
    return status.ok() ? options_.reduce->Finish(emitter) : status;
  }

  const ReduceTaskOptions& options_;
  std::optional<Aggregator> aggregator_;
  WriteBudget disk_{"spill_bytes", options_.spill_bytes, options_.cancelled};
};

}  // namespace

absl::StatusOr<ReduceTaskResult> RunReduceTask(std::vector<std::unique_ptr<BlockSource>> sources,
                                               const ReduceTaskOptions& options) {
  if (options.aggregator) {
    absl::Status status = Validate(*options.aggregator);
    if (!status.ok()) return status;
  }
  return ReduceTask(options).Run(std::move(sources));
}

}  // namespace kvd::mapreduce
