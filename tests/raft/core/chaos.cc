#include "tests/raft/core/chaos.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace kvd::raft {
namespace {

enum Kind {
  kDeliver,
  kFinishWrite,
  kTime,
  kLongTime,
  kPropose,
  kLose,
  kDouble,
  kCrash,
  kStart,
  kPause,
  kCut,
  kCompact,
  kSnapshot,
  kTransfer,
  kMembers,
  kRead,
  kCampaign,
  kDamage,
  kKinds
};

}  // namespace

Chaos::Chaos(uint64_t seed) : seed_(seed), random_(seed) {
  options_.append_bytes_max = random_.Chance(0.5) ? 1 : 1 << 20;
  options_.inflight_messages_max = random_.Chance(0.3) ? 2 : 256;
  options_.cache_bytes_max = random_.Chance(0.5) ? 100 : 1 << 20;
  options_.apply_bytes_max = random_.Chance(0.3) ? 1 : 4 << 20;
  options_.rounds.bytes_max = random_.Chance(0.5) ? 300 : 0;
  options_.rounds.gather_commands_min = 1;
  // Some of these dominate a run, some are absent from it.
  weights_ = {600, 300, 60, 1, 30, 5, 5, 2, 20, 2, 4, 2, 6, 1, 2, 8, 3, 2};
  for (size_t kind = kPropose; kind < kKinds; ++kind) {
    if (kind == kStart || kind == kSnapshot) continue;
    auto pick = random_.Below(6);
    weights_[kind] = pick == 0 ? 0 : pick == 1 ? weights_[kind] * 5 : weights_[kind];
  }
  // From a network that is quick beside the election timeout to one that is slower than it.
  time_step_ = milliseconds(std::vector<int>{20, 60, 200, 500}[random_.Below(4)]);
  in_order_ = random_.Chance(0.5) ? 0.9 : 0.4;
  Configuration configuration;
  uint64_t voters = random_.Chance(0.5) ? 3 : 5;
  for (uint64_t i = 1; i <= voters; ++i) configuration.voters.push_back({ReplicaId(i), StoreId(i)});
  for (uint64_t i = 1; i <= voters; ++i) AddNode(configuration);
  acknowledged_at_[now_] = Index();
}

void Chaos::AddNode(const Configuration& configuration) {
  ReplicaId id(nodes_.size() + 1);
  Node& node = nodes_[id];
  node.disk.start.configuration = configuration;
  node.durable_configuration = configuration;
  // Within the bound that leases rely on.
  node.rate = 1 + (static_cast<double>(random_.Below(80)) - 40) / 1000;
  Start(id);
}

MonotonicTime Chaos::Now(const Node& node) const {
  auto passed = static_cast<double>(now_.time_since_epoch().count());
  return MonotonicTime(Duration(static_cast<int64_t>(passed * node.rate)));
}

void Chaos::Start(ReplicaId id) {
  Node& node = nodes_.at(id);
  if (node.ran && random_.Chance(0.1) && MayLoseState(id)) node.durable = Index();
  InitialState initial = node.disk.Load(node.durable, node.durable_configuration);
  initial.applied = node.applied = node.durable;
  initial.restarted = node.ran;
  node.ran = true;
  node.paused = node.led = false;
  node.reads.clear();
  node.core = std::make_unique<Core>(id, options_, std::move(initial), &node.disk, Now(node),
                                     random_.Next());
  Note(absl::StrCat("start ", id.value(), " applied ", node.applied.value()));
}

// What all logs begin behind must be left in some state.
bool Chaos::MayLoseState(ReplicaId id) const {
  for (const auto& [other, node] : nodes_) {
    if (other != id && node.durable < node.disk.start.index) return false;
    if (!node.disk.damaged.empty()) return false;
  }
  return nodes_.at(id).disk.start.index > Index();
}

void Chaos::Note(const std::string& what) {
  trace_.push_back(absl::StrCat(report_.events, ": ", what));
  if (trace_.size() > 300) trace_.pop_front();
}

void Chaos::Fail(const std::string& what) const {
  std::string text;
  for (const std::string& line : trace_) absl::StrAppend(&text, "\n  ", line);
  absl::StrAppend(&text, "\nseed ", seed_, ": ", what);
  CheckFailed(__FILE__, __LINE__, "an invariant of the cores holds", text);
}

