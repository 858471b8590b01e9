#include "server/storage/rocks_engine.h"

#include <rocksdb/cache.h>
#include <rocksdb/compaction_filter.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "raft/background_priority.h"
#include "server/storage/gc_filter.h"
#include "server/storage/mvcc_key.h"

namespace kvd::storage {
namespace {

rocksdb::Slice S(std::string_view s) { return {s.data(), s.size()}; }
std::string_view V(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

absl::Status Convert(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  std::string text = absl::StrCat("storage: ", status.ToString());
  if (status.IsCorruption()) return absl::DataLossError(text);
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(text);
  return absl::InternalError(text);
}

// A sector that can't be read is damage as much as one that gives something else. Only where nothing is
// written: a failed write says nothing of what is stored.
absl::Status ConvertRead(const rocksdb::Status& status) {
  bool unreadable =
      status.IsIOError() && status.ToString().find(std::strerror(EIO)) != std::string::npos;
  if (!unreadable) return Convert(status);
  return absl::DataLossError(absl::StrCat("storage: ", status.ToString()));
}

// Nor is a database whose parts are missing there.
absl::Status ConvertOpen(const rocksdb::Status& status) {
  if (!status.IsPathNotFound() && !status.IsNotFound()) return ConvertRead(status);
  return absl::DataLossError(absl::StrCat("storage: ", status.ToString()));
}

// RocksDB would take it for a new database and remove what is there.
bool LacksBeginning(const std::string& directory) {
  std::error_code error;
  if (std::filesystem::exists(directory + "/CURRENT", error)) return false;
  for (const auto& file : std::filesystem::directory_iterator(directory, error)) {
    if (file.path().extension() == ".sst") return true;
  }
  return false;
}

// All versions of a key share their filter entry.
class MvccPrefix : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "kvd.MvccPrefix"; }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override { return S(PrefixOf(V(key))); }
  bool InDomain(const rocksdb::Slice& key) const override { return IsVersionKey(V(key)); }
};

// Within one user key: keeps RocksDB's iterator for the next look-up, since making one costs more than
// the look-up itself.
class PrefixIterator : public Iterator {
 public:
  PrefixIterator(const IterateOptions& options, std::unique_ptr<rocksdb::Iterator> it,
                 std::unique_ptr<rocksdb::Iterator>* home)
      : prefix_(options.lower), it_(std::move(it)), home_(home) {}
  ~PrefixIterator() override { *home_ = std::move(it_); }
  bool Valid() const override { return it_->Valid() && IsVersionOf(prefix_, V(it_->key())); }
  void Seek(std::string_view key) override {
    KVD_CHECK(IsVersionOf(prefix_, key));
    it_->Seek(S(key));
  }
  void SeekForPrev(std::string_view) override { KVD_CHECK(false); }
  void Next() override { it_->Next(); }
  void Prev() override { KVD_CHECK(false); }
  std::string_view key() const override { return V(it_->key()); }
  std::string_view value() const override { return V(it_->value()); }
  absl::Status status() const override { return ConvertRead(it_->status()); }

 private:
  const std::string prefix_;
  std::unique_ptr<rocksdb::Iterator> it_;
  std::unique_ptr<rocksdb::Iterator>* const home_;
};

class RocksIterator : public Iterator {
 public:
  RocksIterator(rocksdb::DB* db, const rocksdb::Snapshot* snapshot, const IterateOptions& options)
      : one_prefix_(options.one_prefix), lower_(options.lower), upper_(options.upper), lower_slice_(lower_), upper_slice_(upper_) {
    rocksdb::ReadOptions read;
    read.snapshot = snapshot;
    read.iterate_lower_bound = &lower_slice_;
    if (!upper_.empty()) read.iterate_upper_bound = &upper_slice_;
    read.fill_cache = options.fill_cache;
    read.prefix_same_as_start = options.one_prefix;
    read.total_order_seek = !options.one_prefix;
    it_.reset(db->NewIterator(read));
  }
  bool Valid() const override { return it_->Valid(); }
  void Seek(std::string_view key) override {
    KVD_CHECK(!one_prefix_ || IsVersionOf(lower_, key));
    it_->Seek(S(key));
  }
  void SeekForPrev(std::string_view key) override { it_->SeekForPrev(S(key)); }
  void Next() override { it_->Next(); }
  void Prev() override { it_->Prev(); }
  std::string_view key() const override { return V(it_->key()); }
  std::string_view value() const override { return V(it_->value()); }
  absl::Status status() const override { return ConvertRead(it_->status()); }

