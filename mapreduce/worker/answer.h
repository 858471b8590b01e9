// What stands in the frames of a worker's answers, taken from bytes that nobody vouches for. No
// I/O. Used by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "mapreduce/function.h"
#include "mapreduce/worker/protocol.h"

namespace kvd::mapreduce {

class Answers {
 public:
  using Log = std::function<void(std::string_view line)>;

  // Lines beyond `log_bytes_max` are dropped; `log` may be empty.
  Answers(uint64_t log_bytes_max, Log log) : log_bytes_max_(log_bytes_max), log_(std::move(log)) {}

  struct Verdict {
    // Why this is not the protocol; empty: it is.
    std::string nonsense;
    // What the emitter said.
    absl::Status status;
  };
  // A frame that does not end an answer. `out` null: nothing may be emitted or counted now.
  Verdict Take(wire::FrameType type, std::string_view payload, Emitter* out);

 private:
  static Verdict TakeEmits(std::string_view payload, Emitter* out);
  Verdict TakeCounts(std::string_view payload, Emitter* out);
  void TakeLog(std::string_view payload);

  const uint64_t log_bytes_max_;
  const Log log_;
  uint64_t log_bytes_ = 0;
  // Sorted; at most kCountersMax.
  std::vector<std::string> counters_;
};

}  // namespace kvd::mapreduce
