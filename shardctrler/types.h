// What the controller knows of a cluster, and what it is about to change. Values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proto/ids.h"
#include "proto/timestamp.h"

namespace kvd::shardctrler {

// The group that the controller itself is.
inline constexpr GroupId kControllerGroup{1};

enum class StoreState : uint8_t {
  kServing = 1,
  kDraining = 2,  // its replicas go elsewhere, and it gets no new ones
  kGone = 3,      // for good: its replicas are replaced without it, and its id is never used again
};

struct Store {
  std::string address;  // host:port
  uint64_t nonce = 0;   // of the store's own making: a join asked again gives the same id
  StoreState state = StoreState::kServing;
  uint32_t cores = 1;
  std::map<std::string, std::string> labels;      // zone, rack, disk, ... as it was started with
  std::map<std::string, std::string> set_labels;  // by an operator, before those; empty: no label

  // Those that hold.
  std::map<std::string, std::string> AllLabels() const;
  // One of them; empty: none.
  const std::string& Label(const std::string& name) const;

  bool operator==(const Store&) const = default;
};

struct Replica {
  ReplicaId id;
  StoreId store;

  bool operator==(const Replica&) const = default;
};

enum class GroupState : uint8_t {
  kCreating = 1,
  kServing = 2,
  kRetiring = 3,  // has no shards and gets none; its replicas go
};

struct Group {
  GroupState state = GroupState::kCreating;
  std::vector<Replica> replicas;  // voters, as the last finished operation left them
  OperationId operation;          // open on its replicas; 0: none

  bool operator==(const Group&) const = default;
};

// Its range begins at the key under which the map has it, and ends where the next one begins.
struct Shard {
  ShardId id;
  Epoch epoch;
  GroupId group;
  OperationId operation;  // open on it; 0: none
  bool keep = false;      // it begins where an operator split: it is not merged with what is before

  bool operator==(const Shard&) const = default;
};

enum class OperationKind : uint8_t {
  kMove = 1,            // `shard` from `group` to `to`
  kSplit = 2,           // `shard` at `key`; what lies above becomes `other`
  kMerge = 3,           // `other`, the right neighbour, into `shard`
  kCreateGroup = 4,     // `group` with `added`
  kChangeReplicas = 5,  // `group`: `added` become voters, then `removed` leave
  kRetireGroup = 6,     // `group`
};

// How far an operation is. Each is committed before the first message that it allows.
enum class Phase : uint8_t {
  kRunning = 1,     // can still be cancelled
  kForward = 2,     // a move: it is decided that the source freezes
  kPublished = 3,   // a move: the map has the new owner; the source drops the shard
  kCancelling = 4,  // it is decided that what was begun is taken back
  kDone = 5,
  kCancelled = 6,
};

inline bool IsOpen(Phase phase) { return phase < Phase::kDone; }

struct Operation {
  OperationKind kind = OperationKind::kMove;
  Phase phase = Phase::kRunning;
  std::string reason;  // why it was begun, for people
  ShardId shard;
  Epoch epoch;  // that `shard` had when it began
  std::string key;
  ShardId other;
  Epoch other_epoch;  // kMerge
  GroupId group;
  GroupId to;
  std::vector<Replica> added;
  std::vector<ReplicaId> removed;
  bool by_hand = false;  // an operator asked for it
  Timestamp opened;
  Timestamp changed;  // phase

  bool operator==(const Operation&) const = default;
};

std::string_view ToString(StoreState state);
std::string_view ToString(GroupState state);
std::string_view ToString(OperationKind kind);
std::string_view ToString(Phase phase);

}  // namespace kvd::shardctrler
