// The controller's way to groups and stores: calls to their leaders and to the stores themselves.
// Lives on the store's loop.
#pragma once

#include "server/node/group_caller.h"
#include "shardctrler/port.h"

namespace kvd::node {

class RemotePort : public shardctrler::Port {
 public:
  // All given outlive it.
  RemotePort(Loop* loop, GroupCaller* caller) : loop_(loop), caller_(caller) {}

  void Step(GroupId group, ShardStep step, Done<StepAnswer> done) override;
  void Pull(GroupId group, ShardId shard, OperationId operation, Timestamp at,
            Done<shardctrler::PullAnswer> done) override;
  void CreateGroup(GroupId group, const std::vector<shardctrler::Replica>& replicas,
                   Done<StepOutcome> done) override;
  void RemoveGroup(GroupId group, const std::vector<shardctrler::Replica>& replicas,
                   Done<StepOutcome> done) override;
  void ChangeReplicas(OperationId operation, GroupId group,
                      const std::vector<shardctrler::Replica>& added,
                      const std::vector<ReplicaId>& removed, Done<StepOutcome> done) override;
  void AbandonChange(OperationId operation, GroupId group,
                     const std::vector<shardctrler::Replica>& added,
                     const std::vector<ReplicaId>& removed, Done<StepOutcome> done) override;

 private:
  using AllDone = std::function<void(absl::StatusOr<StoreId>)>;
  // Has each store hold its replica: done with a leader of the group that one of them knows, or 0,
  // or with the first failure.
  void CreateAll(GroupId group, const std::vector<shardctrler::Replica>& replicas,
                 const std::vector<shardctrler::Replica>& voters, AllDone done);
  void Change(OperationId operation, GroupId group, const std::vector<shardctrler::Replica>& added,
              const std::vector<ReplicaId>& removed, bool abandon, Done<StepOutcome> done);

  Loop* const loop_;
  GroupCaller* const caller_;
};

}  // namespace kvd::node
