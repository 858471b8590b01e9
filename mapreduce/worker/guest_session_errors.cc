// Why a session is over, in words.
#include <signal.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "mapreduce/bad_record.h"
#include "mapreduce/worker/guest_port.h"
#include "mapreduce/worker/guest_session.h"
#include "mapreduce/worker/system_calls.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

using wire::FrameType;

// For a process that has closed its socket to end by itself, and for a script that was stopped to
// say where it was.
constexpr int kEndMs = 2'000;
constexpr std::chrono::milliseconds kStopMs{200};

std::string Seconds(uint64_t ms) {
  return ms % 1000 == 0 ? absl::StrCat(ms / 1000, " s") : absl::StrCat(ms, " ms");
}

std::string Megabytes(uint64_t bytes) {
  return bytes % (1 << 20) == 0 ? absl::StrCat(bytes >> 20, " MiB") : absl::StrCat(bytes, " B");
}

}  // namespace

absl::Status GuestSession::Nonsense(const std::string& what) {
  process_->End(0);
  return broken_ = absl::InternalError(
             absl::StrCat(where_, ": killed: the worker does not keep to the protocol: ", what));
}

std::optional<std::string_view> GuestSession::CurrentKey(const KeyAt& key_at) const {
  uint64_t place = process_->slot().current.load(std::memory_order_relaxed);
  return place == 0 ? std::nullopt : key_at(place);
}

absl::Status GuestSession::Blame(const std::string& reason, const KeyAt& key_at) const {
  if (auto key = CurrentKey(key_at)) return BadRecordError(where_, {std::string(*key), reason});
  return absl::FailedPreconditionError(absl::StrCat(where_, ", at no record: ", reason));
}

absl::Status GuestSession::OverLimit(const std::string& reason, const KeyAt& key_at) const {
  auto key = CurrentKey(key_at);
  return absl::ResourceExhaustedError(
      absl::StrCat(where_, key ? ", record " : "", key ? Printable(*key) : "", ": ", reason));
}

std::string GuestSession::MemoryReason() const {
  return absl::StrCat("killed: it used more than ", Megabytes(spec_.limits.memory_bytes),
                      " of memory");
}

absl::Status GuestSession::OnBroken(HostChannel::Result result, const KeyAt& key_at) {
  switch (result) {
    case HostChannel::Result::kTimedOut: return OnNoAnswer(key_at);
    case HostChannel::Result::kTooLarge:
      return Nonsense(absl::StrCat("it sent a frame longer than ", wire::kFrameBytesMax, " B"));
    default: return OnEnd(key_at);
  }
}

absl::Status GuestSession::OnNoAnswer(const KeyAt& key_at) {
  process_->AskToStop();
  Watch watch(kStopMs, [this] { return process_->schedule(); });
  std::string at_line;
  FrameType type;
  std::string_view payload;
  while (channel_.Receive(&type, &payload, &watch) == HostChannel::Result::kOk) {
    wire::Failure failure;
    if (type != FrameType::kFailure) continue;
    if (failure.Decode(payload) && failure.kind == wire::FailureKind::kStopped)
      at_line = absl::StrCat(" (it was ", failure.reason, ")");
    break;
  }
  process_->End(0);
  auto limit = static_cast<uint64_t>(waited_.count());
  return Blame(absl::StrCat("killed: no answer for ", Seconds(limit), at_line), key_at);
}

absl::Status GuestSession::OnStarved(const KeyAt& key_at) {
  auto key = CurrentKey(key_at);
  process_->End(0);
  return absl::UnavailableError(
      absl::StrCat(where_, key ? ", record " : "", key ? Printable(*key) : "",
                   ": killed: the machine is too busy, it had no processor for most of the time"));
}

absl::Status GuestSession::OnEnd(const KeyAt& key_at) {
  const ProcessEnd& end = process_->End(kEndMs);
  if (end.killed) return Nonsense("it closed its socket");
  bool out_of_time = end.cpu_ms >= spec_.limits.cpu_ms;
  if (end.signal == SIGXCPU || (end.signal == SIGKILL && out_of_time)) {
    return OverLimit(
        absl::StrCat("killed: it used more than ", Seconds(spec_.limits.cpu_ms), " of CPU time"),
        key_at);
  }
  if (end.signal == SIGKILL) {
    return absl::UnavailableError(absl::StrCat(
        where_, ": the worker was killed, by the kernel for lack of memory or by somebody"));
  }
  // It came while signals were held back, so that its number was not told.
  if (end.signal == SIGSYS)
    return Blame("killed: it made a system call that is not allowed", key_at);
  if (end.signal != 0) {
    const char* name = sigdescr_np(end.signal);
    return Blame(
        absl::StrCat("crashed: signal ", end.signal, " (", name == nullptr ? "?" : name, ")"),
        key_at);
  }
  if (end.exit_code == kTrapped) return OnTrap(key_at);
  if (end.exit_code == kNoSandbox) {
    return absl::UnavailableError(absl::StrCat(
        where_, ": the worker could not enter its sandbox: the kernel lacks seccomp filters"));
  }
  return Blame(absl::StrCat("the worker ended by itself, with exit code ", end.exit_code), key_at);
}

absl::Status GuestSession::OnTrap(const KeyAt& key_at) {
  auto trap = static_cast<wire::Trap>(process_->slot().trap.load(std::memory_order_relaxed));
  uint64_t detail = process_->slot().trap_detail.load(std::memory_order_relaxed);
  switch (trap) {
    case wire::Trap::kSystemCall: {
      const char* name = SystemCallName(detail);
      return Blame(
          absl::StrCat("killed: it made the system call ",
                       name == nullptr ? absl::StrCat(detail) : name, ", which is not allowed"),
          key_at);
    }
    case wire::Trap::kClock:
      return Blame("killed: it read the clock, which is not allowed", key_at);
    case wire::Trap::kNoMemory: return Blame(MemoryReason(), key_at);
    case wire::Trap::kNone: break;
  }
  return Blame("the worker ended by itself", key_at);
}

absl::Status GuestSession::OnFailure(std::string_view payload, const KeyAt& key_at) {
  wire::Failure failure;
  bool decoded = failure.Decode(payload);
  if (!decoded) return Nonsense("the failure that it tells is malformed");
  absl::Status status;
  switch (failure.kind) {
    case wire::FailureKind::kCode:
      status = absl::FailedPreconditionError(absl::StrCat(where_, ": ", failure.reason));
      break;
    case wire::FailureKind::kMemory: status = Blame(MemoryReason(), key_at); break;
    default: status = Blame(failure.reason, key_at); break;
  }
  process_->End(0);
  return status;
}

}  // namespace kvd::mapreduce
