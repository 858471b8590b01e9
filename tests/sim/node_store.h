// One simulated machine of a whole cluster: what is on its disks, and the kvd process that runs on
// it now and then, with as many groups as the controller gives it. Put together from the same
// components as the real one.
#pragma once

#include <memory>

#include "server/node/node.h"
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

  StoreId id() const { return id_; }
  const std::string& address() const { return options_.node.address; }
  NodeProcess& process() { return *process_; }
  node::Node& node() { return *process_->node; }
  storage::MemoryEngine& engine() { return engine_; }
  SimDisk& disk() { return disk_; }
  // What a sync of the running process' log takes from now on.
  void SetSyncTime(Duration min, Duration max) { process_->log_store->SetSyncTime(min, max); }

  // Set before Start: hooks of the checkers.
  std::function<void(NodeStore&, GroupId, const raft::Entry&, const shard::CommandResult&)>
      on_applied;
  std::function<void(NodeStore&)> on_crashed;  // by itself, at a fault point

 private:
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
  std::unique_ptr<NodeProcess> process_;
};

}  // namespace kvd::sim
