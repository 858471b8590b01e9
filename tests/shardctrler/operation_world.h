// Controllers, groups and a network between them, in virtual time under one seed: replicas of the
// controller of which one leads and others still think that they do; groups that keep shards and
// versions in memory; calls that are lost, doubled and late. After every event the invariant of
// design 7 is checked: at most one group serves a key, and it has every write that was
// acknowledged.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/shard/shard_table.h"
#include "shardctrler/driver.h"
#include "tests/shardctrler/lone_controller.h"
#include "tests/sim/scheduler.h"

namespace kvd::shardctrler {

class OperationWorld {
 public:
  explicit OperationWorld(uint64_t seed);
  ~OperationWorld();

  struct Report {
    uint64_t writes = 0;
    uint64_t refused = 0;  // while no group served the key
    uint64_t moved = 0;
    uint64_t split = 0;
    uint64_t merged = 0;
    uint64_t cancelled = 0;
    uint64_t leaders = 0;
    uint64_t calls_lost = 0;
    uint64_t calls_doubled = 0;
  };
  // Operations, writes and faults for so long; then no faults, until nothing is open any more; then
  // groups and controller must agree.
  Report Run(Duration duration);

 private:
  class WorldPort;
  friend class WorldPort;

  // A group as a state machine: what its log would hold is applied at once.
  struct Group {
    shard::ShardTable table;
    std::map<std::string, std::map<Timestamp, std::string>> versions;
    Timestamp clock;
    bool created = false;
  };
  struct Replica {
    std::unique_ptr<sim::SimLoop> loop;
    LoneController controller;
    std::unique_ptr<WorldPort> port;
    std::unique_ptr<Driver> driver;
    size_t applied = 0;  // of log_
    bool leads = false;  // or thinks so
  };

  // Runs `f` at the other end of the network, perhaps twice or never.
  void Carry(const std::function<void()>& f);
  absl::StatusOr<StepAnswer> ApplyStep(GroupId id, const ShardStep& step);
  void PullChunk(GroupId id, ShardId shard, OperationId operation, Timestamp at, uint64_t bytes,
                 const Port::Done<PullAnswer>& done);
  void Propose(size_t replica, const Command& command,
               const std::function<void(absl::Status)>& done);
  void CatchUp(size_t replica);
  void Elect();
  void Write();
  void Operate();
  void Schedule(Duration mean, void (OperationWorld::*what)());
  void CheckInvariant();
  void CheckAgreement();
  const State& state() const { return replicas_[leader_].controller.state(); }

  sim::Scheduler scheduler_;
  Random random_;
  bool faulting_ = true;
  double loss_ = 0;
  double doubling_ = 0;
  Duration late_max_;
  std::vector<Replica> replicas_;
  size_t leader_ = 0;
  std::vector<Command> log_;
  std::map<GroupId, Group> groups_;
  std::map<std::string, std::string> acknowledged_;
  uint64_t next_value_ = 0;
  Report report_;
};

}  // namespace kvd::shardctrler
