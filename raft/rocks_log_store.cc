#include "raft/rocks_log_store.h"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "proto/crc32c.h"
#include "raft/log_file_system.h"
#include "raft/sync_mark.h"
#include "raft/wal_tail.h"

namespace kvd::raft {
namespace {

enum Kind : uint8_t { kMeta = 1, kHardState = 2, kEntry = 3 };

std::string Key(GroupId group, Kind kind) {
  std::string key;
  Writer w(&key);
  w.Fixed32(static_cast<uint32_t>(group.value()));
  w.Byte(kind);
  return key;
}

std::string EntryKey(GroupId group, Index index) {
  std::string key = Key(group, kEntry);
  Writer(&key).Fixed64(index.value());
  return key;
}

std::string_view V(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

std::string EncodeMeta(ReplicaId replica, const SnapshotMeta& start, bool removed) {
  std::string out;
  Writer w(&out);
  w.Varint(replica);
  w.Varint(start.index);
  w.Varint(start.term);
  w.Byte(removed);
  w.Bytes(start.configuration.Encode());
  return out;
}

bool DecodeMeta(std::string_view bytes, GroupLog* log) {
  Reader r(bytes);
  log->replica = r.Id<ReplicaId>();
  log->start.index = r.Id<Index>();
  log->start.term = r.Id<Term>();
  log->removed = r.Byte() != 0;
  std::string_view configuration = r.Bytes();
  return r.Done() && Configuration::Decode(configuration, &log->start.configuration);
}

uint32_t EntryCrc(std::string_view key, const Entry& entry) {
  std::string head(key);
  Writer w(&head);
  w.Varint(entry.term);
  w.Byte(static_cast<uint8_t>(entry.type));
  return Crc32c(entry.data, Crc32c(head));
}

std::string EncodeEntry(std::string_view key, const Entry& entry) {
  std::string out;
  out.reserve(entry.data.size() + 16);
  Writer w(&out);
  w.Varint(entry.term);
  w.Byte(static_cast<uint8_t>(entry.type));
  w.Fixed32(EntryCrc(key, entry));
  w.Raw(entry.data);
  return out;
}

// Null if the bytes are damaged.
EntryPtr DecodeEntry(std::string_view key, std::string_view bytes) {
  Reader r(bytes);
  auto entry = std::make_shared<Entry>();
  entry->index = Index(Reader(key.substr(key.size() - 8)).Fixed64());
  entry->term = r.Id<Term>();
  entry->type = static_cast<EntryType>(r.Byte());
  uint32_t crc = r.Fixed32();
  entry->data = r.rest();
  if (!r.ok() || EntryCrc(key, *entry) != crc) return nullptr;
  return entry;
}

rocksdb::Options LogOptions() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.env = LogEnv();
  // A torn tail is what a crash leaves: it is cut before. Whatever else is damaged is not skipped.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kAbsoluteConsistency;
  options.recycle_log_file_num = 0;
  options.track_and_verify_wals_in_manifest = true;
  options.max_bgerror_resume_count = 0;
  options.paranoid_checks = true;
  options.compression = rocksdb::kNoCompression;
  options.write_buffer_size = 32 << 20;
  options.max_write_buffer_number = 3;
  options.max_total_wal_size = 256 << 20;
  options.max_background_jobs = 2;
  options.keep_log_file_num = 4;
  options.max_open_files = 256;
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;
  table.format_version = 5;
  table.checksum = rocksdb::kxxHash64;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

absl::Status Lost(const std::string& what) {
  return absl::DataLossError(absl::StrCat("the Raft log is damaged: ", what));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RocksLogStore>> RocksLogStore::Open(
    const std::string& directory, std::function<void(const std::string&)> on_fatal) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return absl::UnavailableError(absl::StrCat(directory, ": ", error.message()));
  auto mark = SyncMark::Open(directory + "/SYNCED");
  if (!mark.ok()) return mark.status();
  auto cut = CutTornTail(directory, (*mark)->value());
  if (!cut.ok()) return absl::IsDataLoss(cut.status()) ? Lost(std::string(cut.status().message())) : cut.status();
  rocksdb::DB* raw = nullptr;
  rocksdb::Status opened = rocksdb::DB::Open(LogOptions(), directory, &raw);
  if (!opened.ok()) {
    std::string why = absl::StrCat(directory, ": ", opened.ToString());
    return opened.IsCorruption() ? Lost(why) : absl::UnavailableError(why);
  }
  std::unique_ptr<rocksdb::DB> db(raw);
  if (db->GetLatestSequenceNumber() < (*mark)->value()) {
    return Lost(absl::StrCat("it ends at batch ", db->GetLatestSequenceNumber(), ", but batch ",
                             (*mark)->value(), " was synced and acknowledged"));
  }
  std::unique_ptr<RocksLogStore> store(
      new RocksLogStore(std::move(db), *std::move(mark), std::move(on_fatal)));
  store->opening_report_ = *std::move(cut);
  return store;
}

RocksLogStore::RocksLogStore(std::unique_ptr<rocksdb::DB> db, std::unique_ptr<SyncMark> mark,
                             std::function<void(const std::string&)> on_fatal)
    : db_(std::move(db)),
      mark_(std::move(mark)),
      on_fatal_(std::move(on_fatal)),
      writer_([this] { WriterThread(); }) {}

RocksLogStore::~RocksLogStore() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  writer_.join();
}

absl::StatusOr<std::vector<GroupLog>> RocksLogStore::Load() {
  std::map<GroupId, GroupLog> logs;
  std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(rocksdb::ReadOptions()));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    std::string_view key = V(it->key());
    if (key.size() < 5) return Lost("a key is malformed");
    GroupId group(Reader(key).Fixed32());
    GroupLog& log = logs[group];
    log.group = group;
    if (key[4] == kMeta) {
      if (!DecodeMeta(V(it->value()), &log)) return Lost("a group's record is malformed");
    } else if (key[4] == kHardState) {
      Reader r(V(it->value()));
      log.hard_state.term = r.Id<Term>();
      log.hard_state.vote = r.Id<ReplicaId>();
      log.hard_state.commit = r.Id<Index>();
      if (!r.Done()) return Lost("a hard state is malformed");
    } else {
      EntryPtr entry = DecodeEntry(key, V(it->value()));
      if (entry == nullptr) {
        return Lost(absl::StrCat("an entry of group ", group.value(), " does not match its checksum"));
      }
      if (entry->index <= log.start.index) continue;  // left over from a truncation under way
      Index expected = log.start.index + log.entries.size() + 1;
      if (entry->index != expected) {
        return Lost(absl::StrCat("group ", group.value(), " has no entry ", expected.value()));
      }
      log.entries.push_back(std::move(entry));
    }
  }
  if (!it->status().ok()) return Lost(it->status().ToString());
  std::vector<GroupLog> out;
  for (auto& [id, log] : logs) {
    if (!log.replica) return Lost(absl::StrCat("group ", id.value(), " has no record"));
    log.hard_state.commit = std::min(log.hard_state.commit, log.start.index + log.entries.size());
    log.hard_state.commit = std::max(log.hard_state.commit, log.start.index);
    stored_[id] = {log.replica, log.start, log.removed, log.start.index + log.entries.size()};
    out.push_back(std::move(log));
  }
  return out;
}

