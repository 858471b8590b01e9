// What a store does when it is asked by the controller or by another store.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "proto/fault_point.h"
#include "server/node/node.h"
#include "server/node/routing_answer.h"
#include "server/shard/shard_codec.h"

namespace kvd::node {
namespace {

constexpr Duration kChangePatience = milliseconds(5000);
constexpr size_t kFetchBytesMax = 1 << 20;

}  // namespace

void Node::Handle(wire::StoreRequest request, StoreDone done) {
  if (importer_ == nullptr) return done(absl::UnavailableError("the store is stopping"));
  ClusterId cluster(request.cluster_id());
  if (cluster && cluster != options_.cluster)
    return done(WrongClusterError(options_.cluster, cluster));
  StoreId store(request.store_id());
  if (store && store != options_.store) {
    return done(absl::UnavailableError(absl::StrCat(
        "store ", options_.store.value(), " is at this address, not store ", store.value())));
  }
  switch (request.request_case()) {
    case wire::StoreRequest::kShardStep: return ShardStep(request.shard_step(), done);
    case wire::StoreRequest::kPull: return Pull(request.pull(), done);
    case wire::StoreRequest::kFetch: return Fetch(request.fetch(), done);
    case wire::StoreRequest::kCreateReplica: return CreateReplica(request.create_replica(), done);
    case wire::StoreRequest::kRemoveReplica: return RemoveReplica(request.remove_replica(), done);
    case wire::StoreRequest::kChangeReplicas:
      return ChangeReplicas(request.change_replicas(), done);
    case wire::StoreRequest::kReport: return TakeReport(request.report(), done);
    case wire::StoreRequest::kJoin: return Join(request.join(), done);
    case wire::StoreRequest::kStanding: {
      StoreId asker(request.standing().store_id());
      if (IsGone(asker)) return done(RemovedError(asker));
      wire::StoreResponse response;
      response.mutable_standing();
      return done(std::move(response));
    }
    default: break;
  }
  if (ControllerDesk::Takes(request)) return AskDesk(request, done);
  done(absl::InvalidArgumentError("request: holds none"));
}

absl::Status Node::NotLeader(GroupId group) {
  StoreId leader = host_->LeaderStore(group);
  if (!leader) leader = routing_.LeaderOf(group);
  if (leader == options_.store) leader = StoreId();
  return NotLeaderError(group, leader, leader ? routing_.AddressOf(leader) : "");
}

absl::StatusOr<LocalGroup*> Node::Leading(uint64_t group_id) {
  GroupId group(group_id);
  LocalGroup* local = groups_->Find(group);
  if (local == nullptr || !local->group->leads()) return NotLeader(group);
  return local;
}

void Node::ShardStep(const wire::ShardStepRequest& request, const StoreDone& done) {
  auto local = Leading(request.group_id());
  if (!local.ok()) return done(local.status());
  shard::Command command;
  command.kind = shard::CommandKind::kShard;
  Reader reader(request.step());
  if (!shard::DecodeStep(reader, &command.step) || !reader.Done())
    return done(absl::InvalidArgumentError("step: malformed"));
  // Rows come from the other group, by what is asked for here.
  if (command.step.kind == StepKind::kImport)
    return done(absl::InvalidArgumentError("step: an import is not asked for by others"));
  // What came along was written at the other group's times: nothing here may be earlier from now
  // on.
  if (command.step.kind == StepKind::kCompleteImport) {
    KVD_FAULT_POINT(kBeforeComplete);
    command.timestamp = command.step.at + 1;
  }
  (*local)->group->Submit(std::move(command), [done](absl::StatusOr<shard::CommandResult> result) {
    if (!result.ok()) return done(result.status());
    wire::StoreResponse response;
    response.mutable_shard_step()->set_answer(std::move(result->answer));
    done(std::move(response));
  });
}

void Node::Pull(const wire::PullRequest& request, const StoreDone& done) {
  auto local = Leading(request.group_id());
  if (!local.ok()) return done(local.status());
  importer_->Pull((*local)->group.get(), ShardId(request.shard_id()),
                  OperationId(request.operation_id()), Timestamp(request.at()),
                  [done](absl::StatusOr<Importer::Pulled> pulled) {
                    if (!pulled.ok()) return done(pulled.status());
                    wire::StoreResponse response;
                    response.mutable_pull()->set_copied(pulled->copied.value());
                    response.mutable_pull()->set_bytes(pulled->bytes);
                    done(std::move(response));
                  });
}

void Node::Fetch(const wire::FetchRequest& request, const StoreDone& done) {
  GroupId group(request.group_id());
  LocalGroup* local = groups_->Find(group);
  if (local == nullptr) return done(NotLeader(group));
  shard::ExportRequest wanted;
  wanted.shard = ShardId(request.shard_id());
  wanted.operation = OperationId(request.operation_id());
  wanted.after = Timestamp(request.after());
  wanted.upto = Timestamp(request.upto());
  wanted.key = request.key();
  wanted.key_after = Timestamp(request.key_after());
  wanted.bytes_max = std::min<size_t>(request.bytes_max(), kFetchBytesMax);
  auto rows = local->group->Export(wanted);
  if (!rows.ok()) {
    // One that lags sends to the leader.
    bool lags = absl::IsUnavailable(rows.status()) && !local->group->leads();
    return done(lags ? NotLeader(group) : rows.status());
  }
  wire::StoreResponse response;
  auto* fetched = response.mutable_fetch();
  fetched->set_upto(rows->upto.value());
  fetched->set_crc32c(Crc32c(rows->rows));
  fetched->set_rows(std::move(rows->rows));
  fetched->set_key_after(rows->key_after.value());
  fetched->set_next_key(std::move(rows->next_key));
  fetched->set_next_after(rows->next_after.value());
  KVD_FAULT_POINT(kRowsAnswered);
  done(std::move(response));
}

void Node::CreateReplica(const wire::CreateReplicaRequest& request, const StoreDone& done) {
  GroupId group(request.group_id());
  ReplicaId replica(request.replica_id());
  if (!group || group.value() > kGroupIdMax || !replica)
    return done(
        absl::InvalidArgumentError("create_replica: group_id or replica_id is out of range"));
  raft::Configuration voters;
  for (const auto& r : request.voters())
    voters.voters.push_back({ReplicaId(r.replica_id()), StoreId(r.store_id())});
  std::sort(voters.voters.begin(), voters.voters.end());
  groups_->Create(group, replica, voters, [this, group, done](const absl::Status& status) {
    if (!status.ok()) return done(status);
    wire::StoreResponse response;
    response.mutable_create_replica()->set_leader_store_id(host_->LeaderStore(group).value());
    done(std::move(response));
  });
}

void Node::RemoveReplica(const wire::RemoveReplicaRequest& request, const StoreDone& done) {
  if (request.group_id() == 0 || request.group_id() > kGroupIdMax || request.replica_id() == 0) {
    return done(
        absl::InvalidArgumentError("remove_replica: group_id or replica_id is out of range"));
  }
  groups_->Remove(GroupId(request.group_id()), ReplicaId(request.replica_id()),
                  [done](const absl::Status& status) {
                    if (!status.ok()) return done(status);
                    wire::StoreResponse response;
                    response.mutable_remove_replica();
                    done(std::move(response));
                  });
}

void Node::ChangeReplicas(const wire::ChangeReplicasRequest& request, const StoreDone& done) {
  auto local = Leading(request.group_id());
  if (!local.ok()) return done(local.status());
  ReplicaChange::Change change;
  change.operation = OperationId(request.operation_id());
  for (const auto& r : request.added())
    change.added.push_back({ReplicaId(r.replica_id()), StoreId(r.store_id())});
  for (uint64_t r : request.removed()) change.removed.emplace_back(r);
  change.abandon = request.abandon();
  (*local)->change->Run(change, kChangePatience, [done](const absl::StatusOr<bool>& carried_out) {
    if (!carried_out.ok()) return done(carried_out.status());
    wire::StoreResponse response;
    response.mutable_change_replicas()->set_done(*carried_out);
    done(std::move(response));
  });
}

void Node::TakeReport(const wire::ReportRequest& request, const StoreDone& done) {
  // Whoever leads: a store that was removed may ask anybody.
  StoreId sender(request.store_id());
  if (IsGone(sender)) return done(RemovedError(sender));
  auto local = Leading(shardctrler::kControllerGroup.value());
  if (!local.ok()) return done(local.status());
  if (controller_ == nullptr || !controller_->ready())
    return done(absl::UnavailableError("the controller's new leader is not ready yet"));
  auto report = controller_->Report(request);
  if (!report.ok()) return done(report.status());
  wire::StoreResponse response;
  *response.mutable_report() = *std::move(report);
  done(std::move(response));
}

void Node::AskDesk(const wire::StoreRequest& request, const StoreDone& done) {
  auto local = Leading(shardctrler::kControllerGroup.value());
  if (!local.ok()) return done(local.status());
  if (desk_ == nullptr || !controller_->ready())
    return done(absl::UnavailableError("the controller's new leader is not ready yet"));
  desk_->Handle(request, done);
}

void Node::Join(const wire::JoinStoreRequest& request, const StoreDone& done) {
  auto local = Leading(shardctrler::kControllerGroup.value());
  if (!local.ok()) return done(local.status());
  shardctrler::JoiningStore joining;
  joining.address = request.address();
  joining.nonce = request.join_nonce();
  joining.cores = std::max<uint32_t>(request.cores(), 1);
  for (const auto& [name, value] : request.labels()) joining.labels[name] = value;
  joining.lost = StoreId(request.lost_store_id());
  controller_->Join(joining, [this, done](const absl::StatusOr<StoreId>& id) {
    if (!id.ok()) return done(id.status());
    KVD_FAULT_POINT(kStoreLetIn);
    LocalGroup* local = groups_->Find(shardctrler::kControllerGroup);
    if (local == nullptr) return done(NotLeader(shardctrler::kControllerGroup));
    wire::StoreResponse response;
    auto* join = response.mutable_join();
    join->set_cluster_id(options_.cluster.value());
    join->set_store_id(id->value());
    *join->mutable_routing() = AnswerRouting(*local->machine, {});
    done(std::move(response));
  });
}

}  // namespace kvd::node
