#include "server/service/cluster_service.h"

#include "absl/strings/str_cat.h"
#include "proto/error.h"
#include "server/service/cluster_forward.h"
#include "server/service/unary.h"

namespace kvd::service {

ClusterService::ClusterService(CqLoop* loop, raft::Host* host, node::Node* node,
                               client::GrpcNetwork* network, Options options)
    : loop_(loop),
      host_(host),
      node_(node),
      network_(network),
      options_(std::move(options)),
      started_(loop->Now()) {}

#define KVD_UNARY(Method, In, Out, handler)                                         \
  Serve<v1::In, v1::Out>(                                                           \
      4, &stopped_,                                                                 \
      [this](auto* context, auto* request, auto* responder, void* tag) {            \
        service_.Request##Method(context, request, responder, queue_, queue_, tag); \
      },                                                                            \
      [this](v1::In* request, auto answer) { handler(request, std::move(answer)); })

void ClusterService::Start(grpc::ServerCompletionQueue* queue) {
  queue_ = queue;
  KVD_UNARY(Status, StatusRequest, StatusResponse, Status);
  KVD_UNARY(Members, MembersRequest, MembersResponse, Members);
  KVD_UNARY(Health, HealthRequest, HealthResponse, Health);
  KVD_UNARY(TransferLeadership, TransferLeadershipRequest, TransferLeadershipResponse, Transfer);
  KVD_UNARY(ChangeMembership, ChangeMembershipRequest, ChangeMembershipResponse, Change);
  KVD_UNARY(Join, JoinRequest, JoinResponse, Join);
  KVD_UNARY(StartVerification, StartVerificationRequest, StartVerificationResponse,
            StartVerification);
  KVD_UNARY(GetVerification, GetVerificationRequest, GetVerificationResponse, GetVerification);
  KVD_UNARY(RecoverGroup, RecoverGroupRequest, RecoverGroupResponse, Recover);
}

#undef KVD_UNARY

GroupId ClusterService::GroupOf(uint64_t group_id) const {
  if (group_id != 0) return GroupId(group_id);
  const client::Routing::Shard* first = node_->routing().Find("");
  return first == nullptr ? GroupId() : first->group;
}

void ClusterService::FillGroup(GroupId group, v1::GroupStatus* out) const {
  const node::LocalGroup* local = node_->groups().Find(group);
  out->set_group_id(group.value());
  if (local == nullptr) return;
  const raft::Core& core = host_->core(group);
  const shard::GroupMeta& meta = local->group->meta();
  out->set_replica_id(core.id().value());
  bool learner = core.configuration().IsLearner(core.id());
  out->set_role(core.IsLeader()                        ? v1::GroupStatus::LEADER
                : learner                              ? v1::GroupStatus::LEARNER
                : core.role() == raft::Role::kFollower ? v1::GroupStatus::FOLLOWER
                                                       : v1::GroupStatus::CANDIDATE);
  out->set_term(core.term().value());
  out->set_leader_replica_id(core.leader().value());
  out->set_leader_store_id(host_->LeaderStore(group).value());
  out->set_commit_index(core.commit_index().value());
  out->set_applied_index(core.applied_index().value());
  out->set_first_index(core.log().first_index().value());
  out->set_last_index(core.log().last_index().value());
  out->set_applied_timestamp(meta.clock.value());
  out->set_safe_point(meta.floor.value());
  out->set_joint(core.configuration().IsJoint());
  out->set_rebuilding(core.NeedsState());
  out->set_damage(options_.rebuilder->damage());
  out->set_last_term(core.log().last_term().value());
  out->set_recovery_refusal(std::string(MayRecover(group).message()));
  for (const raft::Member& m : core.configuration().Members()) {
    auto* replica = out->add_replicas();
    replica->set_replica_id(m.replica.value());
    replica->set_store_id(m.store.value());
    replica->set_address(node_->routing().AddressOf(m.store));
    replica->set_voter(core.configuration().IsVoter(m.replica));
    if (!core.IsLeader()) continue;
    auto it = core.progress().find(m.replica);
    if (it == core.progress().end()) {
      replica->set_match_index(core.log().stable().value());
      continue;
    }
    replica->set_match_index(it->second.match().value());
    auto silent =
        std::min<Duration>(loop_->Now() - it->second.last_contact, std::chrono::hours(24));
    replica->set_last_contact_ms(
        static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(silent).count()));
    replica->set_progress(raft::ToString(it->second.state()));
  }
  for (const auto& [start, shard] : meta.shards.shards()) ToShard(group, shard, out->add_shards());
}

// Those that have data first.
void ClusterService::FillGroups(google::protobuf::RepeatedPtrField<v1::GroupStatus>* out) const {
  for (const auto& [group, local] : node_->groups().all()) {
    if (group != shardctrler::kControllerGroup) FillGroup(group, out->Add());
  }
  if (node_->groups().Find(shardctrler::kControllerGroup) != nullptr)
    FillGroup(shardctrler::kControllerGroup, out->Add());
}

void ClusterService::Status(v1::StatusRequest*, const Answer<v1::StatusResponse>& answer) {
  v1::StatusResponse response;
  const node::NodeOptions& self = node_->options();
  response.set_cluster_id(self.cluster.value());
  response.set_store_id(self.store.value());
  response.set_address(self.address);
  response.set_version(options_.version);
  response.set_uptime_s(static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(loop_->Now() - started_).count()));
  response.set_data_bytes(options_.data_bytes());
  response.set_log_bytes(options_.log_bytes());
  options_.fill_disk(&response);
  for (const auto& [id, store] : node_->routing().stores()) {
    if (store.gone) response.add_removed_stores(id.value());
  }
  FillGroups(response.mutable_groups());
  answer(absl::OkStatus(), &response);
}