ReplicaId Chaos::Pick() {
  auto it = nodes_.begin();
  std::advance(it, static_cast<int64_t>(random_.Below(nodes_.size())));
  return it->first;
}

ReplicaId Chaos::PickLeader() {
  std::vector<ReplicaId> leaders;
  for (auto& [id, node] : nodes_) {
    if (node.core && !node.paused && node.core->IsLeader()) leaders.push_back(id);
  }
  return leaders.empty() ? ReplicaId() : leaders[random_.Below(leaders.size())];
}

void Chaos::Write(ReplicaId id, const Output& output) {
  Node& node = nodes_.at(id);
  node.disk.Write(output);
  if (!output.entries.empty()) {
    node.core->OnPersisted(Now(node), output.entries.back()->index, output.entries.back()->term);
  }
  for (const Message& m : output.messages_after_persist) network_.push_back(m);
}

void Chaos::Perform(ReplicaId id, Output output) {
  Node& node = nodes_.at(id);
  for (Message& m : output.messages) network_.push_back(std::move(m));
  for (const ReadState& read : output.reads) {
    Require(read.index >= node.reads.at(read.id),
            absl::StrCat("replica ", id.value(), " answers a read at ", read.index.value(),
                         " though ", node.reads.at(read.id).value(), " was acknowledged before"));
    ++report_.reads;
  }
  for (const SnapshotRequest& request : output.snapshots)
    snapshots_wanted_.insert({id, request.to});
  for (const EntryPtr& entry : output.committed) {
    Require(entry->index == node.applied + 1, "a gap in what is applied");
    auto [it, first] = committed_.try_emplace(
        entry->index, Committed{entry->term, entry->data, node.core->term()});
    Require(
        it->second.term == entry->term && it->second.data == entry->data,
        absl::StrCat("replica ", id.value(), " applies another entry at ", entry->index.value()));
    node.applied = entry->index;
    node.core->OnApplied(entry->index);
  }
  if (node.core->IsLeader() && node.core->commit_index() > acknowledged_ &&
      node.core->KnowsCommitted()) {
    acknowledged_ = node.applied > acknowledged_ ? node.applied : acknowledged_;
    acknowledged_at_[now_] = acknowledged_;
  }
  if (!output.NeedsWrite() && output.messages_after_persist.empty()) return;
  node.unwritten.push_back(std::move(output));
}

void Chaos::Settle(ReplicaId id) {
  Node& node = nodes_.at(id);
  if (!node.core) return;
  Perform(id, node.core->TakeOutput());
  Check();
}

void Chaos::CheckLeader(ReplicaId id, Node& node) {
  auto [it, first] = leaders_.emplace(node.core->term(), id);
  Require(it->second == id, absl::StrCat("two leaders in term ", node.core->term().value()));
  if (node.led) return;
  node.led = true;
  ++report_.elections;
  // Leader completeness: of what was committed in earlier terms.
  for (const auto& [index, entry] : committed_) {
    if (index <= node.core->log().start() || entry.seen_in >= node.core->term()) continue;
    if (node.disk.damaged.contains(index)) continue;  // long applied, and can't be read
    Require(node.core->log().TermAt(index) == entry.term,
            absl::StrCat("leader ", id.value(), " of term ", node.core->term().value(),
                         " lacks the committed entry ", index.value()));
  }
}

// What a bounded-stale read counts on: everything acknowledged by then is in the applied state.
void Chaos::CheckFresh(ReplicaId id, Node& node) {
  if (node.core->fresh_as_of() == kLongAgo) return;
  auto real = static_cast<double>(node.core->fresh_as_of().time_since_epoch().count()) / node.rate;
  auto it = acknowledged_at_.lower_bound(MonotonicTime(Duration(static_cast<int64_t>(real))));
  if (it == acknowledged_at_.begin()) return;
  Require(node.applied >= std::prev(it)->second,
          absl::StrCat("replica ", id.value(), " believes to be fresh, but has applied ",
                       node.applied.value(), " of ", std::prev(it)->second.value()));
}