 private:
  const bool one_prefix_;
  const std::string lower_;
  const std::string upper_;
  const rocksdb::Slice lower_slice_;
  const rocksdb::Slice upper_slice_;
  std::unique_ptr<rocksdb::Iterator> it_;
};

absl::StatusOr<std::optional<std::string>> GetWith(rocksdb::DB* db,
                                                   const rocksdb::ReadOptions& options,
                                                   std::string_view key) {
  std::string value;
  rocksdb::Status status = db->Get(options, S(key), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return ConvertRead(status);
  return std::optional(std::move(value));
}

class RocksView : public View {
 public:
  explicit RocksView(rocksdb::DB* db) : db_(db), snapshot_(db->GetSnapshot()) {}
  ~RocksView() override { db_->ReleaseSnapshot(snapshot_); }
  std::unique_ptr<Iterator> NewIterator(const IterateOptions& options) const override {
    return std::make_unique<RocksIterator>(db_, snapshot_, options);
  }
  absl::StatusOr<std::optional<std::string>> Get(std::string_view key) const override {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    return GetWith(db_, options, key);
  }

 private:
  rocksdb::DB* const db_;
  const rocksdb::Snapshot* const snapshot_;
};

class RocksBatch : public WriteBatch {
 public:
  void Put(std::string_view key, std::string_view value) override { batch.Put(S(key), S(value)); }
  void Delete(std::string_view key) override { batch.Delete(S(key)); }
  void DeleteRange(std::string_view begin, std::string_view end) override {
    batch.DeleteRange(S(begin), S(end));
  }
  rocksdb::WriteBatch batch;
};

class RocksIngestFile : public IngestFile {
 public:
  RocksIngestFile(const rocksdb::Options& options, std::string path)
      : path(std::move(path)), writer(rocksdb::EnvOptions(), options) {}
  ~RocksIngestFile() override {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  absl::Status Put(std::string_view key, std::string_view value) override {
    return Convert(writer.Put(S(key), S(value)));
  }
  const std::string path;
  rocksdb::SstFileWriter writer;
};

class RocksGcFilter : public rocksdb::CompactionFilter {
 public:
  explicit RocksGcFilter(GcFilter filter) : filter_(std::move(filter)) {}
  const char* Name() const override { return "kvd.GcFilter"; }
  bool Filter(int, const rocksdb::Slice& key, const rocksdb::Slice& value, std::string*,
              bool*) const override {
    return filter_.Drops(V(key), V(value));
  }

 private:
  mutable GcFilter filter_;  // one per compaction, used by one thread
};

// Other errors of flushes and compactions come back from the next write.
class FullDiskListener : public rocksdb::EventListener {
 public:
  explicit FullDiskListener(std::function<void(const std::string&)> told) : told_(std::move(told)) {}
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    if (status->IsNoSpace()) told_(absl::StrCat("storage: ", status->ToString()));
  }

 private:
  const std::function<void(const std::string&)> told_;
};

}  // namespace

class RocksEngine::FilterFactory : public rocksdb::CompactionFilterFactory {
 public:
  FilterFactory(const RocksEngine* engine, RocksEngineOptions options)
      : engine_(engine), options_(std::move(options)) {}
  const char* Name() const override { return "kvd.GcFilterFactory"; }
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& context) override {
    if (!options_.safe_point || engine_->db_ == nullptr) return nullptr;
    auto safe_point = [this](GroupId group) { return options_.safe_point(*engine_, group); };
    return std::make_unique<RocksGcFilter>(GcFilter(safe_point, context.is_full_compaction));
  }

 private:
  const RocksEngine* const engine_;
  const RocksEngineOptions options_;
};

