// How far a database's flushes and compactions lag behind what is written. Asked by loops all the
// time, so it takes none of the database's locks while it need not: a background thread that holds
// one may wait for a processor.
#pragma once

#include <rocksdb/listener.h>

#include <atomic>
#include <cstdint>

namespace rocksdb {
class DB;
}  // namespace rocksdb

namespace kvd::raft {

// Full buffers from which on nothing more is written, but by threads that may wait: one is being
// flushed, the other is next, and a write that finds the buffer full makes it a third one. Fewer
// than a database's max_write_buffer_number.
inline constexpr uint64_t kFullBuffersMax = 2;

// Of the database whose listener this is. Thread-safe, but for TooManyFullBuffers.
class DatabaseLoad : public rocksdb::EventListener {
 public:
  // Whether kFullBuffersMax of them wait to be flushed. By one thread at a time.
  bool TooManyFullBuffers(rocksdb::DB* db);

  // As of when a flush or compaction ended last: files that no compaction has taken in yet, and
  // what compactions have to read and write until all levels are as they should be, about.
  uint64_t flushed_files() const { return flushed_files_; }
  uint64_t pending_compaction_bytes() const { return pending_compaction_bytes_; }
  // After the database was opened.
  void Refresh(rocksdb::DB* db);

  void OnMemTableSealed(const rocksdb::MemTableInfo& /*info*/) override { ++sealed_; }
  void OnFlushCompleted(rocksdb::DB* db, const rocksdb::FlushJobInfo& /*info*/) override {
    Refresh(db);
  }
  void OnCompactionCompleted(rocksdb::DB* db, const rocksdb::CompactionJobInfo& /*info*/) override {
    Refresh(db);
  }

 private:
  std::atomic<uint64_t> flushed_files_{0};
  std::atomic<uint64_t> pending_compaction_bytes_{0};
  std::atomic<uint64_t> sealed_{0};  // buffers, since the database was opened
  // How many waited when that was looked up last, and how many were sealed by then.
  uint64_t waited_ = 0;
  uint64_t sealed_then_ = 0;
};

}  // namespace kvd::raft
