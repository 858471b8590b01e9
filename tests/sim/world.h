// A whole simulated cluster that looks after itself: a controller, groups that it makes, shards
// that are split, merged and moved while clients use them, stores that come, drain and crash. The
// invariant of design 7 is checked after every event, histories and the agreement of controller
// and groups at the end. Everything follows from the seed.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/service/scan_reader.h"
#include "tests/sim/fault_points.h"
#include "tests/sim/node_store.h"
#include "tests/sim/shard_oracle.h"
#include "tests/sim/workload.h"

namespace kvd::sim {

struct WorldOptions {
  uint64_t seed = 1;
  int stores = 3;  // 0: by the seed
  Duration duration = std::chrono::seconds(10);
  bool faults = true;
  bool operations = true;  // splits, merges, moves and drains at random
  bool by_hand = false;    // the scheduler begins nothing
  int clients = 3;         // 0: none
  Duration retention{};    // of history; 0: by the seed
};

struct WorldReport {
  uint64_t events = 0;
  uint64_t operations = 0;  // of clients
  uint64_t unknown = 0;
  uint64_t crashes = 0;
  uint64_t cuts = 0;
  uint64_t messages_lost = 0;
  uint64_t moved = 0;
  uint64_t split = 0;
  uint64_t merged = 0;
  uint64_t cancelled = 0;
  uint64_t groups_made = 0;
  uint64_t replica_changes = 0;
  uint64_t drained = 0;
  uint64_t scans = 0;
  uint64_t load_splits = 0;
  uint64_t small_merges = 0;
  std::string ToString() const;
  // What did not happen at all; empty if everything did.
  std::string Missing() const;
  WorldReport& operator+=(const WorldReport& other);
};

// What a scan gave.
struct WorldScan {
  KeyRange range;
  bool reverse = false;
  Timestamp at;
  std::vector<std::pair<std::string, std::string>> rows;
};

class World {
 public:
  explicit World(const WorldOptions& options);
  ~World();

  // Operations, clients and faults; then none, until everything is settled; then all checks. Aborts
  // if anything is wrong.
  WorldReport Run();

  // Pieces, for scenarios that steer by themselves.
  Scheduler& scheduler() { return scheduler_; }
  SimNetwork& network() { return network_; }
  std::map<StoreId, std::unique_ptr<NodeStore>>& stores() { return stores_; }
  NodeStore& store(uint64_t id) { return *stores_.at(StoreId(id)); }
  std::vector<std::unique_ptr<SimClient>>& clients() { return clients_; }
  // The store that leads the controller, or a group; null if none does.
  NodeStore* Leader(GroupId group = shardctrler::kControllerGroup);
  // As the controller's leader knows it. Null if there is none.
  const shardctrler::State* state();
  void Elapse(Duration duration) { scheduler_.RunUntil(scheduler_.now() + duration); }
  // Until `condition` holds or `limit` has passed; whether it holds.
  bool Await(const std::function<bool()>& condition, Duration limit = std::chrono::seconds(20));
  // A store joins, at an address of its own; soon, or later under faults.
  void AddStore();
  // Has the controller's leader take a command, if there is one. `done` may come late or never.
  void Control(const shardctrler::Command& command,
               std::function<void(absl::StatusOr<shardctrler::Result>)> done = {});
  // The same, until it is accepted or refused. UNAVAILABLE if there is no leader for long.
  absl::StatusOr<shardctrler::Result> ControlNow(const shardctrler::Command& command);
  // Until the operation is over: how it ended.
  shardctrler::Phase AwaitOperation(OperationId id, Duration limit = std::chrono::seconds(30));
  void StartClients(int count);
  void StopClients();
  void Heal();
  // Nothing is open and the controller wants nothing, groups have leaders and their replicas agree.
  bool Settled();
  void Settle(Duration limit = std::chrono::seconds(120));
  // Histories, agreement between controller and groups, equal replicas.
  void Check();
  std::string Describe();
  const ShardOracle& oracle() const { return oracle_; }
  const FaultPointCoverage& coverage() const { return fault_points_.coverage(); }

 private:
  void DrawOptions();
  NodeStore& MakeStore(StoreId id, const std::string& address, uint64_t nonce);
  void Bootstrap();
  void AskToJoin(uint64_t nonce, Node node);
  void AfterEvent();
  void ScheduleFault();
  void StartLater(StoreId id);
  void CutSomething();
  void ScheduleOperation();
  void Operate();
  void ScheduleScan();
  void CheckAgreement(const shardctrler::State& state);
  void CheckReplicas(GroupId group, const shardctrler::Group& record);
  void ReadOn(const std::shared_ptr<service::ScanReader>& reader,
              const std::shared_ptr<WorldScan>& scan);
  void CheckScans();
  void ReadEverything();

  const WorldOptions options_;
  Scheduler scheduler_;
  SimNetwork network_;
  FaultPoints fault_points_;
  ShardOracle oracle_;
  NodeStoreOptions store_options_;
  double fault_rate_ = 1;
  bool faulting_ = false;
  bool working_ = false;  // operations and scans are begun
  std::map<StoreId, std::unique_ptr<NodeStore>> stores_;
  std::map<uint64_t, StoreId> joined_;  // by nonce; 0: on its way
  std::vector<std::unique_ptr<SimClient>> clients_;
  Random operation_random_;  // of their own, so that what is drawn for faults stays the same
  std::vector<WorldScan> scans_;
  WorldReport report_;
};

}  // namespace kvd::sim
