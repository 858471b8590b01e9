// What stores report to the controller's leader, and what they are told.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/fault_point.h"
#include "server/node/controller_role.h"
#include "server/node/load_report.h"
#include "server/node/routing_answer.h"

namespace kvd::node {

namespace wire = internal::v1;
using shardctrler::Command;

absl::Status RemovedError(StoreId id) {
  return absl::FailedPreconditionError(
      absl::StrCat("store ", id.value(),
                   " was removed from the cluster; empty its data directory to join as a new one"));
}

shardctrler::View ControllerRole::ViewNow() const {
  shardctrler::View view;
  // Who was silent for less is as well as can be: nobody decides by it.
  constexpr Duration kSaysNothing = std::chrono::seconds(1);
  for (const auto& [id, store] : state().stores()) {
    Duration silence = SilenceOf(id);
    if (silence >= kSaysNothing) view.silence.emplace_hint(view.silence.end(), id, silence);
  }
  view.load = &load_;
  view.dwelling = &dwelling_;
  view.merges_from = planner_.merges_from();
  return view;
}

void ControllerRole::NoteSilent() {
  constexpr Duration kForgotten = std::chrono::seconds(10);
  for (const auto& [id, store] : state().stores()) {
    if (store.state == shardctrler::StoreState::kGone || SilenceOf(id) > kForgotten)
      load_.Forget(id);
  }
}

void ControllerRole::SpreadLeaders(const shardctrler::View& view) {
  constexpr size_t kAtOnce = 16;
  auto now = loop_->Now();
  std::erase_if(handovers_, [now](const auto& item) { return item.second.until <= now; });
  for (const shardctrler::Transfer& transfer :
       shardctrler::SpreadLeaders(state(), view, kAtOnce + handovers_.size())) {
    handovers_.emplace(transfer.group, Handover{transfer, now + options_.transfer_pause});
  }
}

// Counts as done as soon as it is asked for: if it is not, the next report says so.
void ControllerRole::Transfers(StoreId from, wire::ReportResponse* out) {
  for (auto& [group, handover] : handovers_) {
    if (handover.transfer.from != from || handover.told) continue;
    handover.told = true;
    if (load_.LeaderOf(group) != from) continue;
    load_.NoteTransfer(group, handover.transfer.to);
    auto* transfer = out->add_transfers();
    transfer->set_group_id(group.value());
    transfer->set_store_id(handover.transfer.to.value());
  }
}

// Whether the replica belongs to the group or is about to, or no longer quite.
bool ControllerRole::IsWanted(GroupId group, ReplicaId replica) const {
  const shardctrler::Group* known = state().FindGroup(group);
  if (known == nullptr) return false;
  auto is_it = [replica](const shardctrler::Replica& r) { return r.id == replica; };
  if (std::any_of(known->replicas.begin(), known->replicas.end(), is_it)) return true;
  const shardctrler::Operation* open = state().FindOperation(known->operation);
  if (open == nullptr) return false;
  return std::any_of(open->added.begin(), open->added.end(), is_it) ||
         std::find(open->removed.begin(), open->removed.end(), replica) != open->removed.end();
}

// A deposed leader may not know of the newest replicas, but it knows that it does not.
void ControllerRole::FindOrphans(StoreId store, wire::ReportResponse* out) {
  Heard& heard = heard_[store];
  if (heard.checked == machine_->changes().upto()) return;
  for (const auto& held : heard.held) {
    ReplicaId replica(held.replica_id());
    // A controller that was lost may have begun it.
    bool known = replica < state().ids().next_replica && !state().ids().MayBeLost(replica);
    if (known && !IsWanted(GroupId(held.group_id()), replica)) *out->add_orphans() = held;
  }
  // While there are some, it may miss what it is told.
  if (out->orphans().empty()) heard.checked = machine_->changes().upto();
}

// Where the record can only have become wrong by a loss (Machine::AdoptMembers).
void ControllerRole::AdoptMembers(const wire::ReportRequest::Members& told) {
  Command command;
  command.kind = shardctrler::CommandKind::kAdoptMembers;
  shardctrler::Operation& members = command.operation;
  members.kind = shardctrler::OperationKind::kChangeReplicas;
  members.group = GroupId(told.group_id());
  const shardctrler::Group* known = state().FindGroup(members.group);
  if (known == nullptr) return;
  bool lost = false;
  for (const auto& r : told.voters()) {
    shardctrler::Replica voter{ReplicaId(r.replica_id()), StoreId(r.store_id())};
    bool there =
        std::find(known->replicas.begin(), known->replicas.end(), voter) != known->replicas.end();
    lost = lost || (!there && state().ids().MayBeLost(voter.id));
    members.added.push_back(voter);
  }
  for (const shardctrler::Replica& r : known->replicas) {
    bool out = std::find(told.expelled().begin(), told.expelled().end(), r.id.value()) !=
               told.expelled().end();
    if (out) members.removed.push_back(r.id);
  }
  if (!lost && members.removed.empty()) return;
  if (!adopting_.insert(members.group).second) return;
  Propose(command, [this, alive = std::weak_ptr<bool>(alive_), group = members.group](const auto&) {
    if (!alive.expired()) adopting_.erase(group);
  });
}

absl::StatusOr<wire::ReportResponse> ControllerRole::Report(const wire::ReportRequest& report) {
  NoteRole();
  wire::ReportResponse out;
  StoreId id(report.store_id());
  const shardctrler::Store* store = state().FindStore(id);
  // One that joined by entries that were lost is known to nobody, and was not removed.
  if (store == nullptr)
    return absl::NotFoundError(
        absl::StrCat("store ", id.value(), " is not known to the controller"));
  if (store->state == shardctrler::StoreState::kGone) return RemovedError(id);
  Heard& heard = heard_[id];
  heard.at = loop_->Now();
  if (report.whole()) {
    heard.held.assign(report.held().begin(), report.held().end());
    heard.checked = Timestamp();
    UpdateStore(report);
  }
  for (const auto& told : report.members()) AdoptMembers(told);
  FindOrphans(id, &out);
  TakeLoad(report, &load_);
  Transfers(id, &out);
  auto* told = out.mutable_limits();
  told->set_split_bytes(limits_.bytes);
  told->set_split_load(limits_.load);
  told->set_migration_rate(state().settings()[shardctrler::Setting::kMigrationRate] << 20);
  KVD_FAULT_POINT(kReportTaken);
  *out.mutable_routing() = AnswerRouting(*machine_, report.routing());
  out.set_leader_term(term_.value());
  return out;
}

}  // namespace kvd::node
