// Gets room back while a disk is short of it: flushes the state, so that the log can be cut, drops
// files of what was cut, and compacts what deletes have left, a sorted file's range at a time, and
// then the log's own database. Each step is taken only if what it writes fits, in the reserve if
// need be. Lives on the loop; the work is done on a worker.
#pragma once

#include <functional>
#include <memory>

#include "raft/rocks_log_store.h"
#include "raft/runtime/loop.h"
#include "raft/runtime/worker.h"
#include "server/storage/disk_guard.h"
#include "server/storage/rocks_engine.h"

namespace kvd::server {

// Ends what a pass compacts, and what it goes on to; before its worker is waited for. Thread-safe.
void CancelCompactions(raft::RocksLogStore* log, storage::RocksEngine* engine);

class Reclaimer {
 public:
  // All given outlive the worker's jobs. Compactions leave more than `floor_bytes`, so that deletes
  // go on; if that is gone already, half of it.
  Reclaimer(Loop* loop, Worker* worker, raft::RocksLogStore* log, storage::RocksEngine* engine,
            storage::Disk* disk, uint64_t floor_bytes)
      : loop_(loop),
        worker_(worker),
        log_(log),
        engine_(engine),
        disk_(disk),
        floor_bytes_(floor_bytes) {}

  // Begins a pass, unless one is under way or the last one ended only a while ago.
  // From then on the databases compact nothing by themselves.
  void Want();
  // There is enough room: after a while they do again.
  void Rest();

 private:
  void Run(std::unique_ptr<Job> job);
  std::function<void()> WhenDone();

  Loop* const loop_;
  Worker* const worker_;
  raft::RocksLogStore* const log_;
  storage::RocksEngine* const engine_;
  storage::Disk* const disk_;
  const uint64_t floor_bytes_;
  bool paused_ = false;  // automatic compactions
  bool running_ = false;
  MonotonicTime wanted_ = kLongAgo;
  MonotonicTime began_ = kLongAgo;
  MonotonicTime next_ = kLongAgo;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::server
