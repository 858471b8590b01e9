#include "server/service/cluster_service.h"

#include "absl/strings/str_cat.h"
#include "proto/error.h"
#include "server/service/cluster_forward.h"
#include "server/service/unary.h"

namespace kvd::service {

ClusterService::ClusterService(CqLoop* loop, raft::Host* host, Dispatcher* dispatcher,
                               Membership* membership, Admission* admission,
                               client::GrpcNetwork* network, Options options)
    : loop_(loop),
      host_(host),
      dispatcher_(dispatcher),
      group_(dispatcher->group()),
      membership_(membership),
      admission_(admission),
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
}

#undef KVD_UNARY

void ClusterService::FillGroup(v1::GroupStatus* out) const {
  const raft::Core& core = host_->core(group_->group());
  out->set_group_id(group_->group().value());
  out->set_replica_id(core.id().value());
  bool learner = core.configuration().IsLearner(core.id());
  out->set_role(core.IsLeader()                        ? v1::GroupStatus::LEADER
                : learner                              ? v1::GroupStatus::LEARNER
                : core.role() == raft::Role::kFollower ? v1::GroupStatus::FOLLOWER
                                                       : v1::GroupStatus::CANDIDATE);
  out->set_term(core.term().value());
  out->set_leader_replica_id(core.leader().value());
  out->set_leader_store_id(host_->LeaderStore(group_->group()).value());
  out->set_commit_index(core.commit_index().value());
  out->set_applied_index(core.applied_index().value());
  out->set_first_index(core.log().first_index().value());
  out->set_last_index(core.log().last_index().value());
  out->set_applied_timestamp(group_->meta().clock.value());
  out->set_safe_point(group_->meta().safe_point.value());
  out->set_joint(core.configuration().IsJoint());
  out->set_rebuilding(core.NeedsState());
  out->set_damage(options_.rebuilder->damage());
  for (const raft::Member& m : core.configuration().Members()) {
    auto* replica = out->add_replicas();
    replica->set_replica_id(m.replica.value());
    replica->set_store_id(m.store.value());
    auto store = group_->meta().stores.find(m.store);
    if (store != group_->meta().stores.end()) replica->set_address(store->second.address);
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
  for (const auto& [start, shard] : group_->meta().shards.shards())
    ToShard(group_->group(), shard, out->add_shards());
}

void ClusterService::Status(v1::StatusRequest*, const Answer<v1::StatusResponse>& answer) {
  v1::StatusResponse response;
  const Identity& identity = dispatcher_->identity();
  response.set_cluster_id(identity.cluster.value());
  response.set_store_id(identity.store.value());
  response.set_address(identity.address);
  response.set_version(options_.version);
  response.set_uptime_s(static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(loop_->Now() - started_).count()));
  response.set_data_bytes(options_.data_bytes());
  response.set_log_bytes(options_.log_bytes());
  options_.fill_disk(&response);
  FillGroup(response.add_groups());
  answer(absl::OkStatus(), &response);
}

void ClusterService::Members(v1::MembersRequest*, const Answer<v1::MembersResponse>& answer) {
  v1::MembersResponse response;
  response.set_cluster_id(dispatcher_->identity().cluster.value());
  for (const auto& [id, record] : group_->meta().stores) {
    auto* store = response.add_stores();
    store->set_store_id(id.value());
    store->set_address(record.address);
  }
  FillGroup(response.add_groups());
  answer(absl::OkStatus(), &response);
}

void ClusterService::Health(v1::HealthRequest*, const Answer<v1::HealthResponse>& answer) {
  v1::HealthResponse response;
  bool whole = !host_->core(group_->group()).NeedsState();
  response.set_serving(whole && host_->LeaderStore(group_->group()));
  if (!response.serving())
    response.set_reason(whole ? "no leader is known" : "the state is being rebuilt");
  answer(absl::OkStatus(), &response);
}

void ClusterService::Transfer(v1::TransferLeadershipRequest* request,
                              const Answer<v1::TransferLeadershipResponse>& answer) {
  if (Forwarded(request, answer, [](auto* stub, auto* context, const auto& r, auto* queue) {
        return stub->AsyncTransferLeadership(context, r, queue);
      })) {
    return;
  }
  const raft::Core& core = host_->core(group_->group());
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
    return answer(absl::InvalidArgumentError(absl::StrCat("store_id: store ", request->store_id(),
                                                          " holds no voter of the group")),
                  nullptr);
  }
  absl::Status status = host_->TransferLeadership(group_->group(), target);
  if (!status.ok()) return answer(status, nullptr);
  AwaitLeader(core.configuration().StoreOf(target), loop_->Now() + std::chrono::seconds(3), answer);
}

