// What compactions of a store's databases may write, and have yet to: RocksDB asks before it begins
// one, and tells what it reads and has written. Shared by the databases. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "raft/runtime/mutex.h"

namespace rocksdb {
class EventListener;
class SstFileManager;
}  // namespace rocksdb

namespace kvd::storage {

class CompactionRoom {
 public:
  CompactionRoom();
  ~CompactionRoom();

  // From now on a compaction begins only if its output, and that of those under way, fits in so
  // many bytes.
  void Limit(uint64_t bytes);
  // What those under way have yet to write, at most: as much as they read.
  uint64_t pending_bytes() const { return ledger_->Sum(); }

  // Of a database's options.
  const std::shared_ptr<rocksdb::SstFileManager>& file_manager() const { return file_manager_; }
  const std::shared_ptr<rocksdb::EventListener>& listener() const { return listener_; }

 private:
  class Ledger {
   public:
    using Job = std::pair<std::string, int>;  // database and number
    void Begin(const Job& job, uint64_t bytes);
    void Wrote(const Job& job, uint64_t bytes);
    void End(const Job& job);
    uint64_t Sum() const;

   private:
    mutable Mutex mutex_;
    std::map<Job, uint64_t> jobs_ ABSL_GUARDED_BY(mutex_);
  };
  class Listener;

  // Outlived by the databases' use of the listener.
  const std::shared_ptr<Ledger> ledger_ = std::make_shared<Ledger>();
  const std::shared_ptr<rocksdb::SstFileManager> file_manager_;
  const std::shared_ptr<rocksdb::EventListener> listener_;
};

}  // namespace kvd::storage
