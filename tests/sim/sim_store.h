// One simulated machine: what is on its disks, and the kvd process that runs on it now and then.
// The process is put together from the same components as the real one.
#pragma once

#include <memory>
#include <utility>

#include "raft/host.h"
#include "server/node/replica_change.h"
#include "server/service/dispatcher.h"
#include "server/shard/data_group.h"
#include "server/shard/disk_watch.h"
#include "server/storage/memory_engine.h"
#include "tests/sim/lone_router.h"
#include "tests/sim/sim_log_store.h"
#include "tests/sim/sim_network.h"

namespace kvd::sim {

inline constexpr GroupId kGroup{1};
inline constexpr ClusterId kCluster{77};

struct StoreOptions {
  raft::HostOptions host;
  shard::DataGroupOptions group;
  DiskFaults disk;
  double clock_rate = 1.0;
  int64_t wall_offset_ms = 0;
};

// A part of what is stored decays; false if there is nothing that could.
bool DamageState(storage::MemoryEngine* engine, Random& random);

// Runs the slices of its jobs as events of the loop.
class SimWorker : public Worker {
 public:
  explicit SimWorker(Loop* loop) : loop_(loop) {}
  void Run(std::unique_ptr<Job> job) override;

 private:
  Loop* const loop_;
};

// A disk of which only its free bytes matter.
class SimDisk : public storage::Disk {
 public:
  static constexpr storage::DiskMarks kMarks{500'000, 300'000, 200'000};
  static constexpr uint64_t kBytes = 1'000'000'000;

  uint64_t FreeBytes() const override { return free_; }
  uint64_t ReserveBytes() const override { return reserve_; }
  void ReleaseReserve() override { free_ += std::exchange(reserve_, 0); }
  bool CreateReserve(uint64_t bytes) override;
  // Other programs fill the disk, or make room.
  void SetFreeBytes(uint64_t bytes) { free_ = bytes; }

 private:
  uint64_t free_ = kBytes;
  uint64_t reserve_ = 0;
};

// A running process; destroyed when it crashes.
struct Process {
  std::unique_ptr<SimLoop> loop;
  std::unique_ptr<SimTransport> transport;
  std::unique_ptr<SimCaller> caller;
  std::unique_ptr<SimLogStore> log_store;
  std::unique_ptr<raft::Host> host;
  std::unique_ptr<SimWorker> worker;
  std::unique_ptr<shard::Verifier> verifier;
  std::unique_ptr<shard::Rebuilder> rebuilder;
  std::unique_ptr<shard::DiskWatch> disk_watch;
  std::unique_ptr<shard::DataGroup> group;
  std::unique_ptr<LoneRouter> router;
  std::unique_ptr<service::Dispatcher> dispatcher;
  std::unique_ptr<node::ReplicaChange> change;
  std::unique_ptr<Timer> flush_timer;

  ~Process();
};

class SimStore {
 public:
  SimStore(Scheduler* scheduler, SimNetwork* network, StoreId id, const StoreOptions& options);
  ~SimStore();

  // Puts a new replica on the disk, as bootstrap or join do.
  void Format(ReplicaId replica, const raft::Configuration& configuration);
  void Start();
  // The process ends at once, and what was not synced is gone.
  void Crash();
  // Crashes; what the group's state was kept in is gone, the log is not.
  void LoseState();
  // A part of the state decays under the running process, or under none; false if there is nothing
  // that could. It finds out when it reads there.
  bool DamageState(Random& random);
  // Nothing of the state on the disk has decayed unnoticed, or waits to be given up.
  // What was found damaged is given up even if it has been collected since.
  bool StateIsWhole() const {
    bool found = running() && !process_->rebuilder->damage().empty();
    return engine_.damaged().empty() && !condemned_ && !found;
  }
  uint64_t rebuilds() const { return rebuilds_; }
  // Whether it gave its state up by itself and has none yet.
  bool rebuilding() const {
    return rebuilding_ && !(running() && !condemned_ && !core().NeedsState());
  }
  // The disks are gone too: this store is no more, see Cluster::LoseDisk.
  void Lose();
  // What is stored at these places of the log can't be read any more; a running process finds out
  // when it reads them.
  void DamageLog(const std::set<Index>& places);
  const LogDisk::Group& log_on_disk() const { return log_disk_.groups.at(kGroup); }
  SimDisk& disk() { return disk_; }
  bool running() const { return process_ != nullptr; }
  bool formatted() const { return !log_disk_.groups.empty(); }

  StoreId id() const { return id_; }
  Process& process() { return *process_; }
  const raft::Core& core() const { return process_->host->core(kGroup); }
  shard::DataGroup& group() { return *process_->group; }
  storage::MemoryEngine& engine() { return engine_; }

  // Set before Start: hooks of the checkers.
  std::function<void(SimStore&, const raft::Entry&, const shard::CommandResult&)> on_applied;
  std::function<void(SimStore&)> after_turn;
  std::function<void(SimStore&)> on_crashed;    // by itself, at a fault point
  std::function<void(SimStore&)> on_going_out;  // it gives its state up
  uint64_t starts() const { return starts_; }
  // End of its log when it crashed last.
  Index last_at_crash() const { return last_at_crash_; }
  // Down, and without the state that it had.
  bool lost_state() const { return lost_state_; }

 private:
  void OpenState();
  void AnswerNetwork();
  void ScheduleFlush();

  Scheduler* const scheduler_;
  SimNetwork* const network_;
  const StoreId id_;
  const StoreOptions options_;
  LogDisk log_disk_;
  storage::MemoryEngine engine_;
  SimDisk disk_;
  std::unique_ptr<Process> process_;
  uint64_t starts_ = 0;
  Index last_at_crash_;
  bool lost_state_ = false;
  // On the disk: the state is to be given up at the next start.
  bool condemned_ = false;
  uint64_t rebuilds_ = 0;
  bool rebuilding_ = false;
};

}  // namespace kvd::sim
