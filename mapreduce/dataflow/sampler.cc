#include "mapreduce/dataflow/sampler.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "mapreduce/dataflow/hash.h"

namespace kvd::mapreduce {
namespace {

bool Before(const SampledKey& a, const SampledKey& b) {
  return std::tie(a.priority, a.key) < std::tie(b.priority, b.key);
}

}  // namespace

void SamplingEmitter::Add(std::string_view key) {
  uint64_t place[2] = {task_, emitted_records()};
  uint64_t priority = Hash64({reinterpret_cast<const char*>(place), sizeof(place)}, kSampleSeed);
  if (kept_.size() == keep_) {
    if (priority >= kept_.front().priority) return;
    std::pop_heap(kept_.begin(), kept_.end(), Before);
    kept_.pop_back();
  }
  kept_.push_back({priority, std::string(key.substr(0, kSampleKeyBytes))});
  std::push_heap(kept_.begin(), kept_.end(), Before);
}

absl::Status SamplingEmitter::Emit(std::string_view key, std::string_view value) {
  absl::Status status = Admit(key.size(), value.size());
  if (status.ok()) Add(key);
  return status;
}

absl::Status SamplingEmitter::EmitNumber(std::string_view key, int64_t) {
  absl::Status status = Admit(key.size(), sizeof(int64_t));
  if (status.ok()) Add(key);
  return status;
}

std::vector<SampledKey> SamplingEmitter::Take() && {
  std::sort(kept_.begin(), kept_.end(), Before);
  return std::move(kept_);
}

std::vector<SampledKey> MergeSamples(const std::vector<std::vector<SampledKey>>& samples,
                                     size_t keep) {
  std::vector<SampledKey> all;
  for (const auto& sample : samples) all.insert(all.end(), sample.begin(), sample.end());
  std::sort(all.begin(), all.end(), Before);
  if (all.size() > keep) all.resize(keep);
  return all;
}

std::vector<std::string> SortedKeys(const std::vector<SampledKey>& sample) {
  std::vector<std::string> keys;
  keys.reserve(sample.size());
  for (const SampledKey& sampled : sample) keys.push_back(sampled.key);
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace kvd::mapreduce
