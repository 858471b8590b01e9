// What must hold after each event, and once everything works again.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/raft/core/chaos.h"

namespace kvd::raft {

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

// A replica that hears nobody asks for votes in vain: its term stays. So it disturbs nobody when it
// hears again: who leads goes on to lead in the same term (thesis, 9.6). Unless its term is the
// higher one from before: it had won a pre-vote, and its vote was lost.
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
  Term own = nodes_.at(deaf).core->term();
  elapse(milliseconds(2000));
  Require(nodes_.at(deaf).core->term() == own,
          absl::StrCat("replica ", deaf.value(), " hears nobody and its term rose from ",
                       own.value(), " to ", nodes_.at(deaf).core->term().value()));
  cut_.clear();
  Note(absl::StrCat(deaf.value(), " hears again"));
  elapse(milliseconds(1500));
  if (own > term) return;
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
  for (auto& [due, message] : held_up_) network_.push_back(std::move(message));
  held_up_.clear();
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

}  // namespace kvd::raft
