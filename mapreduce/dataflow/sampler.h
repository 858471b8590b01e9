// Samples of the keys that a job emits, from which the ranges of its partitions are chosen. Every
// emitted pair has the same chance; which ones are taken depends only on the task's number and the
// pair's place among those it emits, so that a re-run takes the same, and samples of tasks can be
// put together in any order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mapreduce/dataflow/emitters.h"

namespace kvd::mapreduce {

inline constexpr size_t kSampleKeys = 2000;
// Longer keys are cut: a range may begin anywhere.
inline constexpr size_t kSampleKeyBytes = 1 << 10;

struct SampledKey {
  // Those with the least are kept.
  uint64_t priority = 0;
  std::string key;

  friend bool operator==(const SampledKey&, const SampledKey&) = default;
};

// Takes the keys of what a map function emits, and drops the rest. Used by one thread.
class SamplingEmitter final : public TaskEmitter {
 public:
  SamplingEmitter(uint64_t task, uint64_t output_bytes, size_t keep = kSampleKeys)
      : TaskEmitter(output_bytes), task_(task), keep_(keep) {}

  absl::Status Emit(std::string_view key, std::string_view value) override;
  absl::Status EmitNumber(std::string_view key, int64_t value) override;
  // By priority.
  std::vector<SampledKey> Take() &&;

 private:
  void Add(std::string_view key);

  const uint64_t task_;
  const size_t keep_;
  // A heap, the greatest priority first.
  std::vector<SampledKey> kept_;
};

// Those of all samples that one sample of everything had taken, by priority.
std::vector<SampledKey> MergeSamples(const std::vector<std::vector<SampledKey>>& samples,
                                     size_t keep = kSampleKeys);
// The keys alone, sorted, as ChooseSplitters takes them.
std::vector<std::string> SortedKeys(const std::vector<SampledKey>& sample);

}  // namespace kvd::mapreduce
