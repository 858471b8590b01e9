#include "server/storage/rocks_engine.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <atomic>
#include <filesystem>

#include "proto/check.h"
#include "raft/buffer_size.h"
#include "raft/spare_time.h"
#include "raft/watched_files.h"
#include "server/storage/rocks_adapters.h"
#include "server/storage/rocks_staging.h"
#include "server/storage/tree_memtable.h"

namespace kvd::storage {
namespace {

// RocksDB would take it for a new database and remove what is there.
bool LacksBeginning(const std::string& directory) {
  std::error_code error;
  if (std::filesystem::exists(directory + "/CURRENT", error)) return false;
  for (const auto& file : std::filesystem::directory_iterator(directory, error)) {
    if (file.path().extension() == ".sst") return true;
  }
  return false;
}

}  // namespace

class RocksEngine::FilterFactory : public rocksdb::CompactionFilterFactory {
 public:
  explicit FilterFactory(RocksEngineOptions options) : options_(std::move(options)) {}
  // From now on safe points are read from it. Outlives the compactions.
  void Use(const RocksEngine* engine) { engine_.store(engine, std::memory_order_release); }
  const char* Name() const override { return "kvd.GcFilterFactory"; }
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& context) override {
    const RocksEngine* engine = engine_.load(std::memory_order_acquire);
    if (!options_.safe_point || engine == nullptr) return nullptr;
    auto safe_point = [this, engine](GroupId group) { return options_.safe_point(*engine, group); };
    return std::make_unique<RocksGcFilter>(GcFilter(safe_point, context.is_full_compaction));
  }

 private:
  const RocksEngineOptions options_;
  // Null while the database opens: its compactions begin before that is done.
  std::atomic<const RocksEngine*> engine_ = nullptr;
};

absl::StatusOr<std::unique_ptr<RocksEngine>> RocksEngine::Open(const std::string& directory,
                                                               const RocksEngineOptions& options) {
  std::unique_ptr<RocksEngine> engine(new RocksEngine(directory, options.file_bytes));
  engine->filter_factory_ = std::make_shared<FilterFactory>(options);
  rocksdb::Options rocks;
  rocks.create_if_missing = true;
  if (options.on_failed_write) {
    engine->env_ = rocksdb::NewCompositeEnv(
        raft::WatchWrites(rocksdb::FileSystem::Default(), options.on_failed_write));
    rocks.env = engine->env_.get();
  }
  rocks.max_bgerror_resume_count = 0;
  rocks.paranoid_checks = true;
  rocks.write_buffer_size = raft::StaggeredBufferBytes(options.write_buffer_bytes);
  // Two wait, one takes in what is written (database_load.h). From four that wait on RocksDB would
  // slow writes down.
  rocks.max_write_buffer_number = 5;
  rocks.listeners.push_back(engine->load_);
  rocks.target_file_size_base = options.file_bytes;
  rocks.max_background_jobs = 2;
  rocks.avoid_unnecessary_blocking_io = true;  // a loop's reads remove no files
  // Where compactions lag, data is refused at the leader (disk_guard.h) long before RocksDB holds
  // up the loop; and what makes room, where they have none, is not slowed down.
  rocks.level0_slowdown_writes_trigger = 200;
  rocks.level0_stop_writes_trigger = 400;
  rocks.level_compaction_dynamic_level_bytes = true;
  rocks.compression = rocksdb::kLZ4Compression;
  rocks.keep_log_file_num = 4;
  rocks.max_log_file_size = 1 << 20;
  rocks.max_open_files = 1024;
  rocks.bytes_per_sync = 1 << 20;
  rocks.prefix_extractor = std::make_shared<MvccPrefix>();
  rocks.memtable_factory = NewTreeMemtableFactory();
  rocks.allow_concurrent_memtable_write = false;  // it has one writer, the loop
  rocks.memtable_prefix_bloom_size_ratio = 0.05;
  rocks.compaction_filter_factory = engine->filter_factory_;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.whole_key_filtering = false;
  table.format_version = 5;
  rocks.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  if (LacksBeginning(directory)) {
    return absl::DataLossError(absl::StrCat("storage: ", directory, "/CURRENT is missing"));
  }
  if (options.on_full_disk) {
    rocks.listeners.push_back(std::make_shared<FullDiskListener>(options.on_full_disk));
  }
  if (options.compaction_room != nullptr) {
    rocks.sst_file_manager = options.compaction_room->file_manager();
    rocks.listeners.push_back(options.compaction_room->listener());
  }
  if (auto spare_time = raft::NewSpareTimeListener())
    rocks.listeners.push_back(std::move(spare_time));
  rocksdb::DB* raw = nullptr;
  rocksdb::Status opened = rocksdb::DB::Open(rocks, directory, &raw);
  if (!opened.ok()) return ConvertOpen(opened);
  engine->db_.reset(raw);
  engine->load_->Refresh(raw);
  engine->filter_factory_->Use(engine.get());
  // What an interrupted snapshot left.
  std::error_code ignored;
  std::filesystem::remove_all(directory + "/staged", ignored);
  std::filesystem::create_directory(directory + "/staged", ignored);
  return engine;
}

