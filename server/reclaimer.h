// Gets room back while a disk is short of it: flushes the state, so that the log can be cut, compacts
// what deletes have left, a sorted file's range at a time, and then the log's own database. Each step
// is taken only if what it writes fits. Lives on the loop; the work is done on a worker.
#pragma once

#include <memory>

#include "raft/rocks_log_store.h"
#include "raft/runtime/loop.h"
#include "raft/runtime/worker.h"
#include "server/storage/disk_guard.h"
#include "server/storage/rocks_engine.h"

namespace kvd::server {

class Reclaimer {
 public:
  // All given outlive the worker's jobs. Steps leave `margin_bytes` free.
  Reclaimer(Loop* loop, Worker* worker, raft::RocksLogStore* log, storage::RocksEngine* engine,
            const storage::Disk* disk, uint64_t margin_bytes)
      : loop_(loop), worker_(worker), log_(log), engine_(engine), disk_(disk), margin_bytes_(margin_bytes) {}

  // Begins a pass, unless one is under way or the last one ended only a while ago.
  void Want();

 private:
  Loop* const loop_;
  Worker* const worker_;
  raft::RocksLogStore* const log_;
  storage::RocksEngine* const engine_;
  const storage::Disk* const disk_;
  const uint64_t margin_bytes_;
  bool running_ = false;
  MonotonicTime began_ = kLongAgo;
  MonotonicTime next_ = kLongAgo;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::server
