// The logs of all groups of a store in one RocksDB instance (log_codec.h has the format). Writes
// that wait while a sync runs are written together and share the next one. Beside the database a
// side file (side_file.h) notes after each sync, and before acknowledging, what was synced: what is
// missing or damaged at the next start is told by it (log_recovery.h).
#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "raft/database_load.h"
#include "raft/log_codec.h"
#include "raft/log_store.h"
#include "raft/runtime/mutex.h"

namespace rocksdb {
class DB;
class Env;
class EventListener;
class SstFileManager;
class WriteBatch;
}  // namespace rocksdb

namespace kvd::raft {

class SideFile;

// Upper bounds, in seconds, of the classes that writes with their sync are counted in.
inline constexpr std::array<double, 12> kSyncSecondsBounds = {
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2};

// Of the database: up to three of these wait to be flushed, and a file of the log is allocated that
// large, and a tenth, ahead.
inline constexpr uint64_t kLogBufferBytes = 8 << 20;

// What bounds the database's compactions, and what is told of them; each may be null.
struct LogRoom {
  std::shared_ptr<rocksdb::SstFileManager> file_manager;
  std::shared_ptr<rocksdb::EventListener> listener;
};

struct LogStoreStats {
  uint64_t syncs = 0;
  double sync_seconds = 0;  // in all
  std::array<uint64_t, kSyncSecondsBounds.size() + 1>
      sync_classes{};  // the last: beyond all bounds
  uint64_t bytes = 0;  // handed to the database
};

// A log store's files, opened and read.
struct OpenedLog {
  std::shared_ptr<DatabaseLoad> load = std::make_shared<DatabaseLoad>();  // the database's
  std::unique_ptr<rocksdb::Env> env;                                      // the database's
  std::unique_ptr<rocksdb::DB> db;
  std::unique_ptr<SideFile> side_file;
  std::map<GroupId, GroupRecord> records;
  std::vector<GroupLog> logs;
  std::string report;  // what had to be mended, for the operator; empty if nothing
};

class RocksLogStore : public LogStore {
 public:
  // Opens or creates the database in `directory`. A torn tail is cut; a damaged database is
  // replaced by what can be read of it, and kept in `directory`.damaged. DATA_LOSS as for Load.
  // `on_fatal` is called, on any thread, when a write or sync failed, or a flush or compaction met
  // a full disk; it must not return.
  static absl::StatusOr<std::unique_ptr<RocksLogStore>> Open(
      const std::string& directory, std::function<void(const std::string&)> on_fatal,
      const LogRoom& room = {});
  // Waits for writes under way; their completions are dropped.
  ~RocksLogStore() override;

  // What Load will give.
  const std::vector<GroupLog>& opened() const { return loaded_; }
  // As found by Open. Once.
  absl::StatusOr<std::vector<GroupLog>> Load() override;
  // What Load will give; empty after it.
  const std::vector<GroupLog>& loaded() const { return loaded_; }
  void Write(Loop* loop, std::vector<LogWrite> writes, Task done) override;
  bool TryWriteNow(const std::vector<LogWrite>& writes) override;
  std::vector<EntryPtr> Read(GroupId group, Index from, Index end, size_t bytes_max) const override;

  // Writes and syncs before it returns. Requires: no other write is under way.
  void WriteNow(const std::vector<LogWrite>& writes);

  // What opening had to mend, for the operator; empty if nothing.
  const std::string& opening_report() const { return opening_report_; }

  // Checks records against their checksums, from `cursor` (empty: the first) on, about `bytes_max`
  // of them; tells `damaged` what is wrong with one. Moves the cursor, and gives the bytes read; 0:
  // nothing is left, or can be read. Thread-safe.
  uint64_t CheckRecords(std::string* cursor, size_t bytes_max,
                        const std::function<void(std::string)>& damaged) const;

  // Removes the sorted files that hold nothing but entries that were cut off: no byte is written
  // for it. Thread-safe.
  void DropCutFiles();

  // Thread-safe.
  LogStoreStats stats() const;
  uint64_t DiskBytes() const;
  rocksdb::DB* db() const { return db_.get(); }
  const DatabaseLoad& load() const { return *load_; }

 private:
  struct Pending {
    Loop* loop;
    std::vector<LogWrite> writes;
    Task done;
  };

  RocksLogStore(OpenedLog opened, std::function<void(const std::string&)> on_fatal);
  void WriterThread();
  // Requires: the caller has set writing_; it is cleared.
  void WriteHere(const std::vector<LogWrite>& writes);
  // Requires: the caller has set writing_. Returns the seconds that it took.
  double WriteAndSync(const std::vector<const LogWrite*>& writes);
  void AddTo(rocksdb::WriteBatch& batch, const LogWrite& write);
  void AddEntries(rocksdb::WriteBatch& batch, const LogWrite& write, GroupRecord& stored);

  const std::unique_ptr<rocksdb::Env> env_;
  const std::unique_ptr<rocksdb::DB> db_;
  const std::shared_ptr<DatabaseLoad> load_;
  const std::unique_ptr<SideFile> side_file_;
  const std::function<void(const std::string&)> on_fatal_;
  const std::string opening_report_;

  // What is stored of each group, so that a write needs no read. Belongs to who has set writing_.
  std::map<GroupId, GroupRecord> stored_;
  std::vector<GroupLog> loaded_;  // until Load

  mutable Mutex mutex_;
  ConditionVariable wake_;
  std::deque<Pending> pending_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;  // a thread writes and syncs
  std::chrono::steady_clock::time_point slow_until_ ABSL_GUARDED_BY(mutex_){};
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  LogStoreStats stats_ ABSL_GUARDED_BY(mutex_);
  std::map<GroupId, Index> starts_ ABSL_GUARDED_BY(mutex_);  // durable: logs are cut up to here
  std::thread writer_;
};

}  // namespace kvd::raft
