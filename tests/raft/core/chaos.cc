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

Chaos::Chaos(uint64_t seed) : seed_(seed), random_(seed), late_random_(seed ^ 0x1A7E) {
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
  if (output.hard_state) node.core->OnTermPersisted(output.hard_state->term);
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
  if (Lost(m) || !node.core || HoldUp(m)) return;
  if (node.paused) {
    if (network_.size() < 2000) network_.push_back(std::move(m));
    return;
  }
  Note(Describe(m));
  node.core->Step(Now(node), m);
  Settle(m.to);
}

bool Chaos::HoldUp(Message& m) {
  bool transfer = m.type == MessageType::kTimeoutNow || m.transfer;
  bool reply = m.type == MessageType::kVoteReply;
  if (!late_random_.Chance(transfer ? 0.3 : reply ? 0.1 : 0)) return false;
  auto most = static_cast<uint64_t>((10 * options_.election_timeout_min).count());
  held_up_.emplace_back(now_ + Duration(static_cast<int64_t>(late_random_.Below(most))),
                        std::move(m));
  return true;
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
  for (size_t i = held_up_.size(); i-- > 0;) {
    if (held_up_[i].first > now_) continue;
    network_.insert(network_.begin(), std::move(held_up_[i].second));
    held_up_.erase(held_up_.begin() + static_cast<int64_t>(i));
  }
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

void Chaos::AskToRead() {
  ReplicaId id = PickLeader();
  if (!id) return;
  Node& node = nodes_.at(id);
  uint64_t read = node.next_read++;
  node.reads[read] = acknowledged_;
  if (node.core->ReadIndex(Now(node), read).ok()) Settle(id);
}

ChaosReport Chaos::Run(uint64_t events) {
  for (; report_.events < events; ++report_.events) Event();
  Heal();
  report_.committed = committed_.rbegin()->first.value();
  return report_;
}

}  // namespace kvd::raft