void ClusterService::AwaitLeader(StoreId wanted, MonotonicTime deadline,
                                 const Answer<v1::TransferLeadershipResponse>& answer) {
  if (stopped_) return answer(absl::UnavailableError("the store is stopping"), nullptr);
  if (host_->LeaderStore(group_->group()) == wanted) {
    v1::TransferLeadershipResponse response;
    response.set_store_id(wanted.value());
    return answer(absl::OkStatus(), &response);
  }
  if (loop_->Now() >= deadline) {
    return answer(absl::DeadlineExceededError(absl::StrCat(
                      "store ", wanted.value(), " did not take over; the old leader goes on")),
                  nullptr);
  }
  uint64_t id = next_await_++;
  Awaiting& awaiting = awaiting_[id];
  awaiting.answer = answer;
  awaiting.timer = loop_->After(milliseconds(20), [this, id, wanted, deadline] {
    auto node = awaiting_.extract(id);
    auto timer = std::make_shared<std::unique_ptr<Timer>>(std::move(node.mapped().timer));
    loop_->Post([timer] {});  // it is the one that calls
    AwaitLeader(wanted, deadline, node.mapped().answer);
  });
}

void ClusterService::Stop() {
  stopped_ = true;
  for (grpc::ClientContext* context : forwarded_) context->TryCancel();
  std::map<uint64_t, Awaiting> awaiting;
  awaiting.swap(awaiting_);
  for (auto& [id, item] : awaiting) {
    item.answer(absl::UnavailableError("the store is stopping"), nullptr);
  }
}

void ClusterService::AddStore(StoreId store, ReplicaId replaced, bool promote,
                              std::function<void(absl::Status)> done) {
  auto record = group_->meta().stores.find(store);
  if (record == group_->meta().stores.end()) {
    return done(absl::InvalidArgumentError(absl::StrCat("store_id: the cluster knows no store ",
                                                        store.value(),
                                                        "; start it with kvd --join first")));
  }
  const raft::Configuration& configuration = host_->core(group_->group()).configuration();
  if (!configuration.ReplicaOn(store)) {
    return done(absl::FailedPreconditionError(
        absl::StrCat("store ", store.value(),
                     " holds no replica; it must run with --join to become a learner")));
  }
  if (!promote) return done(absl::OkStatus());
  Promotion promotion;
  promotion.learner = configuration.ReplicaOn(store);
  if (replaced) promotion.replaced.push_back(replaced);
  membership_->Promote(promotion, std::move(done));
}

void ClusterService::Change(v1::ChangeMembershipRequest* request,
                            const Answer<v1::ChangeMembershipResponse>& answer) {
  if (Forwarded(request, answer, [](auto* stub, auto* context, const auto& r, auto* queue) {
        return stub->AsyncChangeMembership(context, r, queue);
      })) {
    return;
  }
  auto done = [this, answer](const absl::Status& status) {
    v1::ChangeMembershipResponse response;
    if (status.ok()) FillGroup(response.mutable_group());
    answer(status, &response);
  };
  const raft::Configuration& configuration = host_->core(group_->group()).configuration();
  StoreId store(request->store_id());
  switch (request->change()) {
    case v1::ChangeMembershipRequest::ADD:
    case v1::ChangeMembershipRequest::PROMOTE: return AddStore(store, ReplicaId(), true, done);
    case v1::ChangeMembershipRequest::ADD_LEARNER: return AddStore(store, ReplicaId(), false, done);
    case v1::ChangeMembershipRequest::REPLACE: {
      ReplicaId replaced = configuration.ReplicaOn(StoreId(request->replaced_store_id()));
      if (!replaced) {
        return done(absl::InvalidArgumentError(absl::StrCat(
            "replaced_store_id: store ", request->replaced_store_id(), " holds no replica")));
      }
      return AddStore(store, replaced, true, done);
    }
    case v1::ChangeMembershipRequest::REMOVE: {
      ReplicaId replica = configuration.ReplicaOn(store);
      if (!replica) {
        return done(absl::InvalidArgumentError(
            absl::StrCat("store_id: store ", store.value(), " holds no replica of the group")));
      }
      return membership_->Remove(replica, done);
    }
    default:
      return done(absl::InvalidArgumentError(
          absl::StrCat("change: ", static_cast<int>(request->change()), " is not known")));
  }
}

// Asked again and again by a joining store until it sees itself in the configuration, so that a
// change of leader in between loses nothing.
void ClusterService::Join(v1::JoinRequest* request, const Answer<v1::JoinResponse>& answer) {
  if (Forwarded(request, answer, [](auto* stub, auto* context, const auto& r, auto* queue) {
        return stub->AsyncJoin(context, r, queue);
      })) {
    return;
  }
  Applicant applicant{request->address(), ClusterId(request->cluster_id()), request->join_nonce(),
                      StoreId(request->lost_store_id())};
  admission_->Join(applicant, [this, answer](absl::StatusOr<raft::Member> member) {
    if (!member.ok()) return answer(member.status(), nullptr);
    v1::JoinResponse response;
    response.set_cluster_id(dispatcher_->identity().cluster.value());
    response.set_store_id(member->store.value());
    response.set_replica_id(member->replica.value());
    for (const auto& [id, record] : group_->meta().stores) {
      auto* store = response.add_stores();
      store->set_store_id(id.value());
      store->set_address(record.address);
    }
    answer(absl::OkStatus(), &response);
  });
}

}  // namespace kvd::service
