// A simulated disk for Raft logs: writes take time, complete in order, and what is not complete
// when the machine crashes is lost, but for a prefix that had reached the platter already.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "raft/log_recovery.h"
#include "raft/log_store.h"
#include "tests/sim/scheduler.h"

namespace kvd::sim {

struct DiskFaults {
  Duration sync_min = std::chrono::microseconds(200);
  Duration sync_max = milliseconds(3);
  double slow_chance = 0;  // of a sync taking up to a second
};

// What survives the machine, some of it perhaps damaged.
struct LogDisk {
  struct Group {
    raft::GroupRecord record;  // kept twice, as by the real store: never damaged alone
    std::map<Index, raft::Suspect> entries;
    std::set<Index> damaged;  // can't be read

    const raft::EntryPtr* Find(Index index) const;
  };
  std::map<GroupId, Group> groups;
  Duration slowed{};  // each sync takes so much longer

  void Apply(const raft::LogWrite& write);
};

class SimLogStore : public raft::LogStore {
 public:
  SimLogStore(SimLoop* loop, LogDisk* disk, const DiskFaults& faults)
      : loop_(loop), disk_(disk), faults_(faults) {}

  absl::StatusOr<std::vector<raft::GroupLog>> Load() override;
  void Write(Loop* loop, std::vector<raft::LogWrite> writes, Task done) override;
  bool TryWriteNow(const std::vector<raft::LogWrite>& writes) override;
  std::vector<raft::EntryPtr> Read(GroupId group, Index from, Index end,
                                   size_t bytes_max) const override;

  // The machine loses power: of the writes under way, the first `survivors` reach the disk.
  void Crash(Random& random);

 private:
  struct Pending {
    std::vector<raft::LogWrite> writes;
    Task done;
  };
  void Start();

  SimLoop* const loop_;
  LogDisk* const disk_;
  const DiskFaults faults_;
  std::deque<Pending> pending_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace kvd::sim
