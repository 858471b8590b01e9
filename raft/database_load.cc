#include "raft/database_load.h"

#include <rocksdb/db.h>

#include <string>

#include "absl/strings/numbers.h"
#include "proto/check.h"

namespace kvd::raft {

bool DatabaseLoad::TooManyFullBuffers(rocksdb::DB* db) {
  uint64_t sealed = sealed_;
  if (waited_ + (sealed - sealed_then_) < kFullBuffersMax) return false;
  // One that is sealed meanwhile counts twice until the next look.
  sealed_then_ = sealed;
  KVD_CHECK(db->GetIntProperty(rocksdb::DB::Properties::kNumImmutableMemTable, &waited_));
  return waited_ >= kFullBuffersMax;
}

void DatabaseLoad::Refresh(rocksdb::DB* db) {
  // RocksDB tells it as text only: as a number it does not know the property.
  std::string text;
  uint64_t files = 0;
  KVD_CHECK(db->GetProperty("rocksdb.num-files-at-level0", &text));
  KVD_CHECK(absl::SimpleAtoi(text, &files));
  flushed_files_ = files;
  uint64_t bytes = 0;
  KVD_CHECK(db->GetIntProperty(rocksdb::DB::Properties::kEstimatePendingCompactionBytes, &bytes));
  pending_compaction_bytes_ = bytes;
}

}  // namespace kvd::raft
