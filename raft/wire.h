// Between the core's messages and their form on the wire. What comes in is checked: a message that
// could break an invariant of the core is refused here.
#pragma once

#include "kvd/internal/v1/raft.pb.h"
#include "raft/transport.h"

namespace kvd::raft {

// Over every field; of a chunk's data over its own checksum, which Host::OnChunk compares.
uint32_t Checksum(const internal::v1::MessageBatch& batch);
uint32_t Checksum(const internal::v1::SnapshotChunk& chunk);

void ToWire(const GroupMessage& in, internal::v1::Message* out);
// False if the message is malformed. Its batch's checksum is for who reads the stream to compare.
bool FromWire(internal::v1::Message* in, GroupMessage* out);

// Without its checksum, which covers the greeting too.
void ToWire(SnapshotChunk in, internal::v1::SnapshotChunk* out);
// False if the chunk is malformed; its checksum is as a batch's.
bool FromWire(internal::v1::SnapshotChunk* in, SnapshotChunk* out);

void ToWire(const SnapshotAck& in, internal::v1::SnapshotAck* out);
SnapshotAck FromWire(const internal::v1::SnapshotAck& in);

}  // namespace kvd::raft
