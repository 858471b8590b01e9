#include "raft/message_outbox.h"

#include "raft/wire.h"

namespace kvd::raft {

namespace pb = internal::v1;

namespace {
// Well below what the receiver accepts; only one message alone may be larger.
constexpr size_t kBatchBytesMax = 4 << 20;
constexpr size_t kMessageBytes = 128;  // about, without its entries
constexpr size_t kAckBytes = 64;
// What is behind so much gets there late.
constexpr size_t kAheadBytes = 64 << 10;

bool IsUrgent(const Message& m) {
  return m.type == MessageType::kHeartbeat || m.type == MessageType::kHeartbeatReply;
}
}  // namespace

pb::MessageBatch* MessageOutbox::RoomFor(size_t bytes, bool urgent) {
  if (urgent && bytes_ > kAheadBytes) {
    if (bytes_ + bytes > bytes_max_ + kAheadBytes) return nullptr;
    if (!batches_.front().urgent) batches_.emplace_front().urgent = true;
    bytes_ += bytes;
    batches_.front().bytes += bytes;
    return &batches_.front().batch;
  }
  if (bytes_ + bytes > bytes_max_) return nullptr;
  if (batches_.empty() || batches_.back().bytes + bytes > kBatchBytesMax) batches_.emplace_back();
  bytes_ += bytes;
  batches_.back().bytes += bytes;
  return &batches_.back().batch;
}

void MessageOutbox::Add(const GroupMessage& message) {
  size_t bytes = kMessageBytes;
  for (const EntryPtr& entry : message.message.entries) bytes += entry->Bytes();
  if (auto* batch = RoomFor(bytes, IsUrgent(message.message)))
    ToWire(message, batch->add_messages());
}

void MessageOutbox::Add(const SnapshotAck& ack) {
  if (auto* batch = RoomFor(kAckBytes)) ToWire(ack, batch->add_snapshot_acks());
}

pb::MessageBatch MessageOutbox::Next() {
  pb::MessageBatch batch = std::move(batches_.front().batch);
  bytes_ -= batches_.front().bytes;
  batches_.pop_front();
  return batch;
}

void MessageOutbox::Clear() {
  batches_.clear();
  bytes_ = 0;
}

}  // namespace kvd::raft
