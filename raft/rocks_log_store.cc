#include "raft/rocks_log_store.h"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "raft/side_file.h"
#include "raft/spare_time.h"

namespace kvd::raft {
namespace {

// A sync that takes longer is not waited for on a loop: heartbeats must go on. After one that did,
// the disk counts as slow for a while.
constexpr double kWaitSecondsMax = 0.02;
constexpr size_t kWaitBytesMax = 256 << 10;
constexpr std::chrono::seconds kSlowFor(1);

std::string_view V(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

std::vector<const LogWrite*> Parts(const std::vector<LogWrite>& writes) {
  std::vector<const LogWrite*> parts;
  parts.reserve(writes.size());
  for (const LogWrite& write : writes) parts.push_back(&write);
  return parts;
}

// Of the batch that holds them: as a string that grows it would take up to twice as much.
size_t BatchBytes(const std::vector<const LogWrite*>& writes) {
  constexpr size_t kEntry = 64;  // key, lengths, terms
  constexpr size_t kRecord = 256;
  size_t bytes = 0;
  for (const LogWrite* write : writes) {
    bytes += kRecord;
    for (const EntryPtr& entry : write->entries) bytes += entry->data.size() + kEntry;
    for (const Suspect& repair : write->repairs) bytes += repair.entry->data.size() + kEntry;
  }
  return bytes;
}

}  // namespace

RocksLogStore::RocksLogStore(OpenedLog opened, std::function<void(const std::string&)> on_fatal)
    : env_(std::move(opened.env)),
      db_(std::move(opened.db)),
      load_(std::move(opened.load)),
      side_file_(std::move(opened.side_file)),
      on_fatal_(std::move(on_fatal)),
      opening_report_(std::move(opened.report)),
      stored_(std::move(opened.records)),
      loaded_(std::move(opened.logs)),
      writer_([this] { WriterThread(); }) {}

RocksLogStore::~RocksLogStore() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  wake_.NotifyOne();
  writer_.join();
  Hurry hurry;
  (void)db_->Close();
}

absl::StatusOr<std::vector<GroupLog>> RocksLogStore::Load() { return std::move(loaded_); }

void RocksLogStore::Write(Loop* loop, std::vector<LogWrite> writes, Task done) {
  bool was_empty;
  {
    MutexLock lock(&mutex_);
    was_empty = pending_.empty();
    pending_.push_back({loop, std::move(writes), std::move(done)});
  }
  if (was_empty) wake_.NotifyOne();
}

bool RocksLogStore::TryWriteNow(const std::vector<LogWrite>& writes) {
  if (BatchBytes(Parts(writes)) > kWaitBytesMax) return false;
  {
    MutexLock lock(&mutex_);
    if (writing_ || !pending_.empty() || std::chrono::steady_clock::now() < slow_until_ ||
        load_->TooManyFullBuffers(db_.get()))
      return false;
    writing_ = true;
  }
  WriteHere(writes);
  return true;
}

void RocksLogStore::WriteNow(const std::vector<LogWrite>& writes) {
  {
    MutexLock lock(&mutex_);
    KVD_CHECK(!writing_ && pending_.empty());
    writing_ = true;
  }
  WriteHere(writes);
}

void RocksLogStore::WriteHere(const std::vector<LogWrite>& writes) {
  double took = WriteAndSync(Parts(writes));
  bool others_wait;
  {
    MutexLock lock(&mutex_);
    writing_ = false;
    if (took > kWaitSecondsMax) slow_until_ = std::chrono::steady_clock::now() + kSlowFor;
    others_wait = !pending_.empty();
  }
  if (others_wait) wake_.NotifyOne();
}

void RocksLogStore::WriterThread() {
  while (true) {
    std::deque<Pending> batch;
    {
      MutexLock lock(&mutex_);
      while (writing_ || (!stopping_ && pending_.empty())) wake_.Wait(&mutex_);
      if (pending_.empty()) return;
      batch.swap(pending_);
      writing_ = true;
    }
    std::vector<const LogWrite*> parts;
    for (const Pending& pending : batch) {
      for (const LogWrite& write : pending.writes) parts.push_back(&write);
    }
    WriteAndSync(parts);
    {
      MutexLock lock(&mutex_);
      writing_ = false;
    }
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
  GroupRecord& stored = stored_[w.group];
  uint64_t version = ++stored.version;
  if (w.reset) {
    batch.DeleteRange(EntryKey(w.group, Index()), EntryKey(w.group, Index(~uint64_t{0})));
    stored.replica = w.replica;
    stored.removed = false;
    stored.start = *w.reset;
    stored.last = w.reset->index;
    stored.last_term = w.reset->term;
    stored.meta_version = version;
  }
  if (w.hard_state) stored.hard_state = *w.hard_state;
  if (!w.entries.empty()) AddEntries(batch, w, stored);
  for (const Suspect& repair : w.repairs) {
    std::string key = EntryKey(w.group, repair.entry->index);
    batch.Put(key, EncodeEntry(key, *repair.entry, repair.previous));
  }
  if (w.truncate) {
    batch.DeleteRange(EntryKey(w.group, Index()), EntryKey(w.group, w.truncate->index + 1));
    stored.start = *w.truncate;
    stored.meta_version = version;
  }
  if (w.removed && !stored.removed) {
    stored.removed = true;
    stored.meta_version = version;
  }
  if (stored.meta_version == version)
    batch.Put(LogKey(w.group, LogKind::kMeta), EncodeMeta(stored));
  batch.Put(LogKey(w.group, LogKind::kState), EncodeState(stored));
}

void RocksLogStore::AddEntries(rocksdb::WriteBatch& batch, const LogWrite& w, GroupRecord& stored) {
  Index first = w.entries.front()->index;
  KVD_CHECK(first <= stored.last + 1 && first > stored.start.index);
  if (first <= stored.last) {
    batch.DeleteRange(EntryKey(w.group, first), EntryKey(w.group, stored.last + 1));
  }
  Term previous = w.previous;
  for (const EntryPtr& entry : w.entries) {
    std::string key = EntryKey(w.group, entry->index);
    batch.Put(key, EncodeEntry(key, *entry, previous));
    previous = entry->term;
  }
  stored.last = w.entries.back()->index;
  stored.last_term = previous;
}

double RocksLogStore::WriteAndSync(const std::vector<const LogWrite*>& writes) {
  rocksdb::WriteBatch batch(BatchBytes(writes));
  for (const LogWrite* write : writes) AddTo(batch, *write);
  rocksdb::WriteOptions options;
  options.sync = true;
  auto start = std::chrono::steady_clock::now();
  size_t bytes = batch.GetDataSize();
  rocksdb::Status written = db_->Write(options, &batch);
  if (!written.ok()) {
    on_fatal_(absl::StrCat("writing the Raft log failed: ", written.ToString()));
    KVD_CHECK(false);
  }
  for (const LogWrite* write : writes)
    side_file_->NoteGroup(write->group, stored_.at(write->group));
  side_file_->NoteBatch(db_->GetLatestSequenceNumber());
  double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  MutexLock lock(&mutex_);
  for (const LogWrite* write : writes) starts_[write->group] = stored_.at(write->group).start.index;
  ++stats_.syncs;
  stats_.sync_seconds += took;
  auto bound = std::lower_bound(kSyncSecondsBounds.begin(), kSyncSecondsBounds.end(), took);
  ++stats_.sync_classes[static_cast<size_t>(bound - kSyncSecondsBounds.begin())];
  stats_.bytes += bytes;
  return took;
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
    auto found = DecodeEntry(V(it->key()), V(it->value()));
    if (!found || found->entry->index != from + out.size()) break;
    bytes += found->entry->Bytes();
    if (!out.empty() && bytes > bytes_max) break;
    out.push_back(std::move(found->entry));
  }
  return out;
}

uint64_t RocksLogStore::CheckRecords(std::string* cursor, size_t bytes_max,
                                     const std::function<void(std::string)>& damaged) const {
  uint64_t bytes = 0;
  std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(rocksdb::ReadOptions()));
  for (it->Seek(*cursor); it->Valid() && bytes < bytes_max; it->Next()) {
    std::string_view key = V(it->key());
    bytes += key.size() + it->value().size();
    if (key.size() == 13 && key[4] == static_cast<char>(LogKind::kEntry) &&
        !DecodeEntry(key, V(it->value())).has_value()) {
      damaged(absl::StrCat("log entry ", Reader(key.substr(5)).Fixed64(), " of group ",
                           Reader(key).Fixed32(), " does not match its checksum"));
    }
    // The next one begins behind this key.
    cursor->assign(key).push_back('\0');
  }
  if (it->status().ok()) return bytes;
  damaged(absl::StrCat("reading the log: ", it->status().ToString()));
  return 0;  // what lies behind can't be reached
}

// With a file a range tombstone may go, and what it covered in a deeper one come back. That is
// older than the log's start too, where nobody looks.
void RocksLogStore::DropCutFiles() {
  std::map<GroupId, Index> starts;
  {
    MutexLock lock(&mutex_);
    starts = starts_;
  }
  for (auto [group, start] : starts) {
    std::string first = EntryKey(group, Index()), last = EntryKey(group, start);
    rocksdb::Slice begin(first), end(last);
    (void)rocksdb::DeleteFilesInRange(db_.get(), db_->DefaultColumnFamily(), &begin, &end);
  }
}

LogStoreStats RocksLogStore::stats() const {
  MutexLock lock(&mutex_);
  return stats_;
}

uint64_t RocksLogStore::DiskBytes() const {
  uint64_t sst = 0;
  db_->GetIntProperty("rocksdb.total-sst-files-size", &sst);
  return sst;
}

}  // namespace kvd::raft
