// Random runs of bare consensus cores: no storage, no clients, thousands of runs a minute. Messages
// are delivered in any order, doubled and lost, disks finish when they like, replicas crash, pause,
// lose their state and change members, each on a clock of its own. After every event the invariants
// of the thesis (figure 3.2), of leases and of fresh reads are checked against what really
// happened. Everything follows from the seed.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "raft/core/core.h"
#include "tests/raft/core/harness.h"

namespace kvd::raft {

struct ChaosReport {
  uint64_t events = 0;
  uint64_t committed = 0;
  uint64_t elections = 0;
  uint64_t crashes = 0;
  uint64_t snapshots = 0;
  uint64_t reads = 0;
  uint64_t membership_changes = 0;
  uint64_t damaged = 0;
};

class Chaos {
 public:
  explicit Chaos(uint64_t seed);
  // Runs `events` random events, then heals everything: the cores must agree and serve again.
  // Aborts, with the last events, if an invariant breaks.
  ChaosReport Run(uint64_t events);

 private:
  struct Node {
    FakeDisk disk;
    std::unique_ptr<Core> core;    // null while down
    std::deque<Output> unwritten;  // on their way to the disk
    Index applied;
    Index durable;  // of the applied state
    Configuration durable_configuration;
    bool ran = false;
    bool paused = false;
    bool led = false;
    double rate = 1;
    uint64_t next_read = 1;
    std::map<uint64_t, Index> reads;  // by id: what was acknowledged when it was asked
  };

  // What can happen.
  void Event();
  void Deliver();
  bool HoldUp(Message& m);
  void Lose();
  void Double();
  void FinishWrite();
  void PassTime(Duration most);
  void Propose();
  void Crash();
  void CrashNode(ReplicaId id);
  void Damage();
  void Start(ReplicaId id);
  void Pause();
  void CutOrMend();
  void CompactOne();
  void SendSnapshot();
  void Transfer();
  void Campaign();
  void ChangeMembers();
  void AskToRead();

  void AddNode(const Configuration& configuration);
  void Settle(ReplicaId id);
  void Perform(ReplicaId id, Output output);
  void Write(ReplicaId id, const Output& output);
  void Check();
  void CheckLeader(ReplicaId id, Node& node);
  void CheckFresh(ReplicaId id, Node& node);
  void Heal();
  void HealedRound();
  void StaysCalm(ReplicaId deaf);
  MonotonicTime Now(const Node& node) const;
  ReplicaId Pick();
  ReplicaId PickLeader();
  bool Lost(const Message& m) const { return cut_.contains({m.from, m.to}); }
  bool MayLoseState(ReplicaId id) const;
  bool MayDamage(ReplicaId id, Index index, Term term) const;
  void Note(const std::string& what);
  [[noreturn]] void Fail(const std::string& what) const;
  void Require(bool condition, const std::string& what) const {
    if (!condition) Fail(what);
  }

  const uint64_t seed_;
  Random random_;
  CoreOptions options_;
  MonotonicTime now_{std::chrono::hours(1)};
  std::map<ReplicaId, Node> nodes_;
  std::vector<Message> network_;
  // Messages of transfers that come when their leader may think that they never will.
  std::vector<std::pair<MonotonicTime, Message>> held_up_;
  Random late_random_;
  std::set<std::pair<ReplicaId, ReplicaId>> cut_;
  std::set<std::pair<ReplicaId, ReplicaId>> snapshots_wanted_;  // from, to
  // Per event kind, by the seed.
  std::vector<uint64_t> weights_;
  Duration time_step_;   // at most so much passes at once
  double in_order_ = 1;  // share of messages that are delivered in the order of sending
  uint64_t commands_ = 0;

  // What really happened.
  struct Committed {
    Term term;
    std::string data;
    Term
        seen_in;  // term of the replica that applied it first: at least the one it was committed in
  };
  std::map<Index, Committed> committed_;
  std::map<Term, ReplicaId> leaders_;
  Index acknowledged_;                              // highest index that a leader committed
  std::map<MonotonicTime, Index> acknowledged_at_;  // its history, by true time
  std::deque<std::string> trace_;
  ChaosReport report_;
};

}  // namespace kvd::raft
