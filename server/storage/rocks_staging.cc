#include "server/storage/rocks_staging.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "server/storage/rocks_adapters.h"

namespace kvd::storage {
namespace {

// The next key in the order of bytes: there is none between.
std::string After(std::string_view key) {
  std::string after(key);
  after.push_back('\0');
  return after;
}

}  // namespace

RocksStaging::RocksStaging(const rocksdb::Options& options, size_t file_bytes, std::string path,
                           std::string_view begin, std::string_view end)
    : options_(options),
      file_bytes_(file_bytes),
      path_(std::move(path)),
      begin_(begin),
      end_(end),
      part_begin_(begin) {
  KVD_CHECK(begin < end);
}

RocksStaging::~RocksStaging() {
  writer_.reset();
  std::error_code ignored;
  for (const std::string& path : paths_) std::filesystem::remove(path, ignored);
}

absl::Status RocksStaging::Put(std::string_view key, std::string_view value) {
  KVD_CHECK(key < end_);
  if (!last_key_.empty() && key <= last_key_) {
    return absl::InvalidArgumentError("keys of staged pairs must rise");
  }
  bool full = writer_ != nullptr && writer_->FileSize() >= file_bytes_;
  if (full && key != After(last_key_)) {
    absl::Status cut = Cut();
    if (!cut.ok()) return cut;
  }
  KVD_CHECK(key >= part_begin_);
  absl::Status status = Open();
  if (status.ok()) status = Convert(writer_->Put(S(key), S(value)));
  if (status.ok()) last_key_ = key;
  return status;
}

absl::Status RocksStaging::Finish() {
  absl::Status opened = Open();
  return opened.ok() ? Close(end_) : opened;
}

// Unless a file is open.
absl::Status RocksStaging::Open() {
  if (writer_ != nullptr) return absl::OkStatus();
  paths_.push_back(absl::StrCat(path_, "-", paths_.size() + 1, ".sst"));
  // With the database's own options for files, so that it goes to disk bit by bit and the sync at
  // the end has little to wait for.
  writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(options_), options_);
  return Convert(writer_->Open(paths_.back()));
}

// In one file everything has one sequence number: the tombstone hides what was there before, and
// not the pairs beside it.
absl::Status RocksStaging::Close(std::string_view part_end) {
  absl::Status status = Convert(writer_->DeleteRange(S(part_begin_), S(part_end)));
  if (status.ok()) status = Convert(writer_->Finish());
  writer_.reset();
  return status;
}

// A compaction from level 0 takes in every file whose bounds touch: parts that meet would all go
// into one, as large as the state. So one key stands between two of them, deleted by itself in the
// first.
absl::Status RocksStaging::Cut() {
  std::string between = After(last_key_);
  absl::Status status = Convert(writer_->Delete(S(between)));
  if (status.ok()) status = Close(between);
  part_begin_ = After(between);
  return status;
}

}  // namespace kvd::storage
