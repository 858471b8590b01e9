// A whole simulated cluster that looks after itself: a controller, groups that it makes, shards
// that are split, merged and moved while clients use them, stores that come, drain and crash, disks
// that are slow, full, damaged or lost. The invariant of design 7 is checked after every event,
// histories and the agreement of controller and groups at the end. Everything follows from the
// seed; some seeds are calm.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/fault_points.h"
#include "tests/sim/node_store.h"
#include "tests/sim/shard_oracle.h"
#include "tests/sim/workload.h"
#include "tests/sim/world_report.h"

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

// What a scan or a multi-get gave.
struct WorldRead {
  KeyRange range;
  std::vector<std::string> keys;  // of a multi-get; else empty
  bool reverse = false;
  uint64_t limit = 0;  // rows; 0: all
  MonotonicTime began;
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
  // What becomes of a store whose disk is lost: it is back at its address, empty, as `kvd --join`
  // on an empty directory, or knowing who it was; or another one comes elsewhere, and an operator
  // gives the lost one up, or nobody does until it was silent for long.
  enum class Loss { kBack, kBackKnowing, kGivenUp, kForgotten };
  // The store ends and everything on its disk is gone.
  void LoseDisk(StoreId id, Loss loss);
  // Whether the store may lose what it acknowledged: everybody has all of it, and each group that
  // has a replica there has three voters at least.
  bool CanSpare(const NodeStore& store);
  size_t StoresThere() const;  // whose disks are not lost
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
  // The replicas of each group hash their state at one index, by a replicated command, and get the
  // same. What has decayed unnoticed is found at the latest now, and rebuilt. Requires: Settled.
  void VerifyReplicas();
  // Histories, agreement between controller and groups, equal replicas.
  void Check();
  std::string Describe();
  const ShardOracle& oracle() const { return oracle_; }
  const FaultPointCoverage& coverage() const { return fault_points_.coverage(); }

 private:
  void DrawOptions();
  NodeStore& MakeStore(StoreId id, const std::string& address, uint64_t nonce);
  void Bootstrap();
  void Join(Node at, StoreId before, bool knows);
  void AskToJoin(uint64_t nonce);
  void AfterEvent();
  size_t StoresServing();  // and are not drained
  // Every group has three voters at least.
  bool Grown();
  NodeStore& AnyStore(Random& random);

  // world_faults.cc
  void ScheduleFault();
  void StartLater(StoreId id);
  void CutSomething();
  void ScheduleClock();
  void CheckLeases(NodeStore& store);

  // world_disks.cc
  void ScheduleDisk();
  void FillDisk(NodeStore& store);
  void ScheduleDamage();
  void DamageLog(NodeStore& store);
  void DamageTwoStates();
  void Verify(GroupId group, uint64_t verification);
  bool VerifyOnce();
  bool VerifyGroup(GroupId group);
  void CheckOthersKeepTheirs(NodeStore& leaving);

  // world_lost.cc
  void ScheduleLoss();
  bool Survives(StoreId without);
  void Insist(const shardctrler::Command& command, std::function<void()> done = {});
  void GiveUp(StoreId id);
  void GiveUpTheForgotten();

  // world_work.cc
  void ScheduleOperation();
  void Operate();
  void Spread();
  shardctrler::Command DrainOrBack();
  void ScheduleScan();
  void ReadOn(service::ScanReader* reader, const std::shared_ptr<WorldRead>& scan);

  // world_checks.cc and world_reads.cc
  void CheckAgreement(const shardctrler::State& state);
  void CheckReplicas(GroupId group, const shardctrler::Group& record);
  void CountOperations(const shardctrler::State& state);
  void CheckReads();
  void ReadEverything();

  const WorldOptions options_;
  Scheduler scheduler_;
  SimNetwork network_;
  FaultPoints fault_points_;
  ShardOracle oracle_;
  NodeStoreOptions store_options_;
  double fault_rate_ = 1;
  bool clocks_beyond_bound_ = false;
  bool crowded_ = false;  // has many shards
  bool faulting_ = false;
  bool working_ = false;  // operations and scans are begun
  std::map<StoreId, std::unique_ptr<NodeStore>> stores_;
  struct Joining {
    Node at;
    StoreId before;  // who was in its place; 0: nobody
    bool knows;      // who it was
    StoreId id;      // 0: on its way
  };
  std::map<uint64_t, Joining> joined_;  // by nonce
  std::vector<std::unique_ptr<SimClient>> clients_;
  // Of their own, so that what is drawn for one kind of fault leaves the others as they are.
  Random operation_random_;
  Random clock_random_;
  Random disk_random_;
  Random damage_random_;
  Random loss_random_;
  std::vector<StoreId> forgotten_;  // lost, and nobody has given them up
  std::vector<WorldRead> scans_;
  WorldReport report_;
};

}  // namespace kvd::sim