void RocksLogStore::Write(Loop* loop, std::vector<LogWrite> writes, Task done) {
  bool was_empty;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    was_empty = pending_.empty();
    pending_.push_back({loop, std::move(writes), std::move(done)});
  }
  if (was_empty) wake_.notify_one();
}

void RocksLogStore::WriteNow(std::vector<LogWrite> writes) {
  std::deque<Pending> batch;
  batch.push_back({nullptr, std::move(writes), [] {}});
  WriteAndSync(batch);
}

void RocksLogStore::WriterThread() {
  while (true) {
    std::deque<Pending> batch;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !pending_.empty(); });
      if (pending_.empty()) return;
      batch.swap(pending_);
    }
    WriteAndSync(batch);
    std::map<Loop*, std::deque<Task>> done;
    for (Pending& pending : batch) done[pending.loop].push_back(std::move(pending.done));
    for (auto& [loop, tasks] : done) {
      loop->Post([tasks = std::move(tasks)]() mutable {
        for (Task& task : tasks) task();
      });
    }
  }
}

void RocksLogStore::AddTo(rocksdb::WriteBatch& batch, const LogWrite& w) {
  Stored& stored = stored_[w.group];
  auto put_meta = [&] {
    batch.Put(Key(w.group, kMeta), EncodeMeta(stored.replica, stored.start, stored.removed));
  };
  if (w.reset) {
    batch.DeleteRange(EntryKey(w.group, Index()), EntryKey(w.group, Index(~uint64_t{0})));
    stored = {w.replica, *w.reset, false, w.reset->index};
    put_meta();
  }
  if (w.hard_state) {
    std::string out;
    Writer writer(&out);
    writer.Varint(w.hard_state->term);
    writer.Varint(w.hard_state->vote);
    writer.Varint(w.hard_state->commit);
    batch.Put(Key(w.group, kHardState), out);
  }
  if (!w.entries.empty()) {
    Index first = w.entries.front()->index;
    KVD_CHECK(first <= stored.last + 1 && first > stored.start.index);
    if (first <= stored.last) {
      batch.DeleteRange(EntryKey(w.group, first), EntryKey(w.group, stored.last + 1));
    }
    for (const EntryPtr& entry : w.entries) {
      std::string key = EntryKey(w.group, entry->index);
      batch.Put(key, EncodeEntry(key, *entry));
    }
    stored.last = w.entries.back()->index;
  }
  if (w.truncate) {
    batch.DeleteRange(EntryKey(w.group, Index()), EntryKey(w.group, w.truncate->index + 1));
    stored.start = *w.truncate;
    put_meta();
  }
  if (w.removed && !stored.removed) {
    stored.removed = true;
    put_meta();
  }
}

