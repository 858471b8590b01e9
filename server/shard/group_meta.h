// A data group's replicated state beside its keys: position, clock, safe point, members, shards.
// Kept in memory and in the group's meta space, written in the same batch as what changed
// it. Pure but for the engine it is given.
//
//   meta "applied"     index, term, last timestamp, replica id
//   meta "config"      the Raft configuration applied last
//   meta "safe"        safe point, floor
//   meta "d" shard     descriptor (shard: 8 B big-endian)
//   meta "f" shard     the last operation that is finished on the shard
//   meta "closed"      below which operations are over
//   meta "fence"       up to which operation changes of members are over
//   meta "x" expiry    (8 B big-endian) one per expiry ahead: when the clock has to move
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/key_range.h"
#include "proto/timestamp.h"
#include "raft/core/types.h"
#include "server/shard/shard_table.h"
#include "server/storage/engine.h"

namespace kvd::shard {

struct GroupMeta {
  ReplicaId replica;
  raft::SnapshotMeta applied;
  Timestamp clock;  // timestamp of the last applied entry
  // What was overwritten or deleted up to here may be gone.
  Timestamp safe_point;
  // What happened before is not told any more: at or above the safe point, which waits for shards
  // that are being copied; and of shards that came, as much was told where they come from.
  Timestamp floor;
  ShardTable shards;
  OperationId fence;  // changes of members by operations up to it are refused

  static absl::StatusOr<GroupMeta> Load(const storage::View& view, GroupId group);
  // Takes over what one record says, by its name in the meta space. DATA_LOSS if it is malformed.
  absl::Status Take(std::string_view name, std::string_view bytes);

  // Each writes one of the records above.
  void StoreApplied(storage::WriteBatch& batch, GroupId group) const;
  void StoreConfiguration(storage::WriteBatch& batch, GroupId group) const;
  void StoreSafePoint(storage::WriteBatch& batch, GroupId group) const;
  // What a step has changed of the shards' records.
  void StoreShards(const StepEffect& effect, storage::WriteBatch& batch, GroupId group) const;
  void StoreFence(storage::WriteBatch& batch, GroupId group) const;

  // Replaces the position and identity in the encoded "applied" record of a snapshot's content.
  std::string EncodeApplied() const;
};

std::string AppliedKey(GroupId group);
std::string ConfigurationKey(GroupId group);
std::string SafePointKey(GroupId group);
std::string ExpiryKey(GroupId group, Timestamp expiry);
// The expiry that such a key stands for.
Timestamp ExpiryOf(std::string_view expiry_key);

// For what was read with Engine::GetPersisted; 0 if absent.
absl::StatusOr<Index> DecodeAppliedIndex(const std::optional<std::string>& bytes);
absl::StatusOr<Timestamp> DecodeSafePoint(const std::optional<std::string>& bytes);

}  // namespace kvd::shard
