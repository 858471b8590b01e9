// Emitters' common part: the job's counters, and how much one task may emit.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "mapreduce/dataflow/limits.h"
#include "mapreduce/function.h"

namespace kvd::mapreduce {

using Counters = std::map<std::string, int64_t, std::less<>>;

void AddCounters(const Counters& from, Counters* to);

// Used by one thread.
class TaskEmitter : public Emitter {
 public:
  explicit TaskEmitter(uint64_t output_bytes) : output_bytes_max_(output_bytes) {}

  // A name that is not of 1 to 64 B is cut or called "?".
  void Count(std::string_view counter, int64_t delta) final;
  const Counters& counters() const { return counters_; }
  uint64_t emitted_records() const { return emitted_records_; }
  // Keys and values; a number counts as 8 B.
  uint64_t emitted_bytes() const { return emitted_bytes_; }

 protected:
  // RESOURCE_EXHAUSTED naming output_bytes, INVALID_ARGUMENT if the pair is too great.
  absl::Status Admit(size_t key_bytes, size_t value_bytes) {
    emitted_bytes_ += key_bytes + value_bytes;
    ++emitted_records_;
    if (emitted_bytes_ > output_bytes_max_ || key_bytes + value_bytes > kPairBytesMax)
        [[unlikely]] {
      return Refuse(key_bytes + value_bytes);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Refuse(size_t pair_bytes) const;

  const uint64_t output_bytes_max_;
  uint64_t emitted_bytes_ = 0;
  uint64_t emitted_records_ = 0;
  Counters counters_;
};

}  // namespace kvd::mapreduce