void RocksLogStore::WriteAndSync(std::deque<Pending>& pending) {
  rocksdb::WriteBatch batch;
  for (const Pending& p : pending) {
    for (const LogWrite& w : p.writes) AddTo(batch, w);
  }
  rocksdb::WriteOptions options;
  options.sync = true;
  auto start = std::chrono::steady_clock::now();
  size_t bytes = batch.GetDataSize();
  rocksdb::Status written = db_->Write(options, &batch);
  if (!written.ok()) {
    on_fatal_(absl::StrCat("writing the Raft log failed: ", written.ToString()));
    KVD_CHECK(false);
  }
  mark_->Note(db_->GetLatestSequenceNumber());
  double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::lock_guard<std::mutex> lock(mutex_);
  ++stats_.syncs;
  stats_.sync_seconds += took;
  auto bound = std::lower_bound(kSyncSecondsBounds.begin(), kSyncSecondsBounds.end(), took);
  ++stats_.sync_classes[static_cast<size_t>(bound - kSyncSecondsBounds.begin())];
  stats_.bytes += bytes;
}

std::vector<EntryPtr> RocksLogStore::Read(GroupId group, Index from, Index end,
                                          size_t bytes_max) const {
  std::vector<EntryPtr> out;
  size_t bytes = 0;
  std::string upper = EntryKey(group, end);
  rocksdb::Slice upper_slice(upper);
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &upper_slice;
  std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
  for (it->Seek(EntryKey(group, from)); it->Valid(); it->Next()) {
    EntryPtr entry = DecodeEntry(V(it->key()), V(it->value()));
    if (entry == nullptr || entry->index != from + out.size()) break;
    bytes += entry->Bytes();
    if (!out.empty() && bytes > bytes_max) break;
    out.push_back(std::move(entry));
  }
  return out;
}

std::optional<Term> RocksLogStore::TermAt(GroupId group, Index index) const {
  auto entries = Read(group, index, index + 1, 0);
  if (entries.empty()) return std::nullopt;
  return entries[0]->term;
}

LogStoreStats RocksLogStore::stats() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

uint64_t RocksLogStore::DiskBytes() const {
  uint64_t sst = 0;
  db_->GetIntProperty("rocksdb.total-sst-files-size", &sst);
  return sst;
}

}  // namespace kvd::raft
