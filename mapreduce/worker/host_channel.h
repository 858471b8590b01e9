// The store's end of a worker's socketpair. Trusts nothing that it reads: frames are bounded, and
// every wait ends with the watch. Used by one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "mapreduce/worker/protocol.h"
#include "mapreduce/worker/worker_process.h"

namespace kvd::mapreduce {

// How long an answer may take. Time is not counted in which the worker or the thread that waits for
// it could have run but had no processor (both run at idle priority, beside a busy store that may
// be minutes), nor time that the store itself took for what was answered. Only who waits is looked
// after: what is there already is taken however late it is.
class Watch {
 public:
  using Clock = std::chrono::steady_clock;
  using Schedule = WorkerProcess::Schedule;
  Watch(std::chrono::milliseconds limit, std::function<Schedule()> schedule);

  // 0: it is over.
  int RemainingMs();
  // Whether it is over because the worker had no processor for very long: nobody is to blame.
  bool starved() const { return starved_; }
  // Between these the time is the store's own.
  void Pause() { paused_at_ = Clock::now(); }
  void Resume() { paused_ += Clock::now() - paused_at_; }

 private:
  // Milliseconds to wait before looking again, when the limit has passed: 0 if it is over.
  int LookAgainMs(Clock::duration taken);

  const std::chrono::milliseconds limit_;
  const std::function<Schedule()> schedule_;
  const Clock::time_point start_;
  const Schedule at_start_;
  // When the limit had passed: what the worker had then.
  std::optional<Schedule> at_limit_;
  bool starved_ = false;
  Clock::time_point paused_at_;
  Clock::duration paused_{0};
};

class HostChannel {
 public:
  enum class Result { kOk, kClosed, kTimedOut, kTooLarge };

  // A socket that does not block and outlives it.
  explicit HostChannel(int socket) : socket_(socket) {}

  Result Send(std::string_view bytes, Watch* watch);
  // The next frame; its payload is valid until the next call. kTooLarge: its header says that it is
  // longer than kFrameBytesMax; nothing of it was read into memory.
  Result Receive(wire::FrameType* type, std::string_view* payload, Watch* watch);

 private:
  // Until the socket can be read or written (POLLIN, POLLOUT).
  Result Wait(short events, Watch* watch) const;

  const int socket_;
  std::string in_;
  // What was read and not yet given out.
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace kvd::mapreduce
