// What waits to be sent to one store, in batches. Lives on its loop.
#pragma once

#include <deque>

#include "kvd/internal/v1/raft.pb.h"
#include "raft/transport.h"

namespace kvd::raft {

class MessageOutbox {
 public:
  // What would wait beyond `bytes_max` is dropped, as Raft allows.
  explicit MessageOutbox(size_t bytes_max) : bytes_max_(bytes_max) {}

  // Heartbeats and their answers overtake entries: elections hang on when they arrive.
  void Add(const GroupMessage& message);
  void Add(const SnapshotAck& ack);
  bool empty() const { return batches_.empty(); }
  // About how large the next batch is; 0 if there is none.
  size_t NextBytes() const { return batches_.empty() ? 0 : batches_.front().bytes; }
  // The oldest batch, of at most about 4 MiB or one message. Requires: !empty().
  internal::v1::MessageBatch Next();
  void Clear();

 private:
  struct Batch {
    internal::v1::MessageBatch batch;
    size_t bytes = 0;
    bool urgent = false;
  };
  // Null: dropped.
  internal::v1::MessageBatch* RoomFor(size_t bytes, bool urgent = false);

  const size_t bytes_max_;
  std::deque<Batch> batches_;
  size_t bytes_ = 0;  // about
};

}  // namespace kvd::raft
