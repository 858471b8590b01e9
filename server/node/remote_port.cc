#include "server/node/remote_port.h"

#include "absl/strings/str_cat.h"
#include "server/shard/shard_codec.h"

namespace kvd::node {
namespace {

constexpr Duration kCallTimeout = milliseconds(3000);
// Longer than the leader itself takes before it says how far it is.
constexpr Duration kLongCallTimeout = milliseconds(10'000);

void Fill(const shardctrler::Replica& r, wire::Replica* out) {
  out->set_replica_id(r.id.value());
  out->set_store_id(r.store.value());
}

// Of calls to several stores.
struct Gathering {
  size_t waits = 0;
  absl::Status failed;
  StoreId leader;
};

}  // namespace

void RemotePort::Step(GroupId group, ShardStep step, Done<StepAnswer> done) {
  wire::StoreRequest request;
  request.mutable_shard_step()->set_group_id(group.value());
  Writer w(request.mutable_shard_step()->mutable_step());
  shard::EncodeStep(w, step);
  caller_->ToLeader(group, std::move(request), kCallTimeout,
                    [done = std::move(done)](absl::StatusOr<wire::StoreResponse> answer) {
                      if (!answer.ok()) return done(answer.status());
                      auto decoded = shard::DecodeStepAnswer(answer->shard_step().answer());
                      if (!decoded)
                        return done(absl::InternalError("a step's answer is malformed"));
                      done(*std::move(decoded));
                    });
}

void RemotePort::Pull(GroupId group, ShardId shard, OperationId operation, Timestamp at,
                      Done<shardctrler::PullAnswer> done) {
  wire::StoreRequest request;
  request.mutable_pull()->set_group_id(group.value());
  request.mutable_pull()->set_shard_id(shard.value());
  request.mutable_pull()->set_operation_id(operation.value());
  request.mutable_pull()->set_at(at.value());
  caller_->ToLeader(
      group, std::move(request), kLongCallTimeout,
      [done = std::move(done)](absl::StatusOr<wire::StoreResponse> answer) {
        if (!answer.ok()) return done(answer.status());
        done(shardctrler::PullAnswer{Timestamp(answer->pull().copied()), answer->pull().bytes()});
      });
}

void RemotePort::CreateAll(GroupId group, const std::vector<shardctrler::Replica>& replicas,
                           const std::vector<shardctrler::Replica>& voters, AllDone done) {
  auto gathering = std::make_shared<Gathering>();
  gathering->waits = replicas.size();
  if (replicas.empty()) return done(StoreId());
  for (const shardctrler::Replica& r : replicas) {
    wire::StoreRequest request;
    auto* create = request.mutable_create_replica();
    create->set_group_id(group.value());
    create->set_replica_id(r.id.value());
    for (const shardctrler::Replica& voter : voters) Fill(voter, create->add_voters());
    caller_->ToStore(
        r.store, std::move(request), kCallTimeout,
        [gathering, store = r.store, done](absl::StatusOr<wire::StoreResponse> answer) {
          if (!answer.ok()) {
            gathering->failed = absl::Status(
                answer.status().code(),
                absl::StrCat("store ", store.value(), ": ", answer.status().message()));
          } else if (answer->create_replica().leader_store_id() != 0) {
            gathering->leader = StoreId(answer->create_replica().leader_store_id());
          }
          if (--gathering->waits > 0) return;
          if (!gathering->failed.ok()) return done(gathering->failed);
          done(gathering->leader);
        });
  }
}

void RemotePort::CreateGroup(GroupId group, const std::vector<shardctrler::Replica>& replicas,
                             Done<StepOutcome> done) {
  CreateAll(
      group, replicas, replicas,
      [group, done = std::move(done)](const absl::StatusOr<StoreId>& leader) {
        if (!leader.ok()) return done(leader.status());
        if (*leader) return done(StepOutcome::kDone);
        done(absl::UnavailableError(absl::StrCat("group ", group.value(), " has no leader yet")));
      });
}

// Who can't be reached is told by its next report that its replica belongs nowhere.
void RemotePort::RemoveGroup(GroupId group, const std::vector<shardctrler::Replica>& replicas,
                             Done<StepOutcome> done) {
  auto waits = std::make_shared<size_t>(replicas.size());
  if (replicas.empty()) return done(StepOutcome::kAborted);
  for (const shardctrler::Replica& r : replicas) {
    wire::StoreRequest request;
    request.mutable_remove_replica()->set_group_id(group.value());
    request.mutable_remove_replica()->set_replica_id(r.id.value());
    caller_->ToStore(r.store, std::move(request), kCallTimeout, [waits, done](const auto&) {
      if (--*waits == 0) done(StepOutcome::kAborted);
    });
  }
}

void RemotePort::Change(OperationId operation, GroupId group,
                        const std::vector<shardctrler::Replica>& added,
                        const std::vector<ReplicaId>& removed, bool abandon,
                        Done<StepOutcome> done) {
  wire::StoreRequest request;
  auto* change = request.mutable_change_replicas();
  change->set_group_id(group.value());
  change->set_operation_id(operation.value());
  for (const shardctrler::Replica& r : added) Fill(r, change->add_added());
  for (ReplicaId r : removed) change->add_removed(r.value());
  change->set_abandon(abandon);
  caller_->ToLeader(
      group, std::move(request), kLongCallTimeout,
      [done = std::move(done)](absl::StatusOr<wire::StoreResponse> answer) {
        if (!answer.ok()) return done(answer.status());
        done(answer->change_replicas().done() ? StepOutcome::kDone : StepOutcome::kAborted);
      });
}

void RemotePort::ChangeReplicas(OperationId operation, GroupId group,
                                const std::vector<shardctrler::Replica>& added,
                                const std::vector<ReplicaId>& removed, Done<StepOutcome> done) {
  CreateAll(group, added, {},
            [=, this, done = std::move(done)](const absl::StatusOr<StoreId>& created) {
              if (!created.ok()) return done(created.status());
              Change(operation, group, added, removed, /*abandon=*/false, done);
            });
}

void RemotePort::AbandonChange(OperationId operation, GroupId group,
                               const std::vector<shardctrler::Replica>& added,
                               const std::vector<ReplicaId>& removed, Done<StepOutcome> done) {
  Change(operation, group, added, removed, /*abandon=*/true, std::move(done));
}

}  // namespace kvd::node
