// How long what was sent on a stream to another store may go without an answer before the stream
// counts as broken. A stream can hang while its connection lives: a length that a network damaged
// makes the receiver wait for bytes that were never sent.
#pragma once

#include <algorithm>

#include "raft/runtime/time.h"

namespace kvd::raft {

class StreamPatience {
 public:
  // `base`: for next to nothing, on a link that is well. The other end says something once in a
  // third of it, so that an answer is never far.
  explicit StreamPatience(Duration base) : base_(base) {}

  Duration beat() const { return base_ / 3; }
  // For so many bytes to be through.
  Duration For(size_t bytes) const {
    return base_ + scale_ * Duration(static_cast<int64_t>(bytes) * kNanosPerByte);
  }
  // It ran out with so many bytes on their way. A slow link shows itself by large messages that are
  // cut short: they get more time then, until there was none such for long.
  void RanOut(size_t bytes, MonotonicTime now) {
    if (bytes >= kLargeBytes) scale_ = std::min(2 * scale_, kScaleMax);
    changed_at_ = now;
  }
  void Answered(MonotonicTime now) {
    if (scale_ == 1 || now - changed_at_ < scale_ * kWellFor) return;
    scale_ /= 2;
    changed_at_ = now;
  }

 private:
  static constexpr int64_t kNanosPerByte = 15'259;  // 64 KiB/s
  static constexpr size_t kLargeBytes = 4 << 10;
  static constexpr Duration kWellFor = std::chrono::seconds(60);
  static constexpr int kScaleMax = 64;

  const Duration base_;
  int scale_ = 1;
  MonotonicTime changed_at_ = kLongAgo;
};

}  // namespace kvd::raft
