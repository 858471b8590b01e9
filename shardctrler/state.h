// All that the controller knows, in memory, as the records of its group say it. Each change goes to
// memory and to a record. Pure but for the reader it is loaded from.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/storage/record_machine.h"
#include "shardctrler/group_table.h"
#include "shardctrler/records.h"
#include "shardctrler/settings.h"
#include "shardctrler/shard_map.h"

namespace kvd::shardctrler {

// Of operations that are over, so many are kept; older ones are history.
inline constexpr size_t kClosedOperationsMax = 1'000;

class State {
 public:
  const Ids& ids() const { return ids_; }
  const std::map<StoreId, Store>& stores() const { return stores_; }
  const std::map<GroupId, Group>& groups() const { return groups_.all(); }
  // The same, by where they are.
  const GroupTable& group_table() const { return groups_; }
  const ShardMap& shards() const { return shards_; }
  // Open ones and the last that are over.
  const std::map<OperationId, Operation>& operations() const { return operations_; }
  size_t open_operations() const { return operations_.size() - closed_; }
  const Settings& settings() const { return settings_; }

  // Rises with each change of anything, and with each one of stores, groups or settings: what was
  // found out at a version holds while it stays. They say nothing to another replica.
  uint64_t version() const { return version_; }
  uint64_t placement_version() const { return placement_version_; }

  // Null if there is none.
  const Store* FindStore(StoreId id) const;
  const Group* FindGroup(GroupId id) const;
  const Operation* FindOperation(OperationId id) const;
  // Whether a group has, or is getting, a replica on the store.
  bool HoldsReplica(StoreId store) const;

  void Put(const Ids& ids, storage::RecordSink* records);
  void Put(StoreId id, const Store& store, storage::RecordSink* records);
  void Put(GroupId id, const Group& group, storage::RecordSink* records);
  void EraseGroup(GroupId id, storage::RecordSink* records);
  void PutShard(const std::string& start, const Shard& shard, storage::RecordSink* records);
  void EraseShard(const std::string& start, storage::RecordSink* records);
  // Marks what it is open on, or no longer.
  void Put(OperationId id, const Operation& operation, storage::RecordSink* records);
  void PutSetting(std::string_view name, uint64_t value, storage::RecordSink* records);
  // The shard map as it is now is the next config.
  void PutConfig(Timestamp since, storage::RecordSink* records);

  // Replaces everything by what the records say as of `at`. DATA_LOSS if they are malformed.
  absl::Status Load(const storage::MvccReader& reader, Timestamp at);

  // Fails the process if what belongs together does not. Takes time by the number of shards.
  void CheckState() const;

 private:
  bool Take(std::string_view key, std::string_view value);
  void Mark(const Operation& operation, OperationId with);
  void NotePlacement() { placement_version_ = ++version_; }
  void ForgetClosed(OperationId but, storage::RecordSink* records);

  Ids ids_;
  std::map<StoreId, Store> stores_;
  GroupTable groups_;
  ShardMap shards_;
  std::map<OperationId, Operation> operations_;
  size_t closed_ = 0;  // of operations_
  Settings settings_;
  uint64_t version_ = 1;
  uint64_t placement_version_ = 1;
};

// Since when config `number` holds. NOT_FOUND if there is none of the number yet.
absl::StatusOr<Timestamp> ConfigSince(const storage::MvccReader& reader, ConfigNumber number,
                                      Timestamp now);

// A part of a config, in the order of the keys.
struct ConfigPage {
  std::vector<std::pair<std::string, Shard>> shards;  // with their start keys
  std::string next_key;                               // where it goes on; empty: it ends here
};

// The map of config `number`, which may be an earlier one, from start key `from` on, at most `most`
// shards: takes time by those alone. NOT_FOUND if there is none of the number yet; OUT_OF_RANGE if
// another one held already at `safe_point`, where the history begins.
absl::StatusOr<ConfigPage> ReadConfig(const storage::MvccReader& reader, ConfigNumber number,
                                      Timestamp now, Timestamp safe_point, std::string_view from,
                                      size_t most);

}  // namespace kvd::shardctrler
