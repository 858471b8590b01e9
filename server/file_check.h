// Checks what a running store has on its disk, against RocksDB's checksums and the log's own: every
// entry of the Raft log, every sorted file of both databases, every log file of the Raft log.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "raft/rocks_log_store.h"
#include "server/shard/verifier.h"
#include "server/storage/rocks_engine.h"

namespace rocksdb {
class TransactionLogIterator;
}  // namespace rocksdb

namespace kvd::server {

class FileCheck : public shard::StorageCheck {
 public:
  // Both outlive the check.
  FileCheck(const raft::RocksLogStore* log, const storage::RocksEngine* engine);
  ~FileCheck() override;

  // Entries first, then the log files, then the sorted files, one in a slice.
  bool Step(shard::StorageTotals* out) override;

 private:
  struct File {
    rocksdb::DB* db;
    std::string path;
  };

  bool StepEntries(shard::StorageTotals* out);
  // The log files hold every batch up to the last one that was written when this began.
  bool StepLogFiles(shard::StorageTotals* out);
  void ListSorted(rocksdb::DB* db);
  void CheckSorted(const File& file, shard::StorageTotals* out);

  const raft::RocksLogStore* const log_;
  const storage::RocksEngine* const engine_;
  enum class Phase { kEntries, kLogFiles, kSorted } phase_ = Phase::kEntries;
  std::string cursor_;
  std::unique_ptr<rocksdb::TransactionLogIterator> batches_;
  uint64_t last_wanted_ = 0;  // sequence number
  uint64_t last_seen_ = 0;
  int tries_ = 0;
  std::deque<File> files_;
};

}  // namespace kvd::server