void Chaos::Check() {
  const Node* holder = nullptr;
  for (auto& [id, node] : nodes_) {
    if (!node.core) continue;
    node.core->CheckState();
    CheckFresh(id, node);
    if (!node.core->IsLeader()) {
      node.led = false;
      continue;
    }
    CheckLeader(id, node);
    if (!node.core->HoldsLease(Now(node))) continue;
    Require(holder == nullptr, "two replicas hold a lease");
    holder = &node;
    Require(node.core->commit_index() >= acknowledged_,
            absl::StrCat("replica ", id.value(), " holds a lease and knows ",
                         node.core->commit_index().value(), " of ", acknowledged_.value()));
  }
}

void Chaos::Event() {
  uint64_t all = 0;
  for (uint64_t w : weights_) all += w;
  KVD_CHECK(all > 0);
  uint64_t pick = random_.Below(all);
  size_t kind = 0;
  while (pick >= weights_[kind]) pick -= weights_[kind++];
  switch (kind) {
    case kDeliver: return Deliver();
    case kFinishWrite: return FinishWrite();
    case kTime: return PassTime(time_step_);
    case kLongTime: return PassTime(milliseconds(1500));
    case kPropose: return Propose();
    case kLose: return Lose();
    case kDouble: return Double();
    case kCrash: return Crash();
    case kStart: {
      ReplicaId id = Pick();
      if (!nodes_.at(id).core) Start(id);
      return;
    }
    case kPause: return Pause();
    case kCut: return CutOrMend();
    case kCompact: return CompactOne();
    case kSnapshot: return SendSnapshot();
    case kTransfer: return Transfer();
    case kMembers: return ChangeMembers();
    case kCampaign: return Campaign();
    case kDamage: return Damage();
    default: return AskToRead();
  }
}

void Chaos::Deliver() {
  if (network_.empty()) return;
  // Mostly in order, sometimes anything that is on its way.
  size_t at = random_.Chance(in_order_) ? 0 : random_.Below(network_.size());
  Message m = std::move(network_[at]);
  network_.erase(network_.begin() + static_cast<int64_t>(at));
  Node& node = nodes_.at(m.to);
  if (Lost(m) || !node.core) return;
  if (node.paused) {
    if (network_.size() < 2000) network_.push_back(std::move(m));
    return;
  }
  Note(Describe(m));
  node.core->Step(Now(node), m);
  Settle(m.to);
}

void Chaos::Lose() {
  if (!network_.empty())
    network_.erase(network_.begin() + static_cast<int64_t>(random_.Below(network_.size())));
}

void Chaos::Double() {
  if (!network_.empty()) network_.push_back(network_[random_.Below(network_.size())]);
}

void Chaos::FinishWrite() {
  ReplicaId id = Pick();
  Node& node = nodes_.at(id);
  if (!node.core || node.unwritten.empty()) return;
  Output output = std::move(node.unwritten.front());
  node.unwritten.pop_front();
  Write(id, output);
  Settle(id);
}

void Chaos::PassTime(Duration most) {
  now_ += Duration(static_cast<int64_t>(random_.Below(static_cast<uint64_t>(most.count()))));
  Check();
  for (auto& [id, node] : nodes_) {
    if (!node.core || node.paused || random_.Chance(0.1)) continue;
    node.core->Tick(Now(node));
    Settle(id);
  }
}

