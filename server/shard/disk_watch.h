// Looks at the store's disk ten times a second, and as often as so much was taken in that it
// matters; keeps the reserve, bounds compactions, and tells the host, which tells the other stores.
// Lives on the host's loop.
#pragma once

#include <functional>
#include <memory>

#include "raft/host.h"
#include "server/storage/disk_guard.h"

namespace kvd::shard {

class DiskWatch {
 public:
  // All given outlive it. `reclaim` is told at each look whether room is short, to get
  // some back.
  DiskWatch(Loop* loop, raft::Host* host, storage::Disk* disk, const storage::DiskMarks& marks,
            std::function<void(bool)> reclaim);
  ~DiskWatch();

  const storage::DiskGuard& guard() const { return guard_; }

 private:
  void Look();
  storage::DiskReading Read() const;

  Loop* const loop_;
  raft::Host* const host_;
  storage::Disk* const disk_;
  const std::function<void(bool)> reclaim_;
  storage::DiskGuard guard_;
  std::unique_ptr<Timer> timer_;
  bool taken_in_ = false;  // anything since it looked last
};

}  // namespace kvd::shard
