#include "mapreduce/worker/host_channel.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace kvd::mapreduce {
namespace {

// A worker that had no answer and no processor to find it for so long is given up.
constexpr std::chrono::minutes kStarved{5};
// How long it is waited, as a part of the limit, before it is looked again whether it had one.
constexpr int kLookAgainPart = 10;

}  // namespace

Watch::Watch(std::chrono::milliseconds limit, std::function<Schedule()> schedule)
    : limit_(limit), schedule_(std::move(schedule)), start_(Clock::now()), at_start_(schedule_()) {}

int Watch::RemainingMs() {
  Clock::duration taken = Clock::now() - start_ - paused_;
  // The kernel is asked only when it matters.
  if (taken >= limit_) return LookAgainMs(taken);
  auto ms = std::chrono::ceil<std::chrono::milliseconds>(limit_ - taken).count();
  return static_cast<int>(std::min<int64_t>(ms, 60'000));
}

int Watch::LookAgainMs(Clock::duration taken) {
  Schedule now = schedule_();
  int again = std::max(1, static_cast<int>(limit_.count()) / kLookAgainPart);
  auto waited = std::chrono::nanoseconds(now.waited - std::min(now.waited, at_start_.waited));
  bool over = taken - waited >= limit_;
  // One that could run but has not since the last look waits for a processor now, which the kernel
  // adds to what it has waited only when that is over.
  bool waits = now.runnable && (!at_limit_ || at_limit_->ran == now.ran);
  at_limit_ = now;
  if (over && !waits) return 0;
  starved_ = taken >= limit_ + kStarved;
  return starved_ ? 0 : again;
}

HostChannel::Result HostChannel::Wait(short events, Watch* watch) const {
  while (true) {
    int left = watch->RemainingMs();
    if (left == 0) return Result::kTimedOut;
    pollfd socket{socket_, events, 0};
    // Trying tells what is wrong if it is not `events` that came.
    if (poll(&socket, 1, left) > 0) return Result::kOk;
  }
}

HostChannel::Result HostChannel::Send(std::string_view bytes, Watch* watch) {
  while (!bytes.empty()) {
    ssize_t n = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
      // A worker that takes a byte at a time must not get round the limit.
      if (!bytes.empty() && watch->RemainingMs() == 0) return Result::kTimedOut;
    } else if (n < 0 && errno == EAGAIN) {
      if (Result result = Wait(POLLOUT, watch); result != Result::kOk) return result;
    } else if (n < 0 && errno != EINTR) {
      return Result::kClosed;
    }
  }
  return Result::kOk;
}

HostChannel::Result HostChannel::Receive(wire::FrameType* type, std::string_view* payload,
                                         Watch* watch) {
  size_t wanted = wire::kHeaderBytes;
  while (true) {
    if (end_ - begin_ >= wire::kHeaderBytes) {
      size_t length = Reader(std::string_view(in_.data() + begin_, 4)).Fixed32();
      if (length > wire::kFrameBytesMax) return Result::kTooLarge;
      wanted = wire::kHeaderBytes + length;
      if (end_ - begin_ >= wanted) break;
    }
    std::memmove(in_.data(), in_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (in_.size() < std::max(wanted, 2 * wire::kBatchBytes))
      in_.resize(std::max(wanted, 2 * wire::kBatchBytes));
    ssize_t n = recv(socket_, in_.data() + end_, in_.size() - end_, 0);
    if (n > 0) {
      end_ += static_cast<size_t>(n);
      // A worker that sends a byte at a time must not get round the limit.
      if (end_ < wanted && watch->RemainingMs() == 0) return Result::kTimedOut;
    } else if (n < 0 && errno == EAGAIN) {
      if (Result result = Wait(POLLIN, watch); result != Result::kOk) return result;
    } else if (n == 0 || errno != EINTR) {
      return Result::kClosed;
    }
  }
  *type = static_cast<wire::FrameType>(in_[begin_ + 4]);
  *payload =
      std::string_view(in_.data() + begin_ + wire::kHeaderBytes, wanted - wire::kHeaderBytes);
  begin_ += wanted;
  return Result::kOk;
}

}  // namespace kvd::mapreduce
