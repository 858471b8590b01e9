// A worker process's end of the socketpair: blocking, one request at a time. Emits and counts are
// gathered here, so that most cost no system call. If the store is gone or speaks nonsense, the
// process ends: there is nobody left to tell. Used by one thread, one instance a process.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "mapreduce/worker/protocol.h"

namespace kvd::mapreduce {

// What a worker process ends with when it can't go on; kOk after its socket was closed.
enum ExitCode : int { kOk = 0, kBadUsage = 64, kBadStore = 65, kNoSandbox = 66, kTrapped = 67 };

class GuestPort {
 public:
  explicit GuestPort(wire::Slot* slot) : slot_(slot) { out_.reserve(2 * wire::kBatchBytes); }

  // Waits for the store's next frame; its payload is valid until the next call. Ends the process
  // when the store has closed the socket.
  wire::FrameType Read(std::string_view* payload);

  // Why a pair can't be emitted; null: it can.
  static const char* Refuses(std::string_view key, std::string_view value);
  // Takes a pair that is not refused.
  void Emit(std::string_view key, std::string_view value) {
    if (!in_emits_) BeginEmits();
    Writer w(&out_);
    w.Bytes(key);
    w.Bytes(value);
    if (out_.size() >= wire::kBatchBytes) Flush();
  }
  // False: too many counters, or a name that is empty or too long.
  bool Count(std::string_view counter, int64_t delta);
  // A line for the job's log; cut if it is too long.
  void Log(std::string_view text);

  // The record or group that user code is at now, from 1; 0: at none.
  void SetCurrent(uint64_t place) { slot_->current.store(place, std::memory_order_relaxed); }
  uint64_t current() const { return slot_->current.load(std::memory_order_relaxed); }

  // Ends an answer: sends what was gathered and this frame.
  void Answer(wire::FrameType type, std::string_view payload = {});
  void Fail(const wire::Failure& failure);

 private:
  void BeginEmits();
  void EndEmits();
  void AppendCounts();
  void Flush();
  // Reads until `in_` holds so many bytes.
  void Fill(size_t bytes);

  wire::Slot* const slot_;
  std::string in_;
  size_t in_size_ = 0;
  std::string out_;
  bool in_emits_ = false;
  size_t emits_at_ = 0;
  std::map<std::string, int64_t, std::less<>> counts_;
};

// Maps the slot that the store has passed. Null: it has passed none.
wire::Slot* MapSlot();

}  // namespace kvd::mapreduce
