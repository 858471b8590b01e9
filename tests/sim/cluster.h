// A whole simulated cluster under faults, in two phases as TigerBeetle's simulator has them: safety
// (anything goes, invariants hold), then liveness (faults stop; within ten seconds a put and a get
// succeed, in a third of the seeds with a minority of the voters still down or cut off; then all
// replicas must converge). Everything follows from the seed.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/fault_points.h"
#include "tests/sim/invariants.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/workload.h"

namespace kvd::sim {

struct ClusterOptions {
  uint64_t seed = 1;
  int voters = 0;  // 0: 3 or 5, by the seed
  Duration duration = std::chrono::seconds(10);
  bool faults = true;
  uint64_t log_entries_kept = 0;  // 0: by the seed
  int keys = 0;                   // that clients use; 0: the workload's default
};

struct Report {
  uint64_t events = 0;
  uint64_t operations = 0;
  uint64_t unknown = 0;
  uint64_t crashes = 0;
  uint64_t cuts = 0;
  uint64_t disks_filled = 0;
  uint64_t membership_changes = 0;
  uint64_t snapshots = 0;
  uint64_t states_lost = 0;
  uint64_t logs_damaged = 0;
  uint64_t states_damaged = 0;
  uint64_t rebuilds = 0;
  uint64_t disks_lost = 0;
  uint64_t pauses = 0;
  uint64_t transfers = 0;
  uint64_t clock_jumps = 0;
  uint64_t clocks_adrift = 0;  // 1: further than leases allow for
  uint64_t apply_stalls = 0;
  uint64_t messages_lost = 0;
  uint64_t minorities_broken = 0;  // while the others had to serve
  uint64_t elections = 0;
  uint64_t cached_reads = 0;  // of the checks' own reads, by the row cache
  Index applied;
  uint32_t fingerprint = 0;  // equal for equal runs
  std::string ToString() const;
};

// What is done to clusters, and comes of it: over many seeds each must happen.
struct FaultCounter {
  const char* name;
  uint64_t Report::*count;
};
inline constexpr FaultCounter kFaultCounters[] = {
    {"crashes", &Report::crashes},
    {"cuts", &Report::cuts},
    {"messages lost", &Report::messages_lost},
    {"pauses", &Report::pauses},
    {"full disks", &Report::disks_filled},
    {"transfers", &Report::transfers},
    {"membership changes", &Report::membership_changes},
    {"snapshots installed", &Report::snapshots},
    {"states lost", &Report::states_lost},
    {"states damaged", &Report::states_damaged},
    {"states rebuilt", &Report::rebuilds},
    {"logs damaged", &Report::logs_damaged},
    {"disks lost", &Report::disks_lost},
    {"clock jumps", &Report::clock_jumps},
    {"clocks adrift", &Report::clocks_adrift},
    {"apply stalls", &Report::apply_stalls},
    {"minorities left broken", &Report::minorities_broken},
};

class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options);
  ~Cluster();

  // Both phases and all checks. Aborts if anything is wrong.
  Report Run();

  // Pieces, for scenarios that steer by themselves.
  Scheduler& scheduler() { return scheduler_; }
  SimNetwork& network() { return network_; }
  std::map<StoreId, std::unique_ptr<SimStore>>& stores() { return stores_; }
  SimStore& store(uint64_t id) { return *stores_.at(StoreId(id)); }
  std::vector<std::unique_ptr<SimClient>>& clients() { return clients_; }
  const FaultPointCoverage& coverage() const { return fault_points_.coverage(); }
  SimStore* Leader();
  void Elapse(Duration duration) { scheduler_.RunUntil(scheduler_.now() + duration); }
  // Until `condition` holds or `limit` has passed; whether it holds.
  bool Await(const std::function<bool()>& condition, Duration limit = std::chrono::seconds(10));
  void Partition(const std::vector<uint64_t>& side);
  // Adds a fresh store and makes it a voter, unless faults prevent it.
  void AddStore();
  // The store ends and its disks are gone; some time later it is back at the same address, empty,
  // and asks to be let in until it is.
  void LoseDisk(StoreId id);
  // Whether no replica that was lost is a member any more.
  bool LossesMended();
  void StartClients(int count);
  void CheckHistories();
  // Reads every key that was written once more, so that a lost write at a history's end is seen
  // too.
  void ReadEverything();
  void Heal();
  // From now on a put and a get succeed within ten seconds.
  void MustServe();
  // The state of all stores, for a person.
  std::string Describe();
  void Converge();
  // All members hash their state at one index, by a replicated command, and get the same. What has
  // decayed unnoticed is found at the latest now, and rebuilt.
  void VerifyReplicas();

 private:
  void DrawOptions();
  bool VerifyOnce();
  void MakeStore(StoreId id);
  void Bootstrap();
  void ScheduleFault();
  void InjectFault();
  void CrashOne();
  void DamageOne();
  void ScheduleDamage();
  void DamageAState();
  void DamageTwoStates();
  void CheckOthersKeepTheirs(const SimStore& leaving);
  bool AllHealthy();
  void StartLater(StoreId id);
  void CutSomething();
  void FillDisk();
  void ChangeMembers();
  void ScheduleClockJump();
  void ScheduleStall();
  // Of voters who all know the same members and lack nothing; false if they are not like that.
  bool BreakMinority();
  // cluster_lost.cc
  void ScheduleLoss();
  void AskToJoin(size_t loss);
  void Allot(const std::function<void(const raft::Member&)>& allotted);
  void Change(SimStore& leader, const std::vector<raft::Member>& added,
              const std::vector<ReplicaId>& removed);

  const ClusterOptions options_;
  Scheduler scheduler_;
  SimNetwork network_;
  FaultPoints fault_points_;
  Invariants invariants_;
  StoreOptions store_options_;
  int voters_ = 3;
  double fault_rate_ = 1;
  bool membership_faults_ = true;
  bool clocks_beyond_bound_ = false;
  bool faulting_ = false;
  // Of decaying states alone, so that all else of a seed stays as it was without.
  Random damage_random_;
  std::map<StoreId, std::unique_ptr<SimStore>> stores_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  // A store that lost its disk, and who it is since.
  struct Loss {
    StoreId lost;
    ReplicaId replica;
    std::string address;
    StoreId successor;    // 0: has no id yet
    bool over = false;    // it was lost again
    bool joined = false;  // it has taken its place, for good
  };
  std::vector<Loss> losses_;
  // Of their own, so that what is drawn for other faults stays the same.
  Random loss_random_;
  Random clock_random_;
  Random stall_random_;
  Random minority_random_;
  std::set<StoreId> broken_;  // they stay as they are
  StoreId next_store_;
  ReplicaId next_replica_;
  OperationId next_operation_;
  Report report_;
};

}  // namespace kvd::sim
