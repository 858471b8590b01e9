// Messages between stores. Unreliable like the network: a message may be lost, late, doubled or
// overtaken, never changed. Both interfaces are called on the loop.
#pragma once

#include <string>
#include <vector>

#include "raft/core/types.h"

namespace kvd::raft {

struct GroupMessage {
  GroupId group;
  Message message;
};

struct SnapshotChunk {
  GroupId group;
  ReplicaId from;
  ReplicaId to;
  Term term;  // the leader's
  uint64_t snapshot_id = 0;
  SnapshotMeta meta;
  uint64_t sequence = 0;
  std::string data;
  uint32_t crc32c = 0;  // of data
  bool last = false;
};

struct SnapshotAck {
  GroupId group;
  ReplicaId from;
  ReplicaId to;
  uint64_t snapshot_id = 0;
  uint64_t next_sequence = 0;  // all chunks before are held
  bool reject = false;         // send no more of it
  bool installed = false;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual void Send(StoreId to, std::vector<GroupMessage> messages) = 0;
  virtual void SendChunk(StoreId to, SnapshotChunk chunk) = 0;
  virtual void SendAck(StoreId to, SnapshotAck ack) = 0;
};

class TransportHandler {
 public:
  virtual ~TransportHandler() = default;
  virtual void OnMessages(std::vector<GroupMessage> messages) = 0;
  virtual void OnChunk(StoreId from, SnapshotChunk chunk) = 0;
  virtual void OnAck(SnapshotAck ack) = 0;
};

}  // namespace kvd::raft
