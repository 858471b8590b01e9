// Our interfaces over RocksDB's, and its statuses in ours: what the engine is made of, for it
// alone.
#pragma once

#include <rocksdb/compaction_filter.h>
#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/write_batch.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "server/storage/engine.h"
#include "server/storage/gc_filter.h"
#include "server/storage/mvcc_key.h"

namespace kvd::storage {

inline rocksdb::Slice S(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view V(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

inline absl::Status Convert(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  std::string text = absl::StrCat("storage: ", status.ToString());
  if (status.IsCorruption()) return absl::DataLossError(text);
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(text);
  return absl::InternalError(text);
}

// A sector that can't be read is damage as much as one that gives something else. Only where
// nothing is written: a failed write says nothing of what is stored.
inline absl::Status ConvertRead(const rocksdb::Status& status) {
  bool unreadable =
      status.IsIOError() && status.ToString().find(std::strerror(EIO)) != std::string::npos;
  if (!unreadable) return Convert(status);
  return absl::DataLossError(absl::StrCat("storage: ", status.ToString()));
}

// Nor is a database whose parts are missing there.
inline absl::Status ConvertOpen(const rocksdb::Status& status) {
  if (!status.IsPathNotFound() && !status.IsNotFound()) return ConvertRead(status);
  return absl::DataLossError(absl::StrCat("storage: ", status.ToString()));
}

// All versions of a key share their filter entry.
class MvccPrefix : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "kvd.MvccPrefix"; }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override { return S(PrefixOf(V(key))); }
  bool InDomain(const rocksdb::Slice& key) const override { return IsVersionKey(V(key)); }
};

// Within one user key: keeps RocksDB's iterator for the next look-up, since making one costs more
// than the look-up itself.
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
      : one_prefix_(options.one_prefix),
        lower_(options.lower),
        upper_(options.upper),
        lower_slice_(lower_),
        upper_slice_(upper_) {
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

inline absl::StatusOr<std::optional<std::string>> GetWith(rocksdb::DB* db,
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
  void Reserve(size_t bytes) override { batch = rocksdb::WriteBatch(bytes); }
  void Put(std::string_view key, std::string_view value) override { batch.Put(S(key), S(value)); }
  void Delete(std::string_view key) override { batch.Delete(S(key)); }
  void DeleteRange(std::string_view begin, std::string_view end) override {
    batch.DeleteRange(S(begin), S(end));
  }
  rocksdb::WriteBatch batch;
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
  explicit FullDiskListener(std::function<void(const std::string&)> told)
      : told_(std::move(told)) {}
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    if (status->IsNoSpace()) told_(absl::StrCat("storage: ", status->ToString()));
  }

 private:
  const std::function<void(const std::string&)> told_;
};

}  // namespace kvd::storage
