// How the controller's leader reaches groups and stores. Calls may fail, be late, or be carried out
// though their answer is lost; each is asked again until it is answered, so each must be
// idempotent. Lives on the controller's loop.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "proto/shard.h"
#include "shardctrler/types.h"

namespace kvd::shardctrler {

// How far the copy of a shard has come.
struct PullAnswer {
  Timestamp copied;    // all versions up to here have arrived
  uint64_t bytes = 0;  // of the rounds that this call took
};

class Port {
 public:
  virtual ~Port() = default;

  template <class T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  // Has the group's leader replicate a step on one of its shards.
  virtual void Step(GroupId group, ShardStep step, Done<StepAnswer> done) = 0;
  // Has the leader of the group that imports the shard fetch what it lacks: up to `at`, or, if that
  // is 0, to where the other group is now. OK at once if the import is complete. A round that is
  // under way is finished first, however far it goes.
  virtual void Pull(GroupId group, ShardId shard, OperationId operation, Timestamp at,
                    Done<PullAnswer> done) = 0;
  // Has each of the stores create its replica of a new group; done once the group has a leader.
  virtual void CreateGroup(GroupId group, const std::vector<Replica>& replicas,
                           Done<StepOutcome> done) = 0;
  // Has the stores remove their replicas for good; done once all that can be reached have.
  virtual void RemoveGroup(GroupId group, const std::vector<Replica>& replicas,
                           Done<StepOutcome> done) = 0;
  // Makes `added` voters, then has `removed` leave.
  virtual void ChangeReplicas(OperationId operation, GroupId group,
                              const std::vector<Replica>& added,
                              const std::vector<ReplicaId>& removed, Done<StepOutcome> done) = 0;
  // Takes a change back: kAborted, and what comes late of it is refused, or kDone if it has been
  // carried out.
  virtual void AbandonChange(OperationId operation, GroupId group,
                             const std::vector<Replica>& added,
                             const std::vector<ReplicaId>& removed, Done<StepOutcome> done) = 0;
};

}  // namespace kvd::shardctrler