absl::StatusOr<std::unique_ptr<RocksEngine>> RocksEngine::Open(const std::string& directory,
                                                               const RocksEngineOptions& options) {
  std::unique_ptr<RocksEngine> engine(new RocksEngine(directory));
  engine->filter_factory_ = std::make_shared<FilterFactory>(engine.get(), options);
  rocksdb::Options rocks;
  rocks.create_if_missing = true;
  rocks.max_bgerror_resume_count = 0;
  rocks.paranoid_checks = true;
  rocks.write_buffer_size = options.write_buffer_bytes;
  rocks.max_write_buffer_number = 3;
  rocks.target_file_size_base = options.file_bytes;
  rocks.max_background_jobs = 2;
  // Where compactions lag, data is refused at the leader (disk_guard.h) long before RocksDB holds up the
  // loop; and what makes room, where they have none, is not slowed down.
  rocks.level0_slowdown_writes_trigger = 200;
  rocks.level0_stop_writes_trigger = 400;
  rocks.level_compaction_dynamic_level_bytes = true;
  rocks.compression = rocksdb::kLZ4Compression;
  rocks.keep_log_file_num = 4;
  rocks.listeners = {raft::LowPriorityCompactions()};
  rocks.max_log_file_size = 1 << 20;
  rocks.max_open_files = 1024;
  rocks.bytes_per_sync = 1 << 20;
  rocks.prefix_extractor = std::make_shared<MvccPrefix>();
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
  rocksdb::DB* raw = nullptr;
  rocksdb::Status opened = rocksdb::DB::Open(rocks, directory, &raw);
  if (!opened.ok()) return ConvertOpen(opened);
  engine->db_.reset(raw);
  // What an interrupted snapshot left.
  std::error_code ignored;
  std::filesystem::remove_all(directory + "/staged", ignored);
  std::filesystem::create_directory(directory + "/staged", ignored);
  return engine;
}

RocksEngine::RocksEngine(std::string directory) : directory_(std::move(directory)) {}

RocksEngine::~RocksEngine() {
  look_up_.reset();
  if (db_ != nullptr) db_->Close();
}

// The kept iterator holds the memtables and files of its time: brought up to date when it is used, and
// given up when writes go on without it.
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
  look_up_.reset();
  return Convert(db_->Flush(rocksdb::FlushOptions()));
}

absl::StatusOr<std::unique_ptr<IngestFile>> RocksEngine::NewIngestFile() {
  std::string path = absl::StrCat(directory_, "/staged/", next_file_++, ".sst");
  auto file = std::make_unique<RocksIngestFile>(db_->GetOptions(), path);
  rocksdb::Status opened = file->writer.Open(path);
  if (!opened.ok()) return Convert(opened);
  return file;
}

absl::Status RocksEngine::Ingest(std::unique_ptr<IngestFile> file, std::string_view begin,
                                 std::string_view end) {
  look_up_.reset();
  auto& staged = static_cast<RocksIngestFile&>(*file);
  // In one file everything has one sequence number: the tombstone hides what was there before, and
  // not the pairs beside it.
  absl::Status status = Convert(staged.writer.DeleteRange(S(begin), S(end)));
  if (status.ok()) status = Convert(staged.writer.Finish());
  if (!status.ok()) return status;
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  options.snapshot_consistency = true;
  options.allow_global_seqno = true;
  options.allow_blocking_flush = true;
  options.write_global_seqno = false;
  return Convert(db_->IngestExternalFile({staged.path}, options));
}

void RocksEngine::ReleaseFiles() { look_up_.reset(); }

absl::Status RocksEngine::CompactAll() {
  rocksdb::CompactRangeOptions options;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  return Convert(db_->CompactRange(options, nullptr, nullptr));
}

uint64_t RocksEngine::Property(const std::string& name) const {
  uint64_t value = 0;
  db_->GetIntProperty(name, &value);
  return value;
}

uint64_t RocksEngine::DiskBytes() const { return Property("rocksdb.total-sst-files-size"); }

}  // namespace kvd::storage
