// How the controller's records lie in its group, as keys and values of the versions space:
//
//   "c" number (8 B big-endian)    config: timestamp since when it holds (8 B)
//   "g" group (8 B)                group
//   "i"                            cluster, newest config, next ids, what was skipped of them
//   "o" operation (8 B)            operation
//   "s" start key                  shard
//   "t" store (8 B)                store
//   "v" name                       setting: a number
//
// A value begins with its format (1 B, now 1). The map of an earlier config is what the "s" records
// say at its timestamp. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shardctrler/types.h"

namespace kvd::shardctrler {

struct Ids {
  ClusterId cluster;    // 0: not bootstrapped yet
  ConfigNumber config;  // the newest
  StoreId next_store{1};
  GroupId next_group{1};
  ReplicaId next_replica{1};
  ShardId next_shard{1};
  // Added to the index of an entry that begins an operation: what log entries that were lost have
  // begun is not begun again under the same number.
  uint64_t operations_from = 0;
  // Ids that a controller that was lost may have given out: [first, second). Replicas of such ids
  // may be in use though nothing is known of them here.
  std::vector<std::pair<ReplicaId, ReplicaId>> lost_replicas = {};

  bool MayBeLost(ReplicaId id) const;
  bool operator==(const Ids&) const = default;
};

enum class Table : char {
  kConfigs = 'c',
  kGroups = 'g',
  kIds = 'i',
  kOperations = 'o',
  kShards = 's',
  kStores = 't',
  kSettings = 'v',
};

// The table's records are those whose keys begin with this.
inline std::string Prefix(Table table) { return std::string(1, static_cast<char>(table)); }
std::string RecordKey(Table table, uint64_t number);
std::string RecordKey(Table table, std::string_view name);
// What follows the table's prefix. Empty if it is not 8 B.
std::optional<uint64_t> NumberOf(std::string_view record_key);
inline std::string_view NameOf(std::string_view record_key) { return record_key.substr(1); }

// Empty if malformed, or of a later format.
std::string Encode(const Ids& ids);
std::optional<Ids> DecodeIds(std::string_view bytes);
std::string Encode(const Store& store);
std::optional<Store> DecodeStore(std::string_view bytes);
// Without what is open on it: the operations tell.
std::string Encode(const Group& group);
std::optional<Group> DecodeGroup(std::string_view bytes);
std::string Encode(const Shard& shard);
std::optional<Shard> DecodeShard(std::string_view bytes);
std::string Encode(const Operation& operation);
std::optional<Operation> DecodeOperation(std::string_view bytes);
std::string EncodeNumber(uint64_t number);
std::optional<uint64_t> DecodeNumber(std::string_view bytes);

}  // namespace kvd::shardctrler
