// The replicas that a store holds: opened from what is on its disks, created and removed while it
// runs. A removed one leaves a tombstone, and can't come back (design, 4). Lives on the store's
// loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "server/node/replica_change.h"
#include "server/shard/data_group.h"
#include "shardctrler/machine.h"

namespace kvd::node {

// A replica here.
struct LocalGroup {
  // What the controller's group keeps; null in a data group. Outlives the group.
  std::unique_ptr<shardctrler::Machine> machine;
  std::unique_ptr<shard::DataGroup> group;
  std::unique_ptr<ReplicaChange> change;
};

// What groups need beside the engine; all outlives them.
struct GroupEnvironment {
  Loop* loop = nullptr;
  raft::Host* host = nullptr;
  shard::Verifier* verifier = nullptr;
  shard::Rebuilder* rebuilder = nullptr;
  const storage::DiskGuard* disk = nullptr;
};

class Groups {
 public:
  // `set_up` is called for each group before it starts, for hooks.
  Groups(storage::Engine* engine, const shard::DataGroupOptions& options,
         std::function<void(shard::DataGroup*)> set_up)
      : engine_(engine), options_(options), set_up_(std::move(set_up)) {}
  ~Groups();

  // Loads what the engine has of these groups. DATA_LOSS if that is damaged.
  absl::Status Open(const std::vector<GroupId>& ids);
  // Starts them. Requires: Open gave OK for those that were not removed.
  absl::Status Start(const GroupEnvironment& environment, std::vector<raft::GroupLog> logs);
  // Before the host ends: nothing is done by itself any more.
  void Detach();

  // Null if there is no replica of the group here.
  LocalGroup* Find(GroupId id);
  const std::map<GroupId, LocalGroup>& all() const { return groups_; }
  // Of the replica here; 0 if there is none.
  ReplicaId ReplicaOf(GroupId id) const;

  using Done = std::function<void(absl::Status)>;
  // Holds a replica from now on: of a new group with these voters, or, without any, of one that
  // exists. OK as well if it is here. FAILED_PRECONDITION if it was removed, or another one is
  // here.
  void Create(GroupId id, ReplicaId replica, const raft::Configuration& voters, Done done);
  // Holds it no more, or never. OK as well if it is long gone.
  void Remove(GroupId id, ReplicaId replica, Done done);
  // Removes those that the log says have left their groups.
  void RemoveWhoLeft();

  // Called when a group has come, or is about to go.
  std::function<void(GroupId)> on_created;
  std::function<void(GroupId)> on_removing;

 private:
  absl::StatusOr<LocalGroup> OpenOne(GroupId id);
  absl::Status StartOne(raft::GroupLog log, LocalGroup local);
  void Erase(GroupId id);

  storage::Engine* const engine_;
  // The memory for rows is the store's: its groups share it.
  void ShareRowCache();

  const shard::DataGroupOptions options_;
  const std::function<void(shard::DataGroup*)> set_up_;
  GroupEnvironment environment_;
  std::map<GroupId, LocalGroup> groups_;
  // The newest replica of each group that was removed here.
  std::map<GroupId, ReplicaId> removed_;
  std::map<GroupId, ReplicaId> creating_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::node
