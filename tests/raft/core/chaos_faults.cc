// What is done to replicas, and what operators do meanwhile.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/raft/core/chaos.h"

namespace kvd::raft {

// What all logs begin behind must be left in some state.
bool Chaos::MayLoseState(ReplicaId id) const {
  for (const auto& [other, node] : nodes_) {
    if (other != id && node.durable < node.disk.start.index) return false;
    if (!node.disk.damaged.empty()) return false;
  }
  return nodes_.at(id).disk.start.index > Index();
}

void Chaos::Crash() {
  // Half of the time somebody who matters.
  ReplicaId id = random_.Chance(0.5) ? PickLeader() : Pick();
  if (!id || !nodes_.at(id).core) return;
  CrashNode(id);
  if (random_.Chance(0.4)) Start(id);  // at once
}

void Chaos::CrashNode(ReplicaId id) {
  Node& node = nodes_.at(id);
  ++report_.crashes;
  // Some of the writes under way had reached the disk.
  size_t survive = random_.Below(node.unwritten.size() + 1);
  for (size_t i = 0; i < survive; ++i) node.disk.Write(node.unwritten[i]);
  node.unwritten.clear();
  if (random_.Chance(0.5)) {
    node.durable = std::max(node.durable, node.applied);
    node.durable_configuration =
        node.core->ConfigurationAt(std::max(node.durable, node.core->log().start()));
  }
  node.core.reset();
  Note(absl::StrCat("crash ", id.value()));
}

// A replica's entry on disk can't be read any more; often that is found at once.
void Chaos::Damage() {
  ReplicaId id = Pick();
  Node& node = nodes_.at(id);
  if (!node.core || node.disk.entries.empty()) return;
  auto it = node.disk.entries.begin();
  std::advance(it, static_cast<int64_t>(random_.Below(node.disk.entries.size())));
  if (random_.Chance(0.3)) it = std::prev(node.disk.entries.end());
  if (node.disk.damaged.contains(it->first) || !MayDamage(id, it->first, it->second->term)) return;
  node.disk.damaged.insert(it->first);
  ++report_.damaged;
  Note(absl::StrCat("damage ", id.value(), " at ", it->first.value()));
  if (!random_.Chance(0.7)) return;
  CrashNode(id);
  Start(id);
}

// Of what may be committed some copy must be left, or the state with its effects.
bool Chaos::MayDamage(ReplicaId id, Index index, Term term) const {
  bool alone = true, left = false;
  const Configuration& c = nodes_.at(id).core->configuration();
  for (const auto& [other, node] : nodes_) {
    if (node.durable < node.disk.start.index) return false;
    if (other == id) continue;
    alone = alone && node.disk.damaged.empty();
    if (!c.IsVoter(other)) continue;
    left = left || node.disk.Gives(index, term) || node.disk.start.index >= index;
  }
  return left || (alone && c.voters.size() > 2);
}

void Chaos::Pause() {
  ReplicaId id = random_.Chance(0.3) ? PickLeader() : Pick();
  for (auto& [other, node] : nodes_) {
    if (node.paused && random_.Chance(0.7)) id = other;
  }
  if (!id) return;
  Node& node = nodes_.at(id);
  node.paused = !node.paused;
  Note(absl::StrCat(node.paused ? "pause " : "resume ", id.value()));
}

void Chaos::CutOrMend() {
  if (random_.Chance(0.4)) {
    cut_.clear();
    return Note("mend all");
  }
  ReplicaId a = random_.Chance(0.5) ? PickLeader() : Pick();
  if (!a) return;
  bool all = random_.Chance(0.5);
  ReplicaId one = Pick();
  for (auto& [b, node] : nodes_) {
    if (b == a || (!all && b != one)) continue;
    bool in = random_.Chance(0.8), out = random_.Chance(0.8);
    if (in) cut_.insert({b, a});
    if (out) cut_.insert({a, b});
    Note(absl::StrCat("cut ", a.value(), out ? " >" : "", in ? " <" : "", " ", b.value()));
  }
}

void Chaos::CompactOne() {
  Node& node = nodes_.at(Pick());
  if (!node.core || node.core->NeedsState() || node.core->NeedsRepair()) return;
  node.durable = std::max(node.durable, node.applied);
  Index target = std::min({node.durable, node.core->applied_index(), node.core->log().stable()});
  if (target <= node.core->log().start() || !node.core->log().TermAt(target)) return;
  node.durable_configuration = node.core->ConfigurationAt(node.durable);
  Configuration configuration = node.core->ConfigurationAt(target);
  node.core->Compact(target);
  node.disk.Compact(target);
  node.disk.start.configuration = std::move(configuration);
}

void Chaos::SendSnapshot() {
  if (snapshots_wanted_.empty()) return;
  auto [from, to] = *snapshots_wanted_.begin();
  snapshots_wanted_.erase(snapshots_wanted_.begin());
  Node& source = nodes_.at(from);
  Node& target = nodes_.at(to);
  if (!source.core || source.core->NeedsState()) return;
  Term term = source.core->IsLeader() ? source.core->term() : Term();
  SnapshotMeta meta;
  meta.index = source.applied;
  bool sent = target.core && !target.paused && target.unwritten.empty() &&
              !cut_.contains({from, to}) && meta.index >= source.core->log().start() &&
              meta.index > Index() && source.core->log().TermAt(meta.index);
  bool installed = false;
  if (sent) {
    meta.term = *source.core->log().TermAt(meta.index);
    meta.configuration = source.core->ConfigurationAt(meta.index);
    installed = target.core->WantsSnapshot(meta, term);
  }
  if (installed) {
    ++report_.snapshots;
    if (target.core->KeepsLog(meta)) {
      target.disk.Compact(meta.index);
      target.disk.start = meta;
    } else {
      target.disk.Reset(meta);
    }
    target.applied = target.durable = meta.index;
    target.durable_configuration = meta.configuration;
    target.core->Restore(Now(target), meta, term, from);
    // As a host does: the term is on disk together with the log's new start.
    target.disk.hard_state.term = std::max(target.disk.hard_state.term, target.core->term());
    target.disk.hard_state.vote = target.core->vote();
    target.disk.hard_state.commit = target.core->commit_index();
    Note(absl::StrCat("snapshot ", from.value(), "->", to.value(), " at ", meta.index.value()));
    Settle(to);
  }
  if (!sent && random_.Chance(0.5)) {
    snapshots_wanted_.insert({from, to});  // later
  } else {
    bool held = sent && target.core->Holds(meta);
    source.core->OnSnapshotSent(Now(source), to, installed || held, meta.index);
    Settle(from);
  }
}

void Chaos::Transfer() {
  ReplicaId id = PickLeader();
  if (!id) return;
  (void)nodes_.at(id).core->TransferLeadership(Now(nodes_.at(id)), Pick());
  Settle(id);
}

// Safety rests on who votes, never on when somebody asks.
void Chaos::Campaign() {
  ReplicaId id = Pick();
  Node& node = nodes_.at(id);
  if (!node.core || node.paused) return;
  node.core->Campaign(Now(node));
  Settle(id);
}

void Chaos::ChangeMembers() {
  ReplicaId id = PickLeader();
  if (!id) return;
  Node& leader = nodes_.at(id);
  const Configuration& c = leader.core->configuration();
  MembershipChange change;
  if (random_.Chance(0.4) && nodes_.size() < 8) {
    ReplicaId fresh(nodes_.size() + 1);
    AddNode(Configuration());
    change.add_learners.push_back({fresh, StoreId(fresh.value())});
  }
  for (const Member& m : c.learners) {
    if (random_.Chance(0.7)) change.promote.push_back(m.replica);
  }
  // No shrinking below three: the liveness phase needs a majority that has everything.
  if (c.voters.size() + change.promote.size() > 3 && random_.Chance(0.5)) {
    change.remove.push_back(c.voters[random_.Below(c.voters.size())].replica);
  }
  if (leader.core->ChangeMembership(Now(leader), change).ok()) ++report_.membership_changes;
  Settle(id);
}

}  // namespace kvd::raft
