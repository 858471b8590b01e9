#include "tests/mapreduce/local_job.h"

#include <atomic>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "mapreduce/dataflow/map_output.h"
#include "mapreduce/dataflow/merge.h"
#include "mapreduce/dataflow/partitioners.h"
#include "mapreduce/dataflow/sampler.h"
#include "mapreduce/dataflow/shuffle_file.h"

namespace kvd::mapreduce {
namespace {

// Runs task(0) to task(count - 1); the first error.
absl::Status RunTasks(int threads, size_t count, const std::function<absl::Status(size_t)>& task) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  absl::Status first;
  std::vector<std::thread> workers;
  workers.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&] {
      for (size_t number; (number = next.fetch_add(1)) < count;) {
        absl::Status status = task(number);
        std::lock_guard lock(mutex);
        if (first.ok()) first = status;
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  return first;
}

class LocalRun {
 public:
  LocalRun(const LocalJob& job, const std::vector<Slice>& slices)
      : job_(job), slices_(slices), maps_(slices.size()) {}

  absl::StatusOr<LocalResult> Run() {
    absl::Status status = ChoosePartitioner();
    if (status.ok()) {
      status = RunTasks(job_.threads, slices_.size(), [this](size_t i) { return MapSlice(i); });
    }
    result_.paths.resize(job_.reducers);
    result_.outputs.resize(job_.reducers);
    if (status.ok()) {
      status = RunTasks(job_.threads, job_.reducers, [this](size_t i) { return Reduce(i); });
    }
    for (size_t i = 0; i < slices_.size(); ++i) RemoveShuffleFile(MapPath(i));
    if (!status.ok()) return status;
    return std::move(result_);
  }

 private:
  std::string MapPath(size_t i) const { return absl::StrCat(job_.directory, "/map-", i); }

  absl::Status ChoosePartitioner() {
    if (job_.partitioner != nullptr || !job_.total_order) return absl::OkStatus();
    std::vector<std::vector<SampledKey>> samples(slices_.size());
    absl::Status status = RunTasks(job_.threads, slices_.size(), [&](size_t i) {
      SamplingEmitter emitter(i, job_.output_bytes);
      auto map = job_.map();
      size_t number = 0;
      absl::Status mapped = slices_[i]([&](Batch batch) {
        return number++ % 16 == 0 ? map->Map(batch, &emitter) : absl::OkStatus();
      });
      if (mapped.ok()) mapped = map->Finish(&emitter);
      samples[i] = std::move(emitter).Take();
      return mapped;
    });
    if (!status.ok()) return status;
    auto ranges =
        RangePartitioner::Create(ChooseSplitters(SortedKeys(MergeSamples(samples)), job_.reducers));
    if (!ranges.ok()) return ranges.status();
    ranges_.emplace(*std::move(ranges));
    return absl::OkStatus();
  }

  absl::Status MapSlice(size_t i) {
    MapOutputOptions options;
    options.directory = job_.directory;
    options.path = MapPath(i);
    options.partitions = job_.reducers;
    options.partitioner = job_.partitioner != nullptr ? job_.partitioner
                          : ranges_                   ? static_cast<Partitioner*>(&*ranges_)
                                                      : &hash_;
    options.aggregator = job_.aggregator;
    std::unique_ptr<ReduceFunction> combine;
    if (job_.combine) combine = job_.combine();
    options.combine = combine.get();
    options.memory_bytes = job_.memory_bytes;
    options.spill_bytes = job_.spill_bytes;
    options.output_bytes = job_.output_bytes;
    auto output = MapOutput::Create(options);
    if (!output.ok()) return output.status();
    auto map = job_.map();
    absl::Status status = slices_[i]([&](Batch batch) { return map->Map(batch, output->get()); });
    if (status.ok()) status = map->Finish(output->get());
    if (!status.ok()) return status;
    auto info = (*output)->Finish();
    if (!info.ok()) return info.status();
    maps_[i] = *std::move(info);
    std::lock_guard lock(mutex_);
    result_.runs += (*output)->runs();
    AddCounters((*output)->counters(), &result_.counters);
    return absl::OkStatus();
  }

  absl::Status Reduce(size_t partition) {
    std::vector<std::unique_ptr<BlockSource>> sources;
    for (size_t i = 0; i < slices_.size(); ++i) {
      if (maps_[i].partitions[partition].records == 0) continue;
      sources.push_back(
          LocalPartition(MapPath(i), static_cast<uint32_t>(partition), maps_[i].block_bytes_max));
    }
    ReduceTaskOptions options;
    options.directory = job_.directory;
    options.path = absl::StrCat(job_.directory, "/reduce-", partition);
    options.aggregator = job_.aggregator;
    std::unique_ptr<ReduceFunction> reduce;
    if (job_.reduce) reduce = job_.reduce();
    options.reduce = reduce.get();
    options.reduce_keeps_order = job_.reduce_keeps_order;
    options.memory_bytes = job_.memory_bytes;
    options.spill_bytes = job_.spill_bytes;
    options.output_bytes = job_.output_bytes;
    options.sync = false;
    auto reduced = RunReduceTask(std::move(sources), options);
    if (!reduced.ok()) return reduced.status();
    std::lock_guard lock(mutex_);
    result_.paths[partition] = options.path;
    AddCounters(reduced->counters, &result_.counters);
    result_.outputs[partition] = *std::move(reduced);
    return absl::OkStatus();
  }

  const LocalJob& job_;
  const std::vector<Slice>& slices_;
  HashPartitioner hash_;
  std::optional<RangePartitioner> ranges_;
  std::vector<BlockFileInfo> maps_;
  std::mutex mutex_;
  LocalResult result_;
};

}  // namespace

absl::StatusOr<LocalResult> RunLocally(const LocalJob& job, const std::vector<Slice>& slices) {
  return LocalRun(job, slices).Run();
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadPairs(const std::string& path,
                                                                           uint32_t partition) {
  auto reader = ShuffleFileReader::Open(path);
  if (!reader.ok()) return reader.status();
  SourcePairs pairs((*reader)->Partition(partition));
  std::vector<std::pair<std::string, std::string>> all;
  while (pairs.Next()) all.emplace_back(pairs.key(), pairs.value());
  if (!pairs.status().ok()) return pairs.status();
  return all;
}

}  // namespace kvd::mapreduce
