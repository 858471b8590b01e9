#include "tests/raft/core/harness.h"

#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace kvd::raft {

Harness::Harness(int voters, CoreOptions options, uint64_t seed) : options_(options), seed_(seed) {
  Configuration configuration;
  for (int i = 1; i <= voters; ++i) {
    auto id = static_cast<uint64_t>(i);
    configuration.voters.push_back({ReplicaId(id), StoreId(id)});
  }
  for (int i = 1; i <= voters; ++i) AddNode(static_cast<uint64_t>(i), configuration);
}

void Harness::AddNode(uint64_t id) { AddNode(id, Configuration()); }

void Harness::AddNode(uint64_t id, Configuration configuration) {
  Node& node = nodes_[ReplicaId(id)];
  node.disk = std::make_unique<FakeDisk>();
  node.disk->start.configuration = std::move(configuration);
  node.snapshot = node.disk->start;
  InitialState initial;
  initial.start = node.disk->start;
  node.core = std::make_unique<Core>(ReplicaId(id), options_, initial, node.disk.get(), now_,
                                     seed_ * 1000 + id);
}

void Harness::Restart(uint64_t id) {
  Node& node = nodes_.at(ReplicaId(id));
  node.unwritten.clear();
  InitialState initial = node.disk->Load(node.disk->start.index, node.disk->start.configuration);
  // The state machine's state is on disk too, unless its log is whole.
  initial.applied = node.disk->start.index;
  initial.restarted = true;
  node.applied.clear();
  node.applied_index = initial.applied;
  node.core = std::make_unique<Core>(ReplicaId(id), options_, initial, node.disk.get(), now_,
                                     ++seed_ * 1000 + id);
}

void Harness::WriteOutput(Node& node, Output& output) {
  node.disk->Write(output);
  if (output.hard_state) node.core->OnTermPersisted(output.hard_state->term);
  if (!output.entries.empty()) {
    node.core->OnPersisted(now_, output.entries.back()->index, output.entries.back()->term);
  }
  for (Message& m : output.messages_after_persist) network_.push_back(std::move(m));
}

void Harness::Perform(Node& node, Output output) {
  for (Message& m : output.messages) network_.push_back(std::move(m));
  for (const ReadState& read : output.reads) node.reads.push_back(read);
  for (uint64_t id : output.failed_reads) node.failed_reads.push_back(id);
  for (const SnapshotRequest& request : output.snapshots) {
    snapshots_wanted_.insert({node.core->id(), request.to});
  }
  for (const EntryPtr& entry : output.committed) {
    auto [it, first] = committed_.emplace(entry->index, entry);
    KVD_CHECK_MSG(it->second->term == entry->term && it->second->data == entry->data,
                  absl::StrCat("two replicas applied different entries at ", entry->index.value()));
    KVD_CHECK(entry->index == node.applied_index + 1);
    node.applied_index = entry->index;
    if (entry->type == EntryType::kCommand) node.applied.push_back(entry);
    node.snapshot = {entry->index, entry->term, node.core->ConfigurationAt(entry->index)};
    node.core->OnApplied(entry->index);
  }
  if (node.disk_stopped) {
    if (output.NeedsWrite() || !output.messages_after_persist.empty()) {
      node.unwritten.push_back(std::move(output));
    }
    return;
  }
  while (!node.unwritten.empty()) {
    WriteOutput(node, node.unwritten.front());
    node.unwritten.pop_front();
  }
  WriteOutput(node, output);
}

void Harness::CheckAll() {
  for (auto& [id, node] : nodes_) {
    if (!node.core) continue;
    node.core->CheckState();
    if (!node.core->IsLeader()) continue;
    auto [it, first] = leaders_.emplace(node.core->term(), id);
    std::string all;
    for (const std::string& line : trace) all += "\n" + line;
    KVD_CHECK_MSG(it->second == id, "two leaders in one term" + all);
  }
}

void Harness::Drain() {
  // Twice, since a finished write can commit, and a commit gives output.
  for (int round = 0; round < 3; ++round) {
    for (auto& [id, node] : nodes_) {
      if (node.core) Perform(node, node.core->TakeOutput());
    }
  }
  CheckAll();
}

bool Harness::Lost(const Message& m) const {
  return isolated_.contains(m.from) || isolated_.contains(m.to) || cut_.contains({m.from, m.to}) ||
         (drop && drop(m));
}

bool Harness::DeliverNext() {
  if (network_.empty()) return false;
  Message m = std::move(network_.front());
  network_.pop_front();
  bool lost = Lost(m);
  ++messages_sent;
  trace.push_back(Describe(m) + (lost ? " (lost)" : ""));
  auto it = nodes_.find(m.to);
  if (lost || it == nodes_.end() || !it->second.core) return true;
  it->second.core->Step(now_, m);
  Drain();
  return true;
}

void Harness::Stabilize() {
  Drain();
  for (int steps = 0; DeliverNext(); ++steps) KVD_CHECK(steps < 100000);
}

