#include "mapreduce/dataflow/emitters.h"

#include "absl/strings/str_cat.h"
#include "proto/error.h"

namespace kvd::mapreduce {

void AddCounters(const Counters& from, Counters* to) {
  for (const auto& [name, value] : from) (*to)[name] += value;
}

void TaskEmitter::Count(std::string_view counter, int64_t delta) {
  counter = counter.empty() ? "?" : counter.substr(0, kCounterNameMax);
  auto at = counters_.find(counter);
  if (at == counters_.end()) at = counters_.emplace(counter, 0).first;
  // Wraps rather than being undefined: it is only a figure.
  at->second =
      static_cast<int64_t>(static_cast<uint64_t>(at->second) + static_cast<uint64_t>(delta));
}

absl::Status TaskEmitter::Refuse(size_t pair_bytes) const {
  if (pair_bytes > kPairBytesMax) {
    return LimitError("a pair's key and value", kPairBytesMax, pair_bytes, "B");
  }
  return absl::ResourceExhaustedError(absl::StrCat("output_bytes is ", output_bytes_max_,
                                                   " B, the task emitted ", emitted_bytes_, " B"));
}

}  // namespace kvd::mapreduce
