// One simulated machine of a whole cluster: what is on its disks, and the kvd process that runs on
// it now and then, with as many groups as the controller gives it. Put together from the same
// components as the real one.
#pragma once

#include <memory>
#include <vector>

#include "server/node/node.h"
#include "server/service/scan_reader.h"
#include "server/shard/disk_watch.h"
#include "server/storage/memory_engine.h"
#include "tests/sim/sim_store.h"

namespace kvd::sim {

struct NodeStoreOptions {
  raft::HostOptions host;
  shard::DataGroupOptions group;
  node::NodeOptions node;
  DiskFaults disk;
  double clock_rate = 1.0;
  int64_t wall_offset_ms = 0;
};

// A running process; destroyed when it crashes.
struct NodeProcess {
  std::unique_ptr<SimLoop> loop;
  std::unique_ptr<SimTransport> transport;
  std::unique_ptr<SimCaller> caller;
  std::unique_ptr<SimLogStore> log_store;
  std::unique_ptr<raft::Host> host;
  std::unique_ptr<SimWorker> worker;
  std::unique_ptr<shard::Verifier> verifier;
  std::unique_ptr<shard::Rebuilder> rebuilder;
  std::unique_ptr<shard::DiskWatch> disk_watch;
  std::unique_ptr<node::Groups> groups;
  std::unique_ptr<node::Node> node;
  std::unique_ptr<Timer> flush_timer;
  // Those that were begun here: one that is never answered ends with the process.
  std::vector<std::shared_ptr<service::ScanReader>> scans;

  ~NodeProcess();
};

class NodeStore {
 public:
  NodeStore(Scheduler* scheduler, SimNetwork* network, StoreId id, const NodeStoreOptions& options);
  ~NodeStore();

  // The first store of a cluster: it has the controller's group.
  void Format();
  // What it was told when it was let in.
  void Remember(const v1::RoutingResponse& known) { known_ = known; }
  void Start();
  // The process ends at once, and what was not synced is gone.
  void Crash();
  bool running() const { return process_ != nullptr; }

  // Crashes; what the groups' states were kept in is gone, the log is not.
  void LoseState();
  // The disks are gone too: this store is no more, see World::LoseDisk.
  void Lose();
  bool lost() const { return lost_; }
  // A part of some group's state decays; false if there is nothing that could. The process finds
  // out when it reads there.
  bool DamageState(Random& random);
  // What is stored at these places of a group's log can't be read any more.
  void DamageLog(GroupId group, const std::set<Index>& places);
  // Nothing that was acknowledged is missing on the disk, unnoticed or noticed, and every replica
  // that runs has its state.
  bool IsWhole() const;
  // Whether it lacks a state, or knows that one is damaged.
  bool Mends() const;
  // Nothing of the states on the disk has decayed unnoticed, or waits to be given up.
  bool StateIsWhole() const;
  // Whether it gave the group's state up by itself and does not have it again yet.
  bool Rebuilds(GroupId group) const;
  uint64_t rebuilds() const { return rebuilds_; }
  uint64_t starts() const { return starts_; }

  StoreId id() const { return id_; }
  const std::string& address() const { return options_.node.address; }
  uint64_t nonce() const { return options_.node.nonce; }
  const LogDisk& log_disk() const { return log_disk_; }
  void SlowDisk(Duration each_sync) { log_disk_.slowed = each_sync; }
  SimDisk& disk() { return disk_; }
  NodeProcess& process() { return *process_; }
  node::Node& node() { return *process_->node; }
  storage::MemoryEngine& engine() { return engine_; }

  // Set before Start: hooks of the checkers.
  std::function<void(NodeStore&, GroupId, const raft::Entry&, const shard::CommandResult&)>
      on_applied;
  std::function<void(NodeStore&)> after_turn;
  std::function<void(NodeStore&)> on_crashed;    // by itself, at a fault point
  std::function<void(NodeStore&)> on_going_out;  // it gives its states up

 private:
  void OpenStates(const std::vector<raft::GroupLog>& logs);
  void StartNode();
  bool HasStates() const;
  void AnswerNetwork();
  void ScheduleFlush();

  Scheduler* const scheduler_;
  SimNetwork* const network_;
  const StoreId id_;
  const NodeStoreOptions options_;
  LogDisk log_disk_;
  storage::MemoryEngine engine_;
  SimDisk disk_;
  v1::RoutingResponse known_;  // on its disk
  // On its disk: the states are to be given up at the next start.
  bool condemned_ = false;
  bool lost_ = false;
  // Down, and without a state that it had.
  bool lost_state_ = false;
  std::set<GroupId> given_up_;  // states that it gave up by itself, as of the last crash
  uint64_t rebuilds_ = 0;
  uint64_t starts_ = 0;
  std::unique_ptr<NodeProcess> process_;
};

}  // namespace kvd::sim
