// Streams one snapshot to one follower: a window of chunks ahead of the acknowledgements, repeated
// when an answer is overdue, resumed where the receiver says, within a byte rate.
// Lives on the host's loop.
#pragma once

#include <functional>
#include <memory>

#include "raft/runtime/loop.h"
#include "raft/state_machine.h"
#include "raft/transport.h"

namespace kvd::raft {

struct SnapshotOptions {
  size_t window_chunks = 8;
  Duration resend_after = milliseconds(1000);
  // Without progress for this long the attempt has failed; the leader probes again.
  Duration give_up_after = milliseconds(15000);
  uint64_t bytes_per_second_max = 128 << 20;
};

class SnapshotSender {
 public:
  // `header` is a chunk with everything but sequence, data, checksum. `done(installed)` is called
  // once, never from the constructor.
  SnapshotSender(Loop* loop, Transport* transport, const SnapshotOptions& options, StoreId to,
                 SnapshotChunk header, std::unique_ptr<SnapshotReader> reader,
                 std::function<void(bool installed)> done);

  void OnAck(const SnapshotAck& ack);
  uint64_t snapshot_id() const { return header_.snapshot_id; }
  Index index() const { return header_.meta.index; }
  uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  void SendMore();
  void OnTimer();
  void Finish(bool installed);

  Loop* const loop_;
  Transport* const transport_;
  const SnapshotOptions options_;
  const StoreId to_;
  const SnapshotChunk header_;
  const std::unique_ptr<SnapshotReader> reader_;
  std::function<void(bool)> done_;
  uint64_t next_ = 0;   // to send
  uint64_t acked_ = 0;  // all before are held by the receiver
  bool end_sent_ = false;
  uint64_t bytes_sent_ = 0;
  MonotonicTime allowed_at_;  // by the byte rate
  MonotonicTime last_progress_;
  MonotonicTime last_sent_;
  MonotonicTime went_back_;  // to what the receiver wants again
  std::unique_ptr<Timer> timer_;
};

}  // namespace kvd::raft