RocksEngine::RocksEngine(std::string directory, size_t file_bytes)
    : directory_(std::move(directory)), file_bytes_(file_bytes) {}

RocksEngine::~RocksEngine() {
  raft::Hurry hurry;
  look_up_.reset();
  if (db_ != nullptr) db_->Close();
}

// The kept iterator holds the memtables and files of its time: brought up to date when it is used,
// and given up when writes go on without it.
std::unique_ptr<Iterator> RocksEngine::NewPrefixIterator(const IterateOptions& options) const {
  writes_since_look_up_ = 0;
  if (look_up_ == nullptr || !look_up_->Refresh().ok()) {
    rocksdb::ReadOptions read;
    read.prefix_same_as_start = true;
    look_up_.reset(db_->NewIterator(read));
  }
  return std::make_unique<PrefixIterator>(options, std::move(look_up_), &look_up_);
}

std::unique_ptr<Iterator> RocksEngine::NewIterator(const IterateOptions& options) const {
  if (options.one_prefix && options.fill_cache) return NewPrefixIterator(options);
  return std::make_unique<RocksIterator>(db_.get(), nullptr, options);
}

absl::StatusOr<std::optional<std::string>> RocksEngine::Get(std::string_view key) const {
  return GetWith(db_.get(), rocksdb::ReadOptions(), key);
}

std::unique_ptr<WriteBatch> RocksEngine::NewBatch() { return std::make_unique<RocksBatch>(); }

absl::Status RocksEngine::Write(WriteBatch& batch) {
  if (++writes_since_look_up_ > kWritesWithoutLookUpMax) look_up_.reset();
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return Convert(db_->Write(options, &static_cast<RocksBatch&>(batch).batch));
}

std::unique_ptr<View> RocksEngine::Snapshot() { return std::make_unique<RocksView>(db_.get()); }

absl::StatusOr<std::optional<std::string>> RocksEngine::GetPersisted(std::string_view key) const {
  rocksdb::ReadOptions options;
  options.read_tier = rocksdb::kPersistedTier;
  return GetWith(db_.get(), options, key);
}

absl::Status RocksEngine::Flush() {
  raft::Hurry hurry;
  look_up_.reset();
  return Convert(db_->Flush(rocksdb::FlushOptions()));
}

absl::StatusOr<std::unique_ptr<Staging>> RocksEngine::NewStaging(std::string_view begin,
                                                                 std::string_view end) {
  std::string path = absl::StrCat(directory_, "/staged/", next_staging_++);
  return std::make_unique<RocksStaging>(db_->GetOptions(), file_bytes_, path, begin, end);
}

// Where anything lay below them, new files would all go into level 0: each look-up opens every one
// there, and from so many on RocksDB holds writes up. In an empty range they go to the bottom.
absl::Status RocksEngine::MakeWay(std::string_view begin, std::string_view end) {
  RocksBatch batch;
  batch.DeleteRange(begin, end);
  absl::Status status = Write(batch);
  if (status.ok()) status = Flush();
  if (!status.ok()) return status;
  // All is hidden, durably: in which order it goes does not matter now.
  rocksdb::Slice first = S(begin);
  rocksdb::Slice last = S(end);
  status = Convert(rocksdb::DeleteFilesInRange(db_.get(), db_->DefaultColumnFamily(), &first, &last,
                                               /*include_end=*/false));
  if (!status.ok()) return status;
  // What is left is what was flushed lately. If there is no room for that, the files go on top.
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  rocksdb::Status compacted = db_->CompactRange(options, &first, &last);
  return compacted.IsCompactionTooLarge() ? absl::OkStatus() : Convert(compacted);
}

absl::Status RocksEngine::Ingest(std::unique_ptr<Staging> staging) {
  raft::Hurry hurry;
  look_up_.reset();
  auto& staged = static_cast<RocksStaging&>(*staging);
  absl::Status status = staged.Finish();
  if (status.ok()) status = MakeWay(staged.begin(), staged.end());
  if (!status.ok()) return status;
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  options.snapshot_consistency = true;
  options.allow_global_seqno = true;
  options.allow_blocking_flush = true;
  options.write_global_seqno = false;
  return Convert(db_->IngestExternalFile(staged.paths(), options));
}

void RocksEngine::ReleaseFiles() { look_up_.reset(); }

absl::Status RocksEngine::CompactAll() {
  raft::Hurry hurry;
  rocksdb::CompactRangeOptions options;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  return Convert(db_->CompactRange(options, nullptr, nullptr));
}

uint64_t RocksEngine::Property(const std::string& name) const {
  uint64_t value = 0;
  db_->GetIntProperty(name, &value);
  return value;
}

uint64_t RocksEngine::ApproximateBytes(std::string_view begin, std::string_view end) const {
  rocksdb::Range range(S(begin), S(end));
  rocksdb::SizeApproximationOptions options;
  options.include_memtables = true;
  options.files_size_error_margin = 0.1;
  uint64_t bytes = 0;
  rocksdb::Status status =
      db_->GetApproximateSizes(options, db_->DefaultColumnFamily(), &range, 1, &bytes);
  return status.ok() ? bytes : 0;
}

uint64_t RocksEngine::DiskBytes() const { return Property("rocksdb.total-sst-files-size"); }

}  // namespace kvd::storage
