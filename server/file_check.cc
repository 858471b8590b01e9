#include "server/file_check.h"

#include <rocksdb/db.h>
#include <rocksdb/metadata.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table.h>
#include <rocksdb/transaction_log.h>

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace kvd::server {
namespace {

constexpr uint64_t kSliceBytes = 1 << 20;
// A log file that is dropped meanwhile, being flushed, looks like a gap: read anew, there is none.
constexpr int kTriesMax = 3;

// "raft/000012.sst": as the operator finds it in the data directory.
std::string ShortName(const std::string& path) {
  std::filesystem::path p(path);
  return (p.parent_path().filename() / p.filename()).string();
}

}  // namespace

FileCheck::FileCheck(const raft::RocksLogStore* log, const storage::RocksEngine* engine)
    : log_(log), engine_(engine) {}

FileCheck::~FileCheck() = default;

bool FileCheck::Step(shard::StorageTotals* out) {
  switch (phase_) {
    case Phase::kEntries:
      if (!StepEntries(out)) phase_ = Phase::kLogFiles;
      return true;
    case Phase::kLogFiles:
      if (StepLogFiles(out)) return true;
      batches_.reset();
      phase_ = Phase::kSorted;
      ListSorted(log_->db());
      ListSorted(engine_->db());
      return true;
    case Phase::kSorted:
      if (files_.empty()) return false;
      CheckSorted(files_.front(), out);
      files_.pop_front();
      return true;
  }
  return false;
}

bool FileCheck::StepEntries(shard::StorageTotals* out) {
  uint64_t bytes = log_->CheckRecords(&cursor_, kSliceBytes,
                                      [out](std::string what) { out->Note(std::move(what)); });
  out->bytes += bytes;
  return bytes != 0;
}

bool FileCheck::StepLogFiles(shard::StorageTotals* out) {
  rocksdb::DB* db = log_->db();
  rocksdb::Status status;
  if (batches_ == nullptr) {
    last_wanted_ = db->GetLatestSequenceNumber();
    rocksdb::VectorLogPtr logs;
    status = db->GetSortedWalFiles(logs);
    if (status.ok() && (logs.empty() || logs.front()->StartSequence() > last_wanted_)) return false;
    if (status.ok()) {
      last_seen_ = logs.front()->StartSequence() - 1;
      status = db->GetUpdatesSince(logs.front()->StartSequence(), &batches_);
    }
  }
  uint64_t bytes = 0;
  while (status.ok() && batches_->Valid() && last_seen_ < last_wanted_ && bytes < kSliceBytes) {
    rocksdb::BatchResult batch = batches_->GetBatch();
    bytes += batch.writeBatchPtr->GetDataSize();
    last_seen_ = batch.sequence + static_cast<uint64_t>(batch.writeBatchPtr->Count()) - 1;
    batches_->Next();
  }
  out->bytes += bytes;
  if (last_seen_ >= last_wanted_) return false;
  if (status.ok() && batches_->Valid()) return true;
  if (status.ok()) status = batches_->status();
  batches_.reset();
  if (++tries_ < kTriesMax) return true;
  out->Note(absl::StrCat("raft/*.log: the batch behind number ", last_seen_, " can't be read, ",
                         last_wanted_, " was written last: ", status.ToString()));
  return false;
}

void FileCheck::ListSorted(rocksdb::DB* db) {
  std::vector<rocksdb::LiveFileMetaData> files;
  db->GetLiveFilesMetaData(&files);
  for (const rocksdb::LiveFileMetaData& file : files)
    files_.push_back({db, file.db_path + file.name});
}

void FileCheck::CheckSorted(const File& file, shard::StorageTotals* out) {
  // A cache would answer for blocks that are damaged on the disk by now.
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;
  rocksdb::Options options;
  options.env = file.db->GetEnv();
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::SstFileReader reader(options);
  rocksdb::Status status = reader.Open(file.path);
  if (status.ok()) status = reader.VerifyChecksum();
  std::error_code gone;
  uint64_t bytes = std::filesystem::file_size(file.path, gone);
  if (!gone) out->bytes += bytes;
  if (status.ok()) return;
  std::vector<rocksdb::LiveFileMetaData> files;
  file.db->GetLiveFilesMetaData(&files);
  for (const rocksdb::LiveFileMetaData& live : files) {
    if (live.db_path + live.name != file.path) continue;
    std::string what = absl::StrCat(ShortName(file.path), ": ", status.ToString());
    if (file.db == engine_->db() && status.IsCorruption()) {
      out->NoteState(std::move(what));
    } else {
      out->Note(std::move(what));
    }
    return;
  }
  // A compaction has replaced it meanwhile.
}

}  // namespace kvd::server
