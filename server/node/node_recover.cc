// What a store does after a majority was lost for good: it brings a group back from the replica
// here, tells the controller who the members of its groups are, and learns that it was removed.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/error.h"
#include "server/node/node.h"
#include "shardctrler/command.h"

namespace kvd::node {
namespace {

// A controller that was lost gave out versions of the map at its own time; those that this one
// gives out are to be later, whatever the two clocks differ by.
constexpr uint64_t kClockMargin = 60'000;  // ms
constexpr Duration kStandingInterval = milliseconds(1000);
constexpr size_t kStandingAsked = 16;  // at a time
constexpr int kMembersToldMax = 100;

bool Names(const google::protobuf::RepeatedField<uint64_t>& stores, StoreId store) {
  return std::find(stores.begin(), stores.end(), store.value()) != stores.end();
}

// The controller's next entry: what it makes of having lost some.
std::string RecoverCommand(const v1::RecoverGroupRequest& request, uint64_t wall_millis) {
  shardctrler::Command command;
  command.kind = shardctrler::CommandKind::kRecover;
  for (uint64_t store : request.gone_stores()) command.stores.emplace_back(store);
  shard::Command logged;
  logged.kind = shard::CommandKind::kMachine;
  logged.payload = Encode(command);
  logged.timestamp = TimestampFromMillis(wall_millis + kClockMargin);
  return Encode(logged);
}

}  // namespace

bool Node::IsGone(StoreId store) const {
  auto known = routing_.stores().find(store);
  return known != routing_.stores().end() && known->second.gone;
}

// Everybody who has a say in the group is accounted for: gone, and then removed, so that it can't
// come back; or there, and then it hears that it was put out.
absl::Status Node::CheckGone(const v1::RecoverGroupRequest& request) const {
  GroupId group(request.group_id());
  for (const raft::Member& m : host_->core(group).configuration().Members()) {
    bool gone = Names(request.gone_stores(), m.store);
    if (m.store == options_.store) {
      if (!gone) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("gone_stores: store ", m.store.value(), " is the one that is asked"));
    }
    if (!gone && !Names(request.other_stores(), m.store)) {
      return absl::FailedPreconditionError(
          absl::StrCat("store ", m.store.value(), " has a replica of group ", group.value(),
                       ": it was named neither as gone nor as there"));
    }
    if (!gone || group == shardctrler::kControllerGroup || IsGone(m.store)) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "store ", m.store.value(), " is not removed from the cluster: first kvctl store remove ",
        m.store.value(), " --lost"));
  }
  return absl::OkStatus();
}

absl::Status Node::MayRecover(const v1::RecoverGroupRequest& request) const {
  GroupId group(request.group_id());
  if (ClusterId(request.cluster_id()) != options_.cluster)
    return WrongClusterError(options_.cluster, ClusterId(request.cluster_id()));
  if (StoreId(request.store_id()) != options_.store) {
    return absl::FailedPreconditionError(absl::StrCat(
        "store ", options_.store.value(), " is at this address, not store ", request.store_id()));
  }
  if (groups_->Find(group) == nullptr) {
    bool known = routing_.groups().contains(group);
    return absl::NotFoundError(known ? absl::StrCat("store ", options_.store.value(),
                                                    " has no replica of group ", group.value())
                                     : absl::StrCat("there is no group ", group.value()));
  }
  absl::Status may = host_->MayStandAlone(group);
  return may.ok() ? CheckGone(request) : may;
}

void Node::Recover(const v1::RecoverGroupRequest& request, std::function<void(absl::Status)> done) {
  absl::Status may = MayRecover(request);
  if (!may.ok()) return done(may);
  GroupId group(request.group_id());
  raft::Host::AloneRequest alone;
  alone.replica = ReplicaId(request.replica_id());
  alone.last_index = Index(request.last_index());
  alone.last_term = Term(request.last_term());
  if (group == shardctrler::kControllerGroup)
    alone.commands.push_back(RecoverCommand(request, loop_->WallMillis()));
  host_->StandAlone(group, alone, std::move(done));
}

// Ordinarily the map says the same soon, once an operation is done: the controller knows.
void Node::FillMembers(wire::ReportRequest* report) const {
  for (const auto& [id, local] : groups_->all()) {
    auto known = routing_.groups().find(id);
    if (known == routing_.groups().end() || !local.group->ready()) continue;
    const raft::Core& core = host_->core(id);
    const raft::Configuration& now = core.configuration();
    if (now.IsJoint() || core.configuration_index() > core.commit_index()) continue;
    wire::ReportRequest::Members told;
    bool differs = false;
    for (const client::Routing::Member& m : known->second) {
      if (now.IsExpelled(m.replica)) told.add_expelled(m.replica.value());
    }
    for (const raft::Member& m : now.voters) {
      auto* voter = told.add_voters();
      voter->set_replica_id(m.replica.value());
      voter->set_store_id(m.store.value());
      differs = differs || std::none_of(known->second.begin(), known->second.end(),
                                        [&](const auto& k) { return k.replica == m.replica; });
    }
    if (!differs && told.expelled().empty()) continue;
    told.set_group_id(id.value());
    *report->add_members() = std::move(told);
    if (report->members_size() == kMembersToldMax) return;
  }
}

// At once when it starts, before its replicas may vote: one that was removed while it was down must
// not find another one such and go on with it.
void Node::AskStanding() {
  next_standing_ = loop_->Now() + kStandingInterval;
  const auto& stores = routing_.stores();
  auto next = stores.upper_bound(standing_after_);
  size_t asked = 0;
  for (size_t i = 0; i < stores.size() && asked < kStandingAsked; ++i, ++next) {
    if (next == stores.end()) next = stores.begin();
    standing_after_ = next->first;
    if (next->first == options_.store || next->second.gone) continue;
    ++asked;
    wire::StoreRequest request;
    request.mutable_standing()->set_store_id(options_.store.value());
    caller_->ToStore(next->first, std::move(request), kStandingInterval,
                     [this](const absl::StatusOr<wire::StoreResponse>& answer) {
                       if (absl::IsFailedPrecondition(answer.status()) &&
                           InfoOf(answer.status()).kind == ErrorKind::kNone) {
                         NoteRemoved();
                       }
                     });
  }
}

void Node::NoteRemoved() {
  if (removed_) return;
  removed_ = true;
  if (on_removed) on_removed();
}

}  // namespace kvd::node
