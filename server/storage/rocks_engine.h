// The engine on RocksDB, without a WAL: the Raft log replays what was not flushed. Point reads go
// through a bloom filter over whole MVCC prefixes; compactions drop what the safe point allows.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "proto/timestamp.h"
#include "raft/database_load.h"
#include "server/storage/compaction_room.h"
#include "server/storage/engine.h"

namespace rocksdb {
class Env;
class DB;
class Iterator;
class Cache;
}  // namespace rocksdb

namespace kvd::storage {

struct RocksEngineOptions {
  size_t block_cache_bytes = 256 << 20;
  size_t write_buffer_bytes = 64 << 20;
  // Reads the durable safe point of a group from its meta record; used by compactions, on any
  // thread.
  std::function<Timestamp(const Engine&, GroupId)> safe_point;
  // Of sorted files, staged ones too: with how much room a compaction can do something.
  size_t file_bytes = 64 << 20;
  // Bounds compactions; may be null. Outlives the engine.
  const CompactionRoom* compaction_room = nullptr;
  // Told, on any thread, that a flush or compaction found the disk full: nothing is flushed from
  // there.
  std::function<void(const std::string&)> on_full_disk;
  // Told, on any thread, that a write or sync failed for another reason: what is on the disk can no
  // longer be known.
  std::function<void(const std::string&)> on_failed_write;
};

class RocksEngine : public Engine {
 public:
  // DATA_LOSS if what is there is damaged.
  static absl::StatusOr<std::unique_ptr<RocksEngine>> Open(const std::string& directory,
                                                           const RocksEngineOptions& options);
  ~RocksEngine() override;

  std::unique_ptr<Iterator> NewIterator(const IterateOptions& options) const override;
  absl::StatusOr<std::optional<std::string>> Get(std::string_view key) const override;
  std::unique_ptr<WriteBatch> NewBatch() override;
  bool WouldStall() override { return load_->TooManyFullBuffers(db_.get()); }
  absl::Status Write(WriteBatch& batch) override;
  std::unique_ptr<View> Snapshot() override;
  absl::StatusOr<std::optional<std::string>> GetPersisted(std::string_view key) const override;
  absl::Status Flush() override;
  absl::StatusOr<std::unique_ptr<Staging>> NewStaging(std::string_view begin,
                                                      std::string_view end) override;
  absl::Status Ingest(std::unique_ptr<Staging> staging) override;
  uint64_t DiskBytes() const override;
  uint64_t ApproximateBytes(std::string_view begin, std::string_view end) const override;

  // Gives up the kept iterator: it holds files that compactions have replaced. On the owning loop.
  void ReleaseFiles();

  // Compacts everything, so that all garbage below the safe points goes. Blocks.
  absl::Status CompactAll();
  // A RocksDB property as a number; 0 if unknown. Thread-safe.
  uint64_t Property(const std::string& name) const;
  rocksdb::DB* db() const { return db_.get(); }
  const raft::DatabaseLoad& load() const { return *load_; }

 private:
  class FilterFactory;

  // So many writes without a look-up end the life of the kept iterator.
  static constexpr int kWritesWithoutLookUpMax = 64;

  RocksEngine(std::string directory, size_t file_bytes);
  std::unique_ptr<Iterator> NewPrefixIterator(const IterateOptions& options) const;
  absl::Status MakeWay(std::string_view begin, std::string_view end);

  const std::string directory_;
  const size_t file_bytes_;
  std::shared_ptr<FilterFactory> filter_factory_;
  std::unique_ptr<rocksdb::Env> env_;  // null: the usual one
  const std::shared_ptr<raft::DatabaseLoad> load_ = std::make_shared<raft::DatabaseLoad>();
  std::unique_ptr<rocksdb::DB> db_;
  // Kept for the next look-up of one key, and how often was written since. Of the owning loop.
  mutable std::unique_ptr<rocksdb::Iterator> look_up_;
  mutable int writes_since_look_up_ = 0;
  uint64_t next_staging_ = 1;
};

}  // namespace kvd::storage
