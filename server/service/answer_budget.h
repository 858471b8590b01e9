// How much may wait, answered but not yet taken by the clients that asked.
#pragma once

#include <cstddef>

#include "absl/status/status.h"

namespace kvd::service {

// A client that asks much and reads nothing costs memory: its answers wait until HTTP/2 lets them
// go. Without a bound over all calls, each within its own limits, that would be any amount. Owned
// by one loop.
class AnswerBudget {
 public:
  // Unary answers smaller than this are not counted: the calls of a connection are.
  static constexpr size_t kCountedBytesMin = 64 << 10;
  static constexpr size_t kBytesMax = 512 << 20;

  bool HasRoom(size_t bytes) const { return bytes_ + bytes <= kBytesMax; }
  // OK, or RESOURCE_EXHAUSTED for an answer of `bytes` that has no room.
  absl::Status Check(size_t bytes) const;

  void Take(size_t bytes) { bytes_ += bytes; }
  // What was taken has left, or its call has ended.
  void Return(size_t bytes);

  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

}  // namespace kvd::service
