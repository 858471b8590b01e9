// The store's end of a worker's socketpair. Trusts nothing that it reads: frames are bounded, and
// every wait ends with the watch. Used by one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "mapreduce/worker/protocol.h"

namespace kvd::mapreduce {

// How long an answer may take. Time is not counted in which the worker or the thread that waits for
// it could have run but had no processor (both run at idle priority, beside a busy store that may
// be seconds), nor time that the store itself took for what was answered; but twelve times the
// limit is the end in any case. Only who waits is looked after: what is there already is taken
// however late it is.
class Watch {
 public:
  using Clock = std::chrono::steady_clock;
  // `waited_for_processor`: nanoseconds so far, see WorkerProcess.
  Watch(std::chrono::milliseconds limit, std::function<uint64_t()> waited_for_processor);

  // 0: it is over.
  int RemainingMs() const;
  // Between these the time is the store's own.
  void Pause() { paused_at_ = Clock::now(); }
  void Resume() { paused_ += Clock::now() - paused_at_; }

 private:
  const std::chrono::milliseconds limit_;
  const std::function<uint64_t()> waited_for_processor_;
  const Clock::time_point start_;
  const uint64_t waited_before_;
  Clock::time_point paused_at_;
  Clock::duration paused_{0};
};

class HostChannel {
 public:
  enum class Result { kOk, kClosed, kTimedOut, kTooLarge };

  // A socket that does not block and outlives it.
  explicit HostChannel(int socket) : socket_(socket) {}

  Result Send(std::string_view bytes, const Watch& watch);
  // The next frame; its payload is valid until the next call. kTooLarge: its header says that it is
  // longer than kFrameBytesMax; nothing of it was read into memory.
  Result Receive(wire::FrameType* type, std::string_view* payload, const Watch& watch);

 private:
  // Until the socket can be read or written (POLLIN, POLLOUT).
  Result Wait(short events, const Watch& watch) const;

  const int socket_;
  std::string in_;
  // What was read and not yet given out.
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace kvd::mapreduce
