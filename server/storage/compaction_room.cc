#include "server/storage/compaction_room.h"

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/sst_file_manager.h>
#include <sys/stat.h>

#include <algorithm>

namespace kvd::storage {
namespace {

// RocksDB fails flushes too beyond what it is allowed. Only its compactions are to be bounded: it
// is allowed so much more, and has to leave it.
constexpr uint64_t kSlackBytes = uint64_t{1} << 50;

uint64_t SizeOf(const std::string& path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 ? static_cast<uint64_t>(found.st_size) : 0;
}

}  // namespace

void CompactionRoom::Ledger::Begin(const Job& job, uint64_t bytes) {
  MutexLock lock(&mutex_);
  jobs_[job] = bytes;
}

void CompactionRoom::Ledger::Wrote(const Job& job, uint64_t bytes) {
  MutexLock lock(&mutex_);
  auto it = jobs_.find(job);
  if (it != jobs_.end()) it->second -= std::min(it->second, bytes);
}

void CompactionRoom::Ledger::End(const Job& job) {
  MutexLock lock(&mutex_);
  jobs_.erase(job);
}

uint64_t CompactionRoom::Ledger::Sum() const {
  MutexLock lock(&mutex_);
  uint64_t sum = 0;
  for (const auto& [job, bytes] : jobs_) sum += bytes;
  return sum;
}

class CompactionRoom::Listener : public rocksdb::EventListener {
 public:
  explicit Listener(std::shared_ptr<Ledger> ledger) : ledger_(std::move(ledger)) {}
  void OnCompactionBegin(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job) override {
    uint64_t bytes = 0;
    for (const std::string& file : job.input_files) bytes += SizeOf(file);
    ledger_->Begin({db->GetName(), job.job_id}, bytes);
  }
  void OnTableFileCreated(const rocksdb::TableFileCreationInfo& file) override {
    ledger_->Wrote({file.db_name, file.job_id}, file.file_size);
  }
  void OnCompactionCompleted(rocksdb::DB* db, const rocksdb::CompactionJobInfo& job) override {
    ledger_->End({db->GetName(), job.job_id});
  }

 private:
  const std::shared_ptr<Ledger> ledger_;
};

CompactionRoom::CompactionRoom()
    : file_manager_(rocksdb::NewSstFileManager(rocksdb::Env::Default())),
      listener_(std::make_shared<Listener>(ledger_)) {
  file_manager_->SetCompactionBufferSize(kSlackBytes);
}

CompactionRoom::~CompactionRoom() = default;

void CompactionRoom::Limit(uint64_t bytes) {
  bytes = std::min(bytes, kSlackBytes);  // a disk that tells nothing
  file_manager_->SetMaxAllowedSpaceUsage(file_manager_->GetTotalSize() + bytes + kSlackBytes);
}

}  // namespace kvd::storage