void ClusterService::Members(v1::MembersRequest*, const Answer<v1::MembersResponse>& answer) {
  v1::MembersResponse response;
  response.set_cluster_id(node_->options().cluster.value());
  for (const auto& [id, known] : node_->routing().stores()) {
    if (known.gone) continue;
    auto* store = response.add_stores();
    store->set_store_id(id.value());
    store->set_address(known.address);
  }
  FillGroups(response.mutable_groups());
  answer(absl::OkStatus(), &response);
}

void ClusterService::Health(v1::HealthRequest*, const Answer<v1::HealthResponse>& answer) {
  v1::HealthResponse response;
  std::string reason;
  if (node_->routing().shards().empty()) reason = "who owns which keys is not known yet";
  for (GroupId group : host_->groups()) {
    if (host_->core(group).NeedsState()) {
      reason = absl::StrCat("the state of group ", group.value(), " is being rebuilt");
    } else if (!host_->LeaderStore(group)) {
      reason = absl::StrCat("no leader of group ", group.value(), " is known");
    }
  }
  if (node_->removed()) reason = "the store was removed from the cluster";
  response.set_serving(reason.empty());
  response.set_reason(reason);
  answer(absl::OkStatus(), &response);
}

void ClusterService::Transfer(v1::TransferLeadershipRequest* request,
                              const Answer<v1::TransferLeadershipResponse>& answer) {
  GroupId group = GroupOf(request->group_id());
  if (Forwarded(group, request, answer, [](auto* stub, auto* context, const auto& r, auto* queue) {
        return stub->AsyncTransferLeadership(context, r, queue);
      })) {
    return;
  }
  const raft::Core& core = host_->core(group);
  ReplicaId target = core.configuration().ReplicaOn(StoreId(request->store_id()));
  if (request->store_id() == 0) {
    Index best;
    for (const auto& [peer, progress] : core.progress()) {
      if (!core.configuration().IsVoter(peer) || progress.match() < best) continue;
      target = peer;
      best = progress.match();
    }
  }
  if (!target) {
    return answer(
        absl::InvalidArgumentError(absl::StrCat("store_id: store ", request->store_id(),
                                                " holds no voter of group ", group.value())),
        nullptr);
  }
  absl::Status status = host_->TransferLeadership(group, target);
  if (!status.ok()) return answer(status, nullptr);
  AwaitLeader(group, core.configuration().StoreOf(target), loop_->Now() + std::chrono::seconds(3),
              answer);
}

void ClusterService::AwaitLeader(GroupId group, StoreId wanted, MonotonicTime deadline,
                                 const Answer<v1::TransferLeadershipResponse>& answer) {
  if (host_->LeaderStore(group) == wanted) {
    v1::TransferLeadershipResponse response;
    response.set_store_id(wanted.value());
    return answer(absl::OkStatus(), &response);
  }
  if (loop_->Now() >= deadline) {
    return answer(absl::DeadlineExceededError(absl::StrCat(
                      "store ", wanted.value(), " did not take over; the old leader goes on")),
                  nullptr);
  }
  Later([=, this] { AwaitLeader(group, wanted, deadline, answer); },
        [answer] { answer(absl::UnavailableError("the store is stopping"), nullptr); });
}

void ClusterService::Later(std::function<void()> then, std::function<void()> stopped) {
  if (stopped_) return stopped();
  uint64_t id = next_waiting_++;
  Waiting& waiting = waiting_[id];
  waiting.stopped = std::move(stopped);
  waiting.timer = loop_->After(milliseconds(20), [this, id, then = std::move(then)] {
    auto node = waiting_.extract(id);
    // It is the one that calls.
    loop_->Post([timer = std::shared_ptr<Timer>(std::move(node.mapped().timer))] {});
    then();
  });
}

void ClusterService::Stop() {
  stopped_ = true;
  for (grpc::ClientContext* context : forwarded_) context->TryCancel();
  std::map<uint64_t, Waiting> waiting;
  waiting.swap(waiting_);
  for (auto& [id, item] : waiting) item.stopped();
}

// Asked again and again by a joining store until it has an answer.
void ClusterService::Join(v1::JoinRequest* request, const Answer<v1::JoinResponse>& answer) {
  ClusterId named(request->cluster_id());
  if (named && named != node_->options().cluster)
    return answer(WrongClusterError(node_->options().cluster, named), nullptr);
  internal::v1::StoreRequest wire;
  auto* join = wire.mutable_join();
  join->set_address(request->address());
  join->set_join_nonce(request->join_nonce());
  join->set_cores(request->cores());
  *join->mutable_labels() = request->labels();
  join->set_lost_store_id(request->lost_store_id());
  node_->caller().ToLeader(
      shardctrler::kControllerGroup, std::move(wire), milliseconds(2000),
      [answer](absl::StatusOr<internal::v1::StoreResponse> joined) {
        if (!joined.ok()) return answer(joined.status(), nullptr);
        v1::JoinResponse response;
        response.set_cluster_id(joined->join().cluster_id());
        response.set_store_id(joined->join().store_id());
        response.mutable_routing()->Swap(joined->mutable_join()->mutable_routing());
        answer(absl::OkStatus(), &response);
      });
}

}  // namespace kvd::service