void Chaos::Propose() {
  ReplicaId id = PickLeader();
  if (!id) return;
  (void)nodes_.at(id).core->Propose(Now(nodes_.at(id)), absl::StrCat("c", ++commands_));
  if (random_.Chance(0.7)) Settle(id);
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

void Chaos::AskToRead() {
  ReplicaId id = PickLeader();
  if (!id) return;
  Node& node = nodes_.at(id);
  uint64_t read = node.next_read++;
  node.reads[read] = acknowledged_;
  if (node.core->ReadIndex(Now(node), read).ok()) Settle(id);
}

void Chaos::HealedRound() {
  while (!network_.empty()) {
    Message m = std::move(network_.front());
    network_.erase(network_.begin());
    if (Lost(m)) continue;
    Node& node = nodes_.at(m.to);
    Note(Describe(m));
    node.core->Step(Now(node), m);
    Settle(m.to);
    if (random_.Chance(0.3)) break;
  }
  for (auto& [id, node] : nodes_) {
    while (!node.unwritten.empty()) {
      Output output = std::move(node.unwritten.front());
      node.unwritten.pop_front();
      Write(id, output);
      Settle(id);
    }
  }
  SendSnapshot();
}

// A replica that hears nobody asks for votes in vain, and disturbs nobody when it hears again: who
// leads goes on to lead in the same term (thesis, 9.6).
void Chaos::StaysCalm(ReplicaId deaf) {
  // The network is quick beside the election timeout: all that is sent arrives before time passes.
  auto elapse = [&](Duration duration) {
    for (auto end = now_ + duration; now_ < end; PassTime(milliseconds(20))) {
      HealedRound();
      while (!network_.empty()) HealedRound();
    }
  };
  // What was under way, such as a transfer, comes to its end first.
  elapse(milliseconds(3000));
  ReplicaId leader = PickLeader();
  Require(leader != ReplicaId(), "nobody leads the healed cores");
  Term term = nodes_.at(leader).core->term();
  elapse(milliseconds(2000));
  cut_.clear();
  Note(absl::StrCat(deaf.value(), " hears again"));
  elapse(milliseconds(1500));
  const Core& core = *nodes_.at(leader).core;
  Require(core.IsLeader() && core.term() == term,
          absl::StrCat("replica ", leader.value(), " led term ", term.value(),
                       " and was disturbed: it ", core.IsLeader() ? "leads" : "is in", " term ",
                       core.term().value()));
}

// Everything works from now on, but for one replica that may stay deaf: the others must elect,
// commit and agree.
void Chaos::Heal() {
  cut_.clear();
  Note("heal");
  bool whole = true;
  for (auto& [id, node] : nodes_) {
    if (!node.core) Start(id);
    node.paused = false;
    whole = whole && !node.core->NeedsState() && node.disk.damaged.empty();
  }
  ReplicaId deaf;
  if (whole && random_.Chance(0.5)) {
    deaf = PickLeader() ? PickLeader() : Pick();
    for (auto& [other, node] : nodes_) cut_.insert({other, deaf});
    Note(absl::StrCat(deaf.value(), " stays deaf"));
  }
  Index goal;
  for (int round = 0; round < 20'000; ++round) {
    HealedRound();
    if (round % 4 == 0) PassTime(milliseconds(20));
    ReplicaId id = PickLeader();
    if (id && !goal && nodes_.at(id).core->KnowsCommitted()) {
      auto index = nodes_.at(id).core->Propose(Now(nodes_.at(id)), "the last");
      Settle(id);
      if (index.ok()) goal = *index;
    }
    if (round % 1000 == 999) goal = Index();  // it may have been lost with its leader
    if (!id || !goal || committed_.empty() || committed_.rbegin()->first < goal) continue;
    bool all = true;
    for (const Member& m : nodes_.at(id).core->configuration().Members()) {
      all = all && (m.replica == deaf || nodes_.at(m.replica).applied >= goal);
    }
    if (all && deaf) return StaysCalm(deaf);
    if (all) return;
  }
  std::string state;
  for (auto& [id, node] : nodes_) {
    absl::StrAppend(
        &state, " ", id.value(), ":", ToString(node.core->role()), "/", node.core->term().value(),
        " log ", node.core->log().start().value(), "..", node.core->log().last_index().value(),
        " applied ", node.applied.value(), node.core->NeedsState() ? " needs state" : "",
        node.core->NeedsRepair() ? absl::StrCat(" needs ", node.core->damaged().rbegin()->value())
                                 : "",
        node.core->removed() ? " removed" : "", " ", node.core->configuration().ToString());
    for (const auto& [peer, progress] : node.core->progress()) {
      absl::StrAppend(&state, " ", peer.value(), "=", ToString(progress.state()), " ",
                      progress.match().value(), "..", progress.next().value(),
                      progress.IsPaused() ? " paused" : "");
    }
  }
  Fail("the healed cores do not agree:" + state);
}

ChaosReport Chaos::Run(uint64_t events) {
  for (; report_.events < events; ++report_.events) Event();
  Heal();
  report_.committed = committed_.rbegin()->first.value();
  return report_;
}

}  // namespace kvd::raft
