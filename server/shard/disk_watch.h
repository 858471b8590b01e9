// Looks at the store's disk ten times a second, keeps the reserve, and tells the host, which tells the
// other stores. Lives on the host's loop.
#pragma once

#include <functional>
#include <memory>

#include "raft/host.h"
#include "server/storage/disk_guard.h"

namespace kvd::shard {

class DiskWatch {
 public:
  // All given outlive it. `reclaim` is called at each look while room is short, to get some back.
  DiskWatch(Loop* loop, raft::Host* host, storage::Disk* disk, const storage::DiskMarks& marks,
            std::function<void()> reclaim);

  const storage::DiskGuard& guard() const { return guard_; }
  // Ends looking: the host is about to end.
  void Stop() { timer_.reset(); }

  // Told when the state has changed.
  std::function<void(const storage::DiskGuard&)> on_change;

 private:
  void Look();

  Loop* const loop_;
  raft::Host* const host_;
  storage::Disk* const disk_;
  const std::function<void()> reclaim_;
  storage::DiskGuard guard_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace kvd::shard
