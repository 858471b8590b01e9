// A cluster of consensus cores under full control of a test: one virtual clock, every message and
// every disk write held until the test lets it go. No threads, no sleeps.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "raft/core/core.h"
#include "tests/raft/core/fake_disk.h"

namespace kvd::raft {

class Harness {
 public:
  struct Node {
    std::unique_ptr<FakeDisk> disk;
    std::unique_ptr<Core> core;
    std::vector<EntryPtr> applied;  // since the last start; commands only
    Index applied_index;
    SnapshotMeta snapshot;  // of what was applied, as a state machine would give it
    std::vector<ReadState> reads;
    std::vector<uint64_t> failed_reads;
    // Writes that are not on disk yet, if `disk_stopped`.
    std::deque<Output> unwritten;
    bool disk_stopped = false;
  };

  explicit Harness(int voters, CoreOptions options = {}, uint64_t seed = 1);

  Core& core(uint64_t id) { return *nodes_.at(ReplicaId(id)).core; }
  Node& node(uint64_t id) { return nodes_.at(ReplicaId(id)); }
  std::map<ReplicaId, Node>& nodes() { return nodes_; }
  MonotonicTime now() const { return now_; }

  // A replica outside the configuration, with an empty log.
  void AddNode(uint64_t id);
  void AddNode(uint64_t id, Configuration configuration);
  // Ends and starts it again from its disk.
  void Restart(uint64_t id);
  void Stop(uint64_t id) { node(id).core.reset(); }

  // Moves output of all cores to disks, state machines and the network.
  void Drain();
  // Drains and delivers messages until nothing is left.
  void Stabilize();
  // Lets time pass in steps, ticking all and stabilizing after each.
  void Elapse(Duration duration, Duration step = milliseconds(20));
  // Lets time pass for one replica only, without delivering anything.
  void ElapseOnly(uint64_t id, Duration duration);
  // Elapses until there is one leader that all reachable replicas follow; 0 after 10 s.
  uint64_t ElectLeader();
  void Campaign(uint64_t id) {
    core(id).Campaign(now_);
    Drain();
  }
  absl::StatusOr<Index> Propose(uint64_t id, std::string command);

  // What the network does: messages for which this returns true are lost.
  std::function<bool(const Message&)> drop;
  void Isolate(uint64_t id) { isolated_.insert(ReplicaId(id)); }
  void Cut(uint64_t from, uint64_t to) { cut_.insert({ReplicaId(from), ReplicaId(to)}); }
  void Heal() {
    isolated_.clear();
    cut_.clear();
    drop = nullptr;
  }
  std::deque<Message>& network() { return network_; }
  bool DeliverNext();
  // Elapse sends the snapshots that leaders want, as a host would.
  bool send_snapshots = false;
  // Sends `to` a snapshot of `from`'s applied state, installed at once.
  void SendSnapshot(uint64_t from, uint64_t to);

  // What was committed behind `index` may be forgotten: a majority that had it is gone.
  void GiveUpBehind(Index index) {
    committed_.erase(committed_.upper_bound(index), committed_.end());
  }

  // Every message that was sent, as text.
  std::vector<std::string> trace;
  uint64_t messages_sent = 0;

 private:
  void Perform(Node& node, Output output);
  void WriteOutput(Node& node, Output& output);
  bool Lost(const Message& m) const;
  void SendWantedSnapshots();
  void CheckAll();

  CoreOptions options_;
  uint64_t seed_;
  MonotonicTime now_{};
  std::map<ReplicaId, Node> nodes_;
  std::deque<Message> network_;
  std::set<ReplicaId> isolated_;
  std::set<std::pair<ReplicaId, ReplicaId>> cut_;
  std::map<Index, EntryPtr> committed_;  // by any replica: state machine safety
  std::map<Term, ReplicaId> leaders_;    // election safety
  std::set<std::pair<ReplicaId, ReplicaId>> snapshots_wanted_;  // from, to
};

std::string Describe(const Message& m);

}  // namespace kvd::raft