void Harness::Elapse(Duration duration, Duration step) {
  auto end = now_ + duration;
  while (now_ < end) {
    now_ += std::min(step, end - now_);
    for (auto& [id, node] : nodes_) {
      if (node.core) node.core->Tick(now_);
    }
    Stabilize();
    if (send_snapshots) SendWantedSnapshots();
  }
}

void Harness::SendWantedSnapshots() {
  std::set<std::pair<ReplicaId, ReplicaId>> wanted;
  wanted.swap(snapshots_wanted_);
  for (auto [from, to] : wanted) {
    if (!nodes_.at(from).core || !nodes_.at(from).core->IsLeader()) continue;
    Message probe;
    probe.from = from;
    probe.to = to;
    if (nodes_.at(to).core && !Lost(probe)) {
      SendSnapshot(from.value(), to.value());
    } else {
      core(from.value()).OnSnapshotSent(now_, to, false, Index());
      Drain();
    }
  }
}

void Harness::ElapseOnly(uint64_t id, Duration duration) {
  now_ += duration;
  core(id).Tick(now_);
  Drain();
}

uint64_t Harness::ElectLeader() {
  for (int i = 0; i < 500; ++i) {
    uint64_t leader = 0;
    Term term;
    for (auto& [id, node] : nodes_) {
      if (!node.core || isolated_.contains(id) || !node.core->IsLeader()) continue;
      if (node.core->term() >= term) leader = id.value();
      term = std::max(term, node.core->term());
    }
    bool all = leader != 0;
    for (auto& [id, node] : nodes_) {
      if (!node.core || isolated_.contains(id) || !all) continue;
      if (!core(leader).configuration().IsVoter(id)) continue;
      all = all && node.core->leader() == ReplicaId(leader) && node.core->term() == term;
    }
    if (all && core(leader).KnowsCommitted()) return leader;
    Elapse(milliseconds(20));
  }
  return 0;
}

absl::StatusOr<Index> Harness::Propose(uint64_t id, std::string command) {
  auto index = core(id).Propose(now_, std::move(command));
  Drain();
  return index;
}

void Harness::SendSnapshot(uint64_t from, uint64_t to) {
  Node& source = node(from);
  Node& target = node(to);
  SnapshotMeta meta = source.snapshot;
  Term term = source.core->IsLeader() ? source.core->term() : Term();
  bool wanted = target.core->WantsSnapshot(meta, term);
  if (wanted) {
    if (target.core->KeepsLog(meta)) {
      target.disk->Compact(meta.index);
      target.disk->start = meta;
    } else {
      target.disk->Reset(meta);
    }
    target.snapshot = meta;
    target.applied = source.applied;
    target.applied_index = meta.index;
    target.core->Restore(now_, meta, term, ReplicaId(from));
  }
  // What the follower holds already it need not install.
  bool there = wanted || target.core->Holds(meta);
  source.core->OnSnapshotSent(now_, ReplicaId(to), there, meta.index);
  Drain();
}

std::string Describe(const Message& m) {
  std::string out = absl::StrCat(m.from.value(), "->", m.to.value(), " ", ToString(m.type),
                                 " term=", m.term.value());
  switch (m.type) {
    case MessageType::kAppend:
      absl::StrAppend(&out, " prev=", m.index.value(), "/", m.log_term.value(),
                      " commit=", m.commit.value(), " entries=[");
      for (const EntryPtr& entry : m.entries) {
        absl::StrAppend(&out, entry == m.entries.front() ? "" : " ", entry->index.value(), "/",
                        entry->term.value());
      }
      out += "]";
      break;
    case MessageType::kAppendReply:
      absl::StrAppend(&out, m.reject ? " rejected=" : " match=", m.index.value());
      if (m.reject) {
        absl::StrAppend(&out, " hint=", m.hint_index.value(), "/", m.hint_term.value());
      }
      break;
    case MessageType::kHeartbeat: absl::StrAppend(&out, " commit=", m.commit.value()); break;
    case MessageType::kRepair:
      absl::StrAppend(&out, " wanted=", m.index.value(), "/", m.log_term.value(),
                      " from=", m.hint_index.value());
      break;
    case MessageType::kRepairReply: {
      static constexpr const char* kAnswers[] = {"nothing", "has", "lacks", "damaged", "compacted"};
      absl::StrAppend(&out, " wanted=", m.hint_index.value(), "/", m.hint_term.value(), " ",
                      kAnswers[static_cast<size_t>(m.repair)], " entries=", m.index.value(), "/",
                      m.log_term.value(), "+", m.entries.size());
      break;
    }
    case MessageType::kVote:
    case MessageType::kPreVote:
      absl::StrAppend(&out, " last=", m.index.value(), "/", m.log_term.value(),
                      m.transfer ? " transfer" : "");
      break;
    case MessageType::kVoteReply:
    case MessageType::kPreVoteReply: out += m.reject ? " refused" : " granted"; break;
    default: break;
  }
  return out;
}

}  // namespace kvd::raft
