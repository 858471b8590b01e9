#include "server/reclaimer.h"

#include <rocksdb/db.h>
#include <rocksdb/metadata.h>

#include <algorithm>
#include <deque>
#include <functional>

namespace kvd::server {
namespace {

constexpr Duration kPauseMin = std::chrono::seconds(1);
// A pass takes at most this part of the time, one in so many.
constexpr int kPauseFactor = 5;

class ReclaimJob : public Job {
 public:
  ReclaimJob(raft::RocksLogStore* log, storage::RocksEngine* engine, const storage::Disk* disk,
             uint64_t margin_bytes, std::function<void()> done)
      : log_(log), engine_(engine), disk_(disk), margin_bytes_(margin_bytes), done_(std::move(done)) {}

  bool Step() override {
    if (!flushed_) {
      Flush(engine_->db());
      Flush(log_->db());
      ListRanges(engine_->db());
      ListRanges(log_->db());
      flushed_ = true;
      return true;
    }
    if (ranges_.empty()) {
      done_();
      return false;
    }
    Compact(ranges_.front());
    ranges_.pop_front();
    return true;
  }

 private:
  struct Range {
    rocksdb::DB* db;
    std::string first, last;
    uint64_t bytes;
  };

  bool Fits(uint64_t bytes) const {
    uint64_t free = disk_->FreeBytes();
    return free > margin_bytes_ && free - margin_bytes_ > bytes;
  }

  // Failures are the database's to report: its errors end the process.
  void Flush(rocksdb::DB* db) {
    uint64_t bytes = 0;
    db->GetIntProperty("rocksdb.cur-size-all-mem-tables", &bytes);
    if (Fits(bytes)) (void)db->Flush(rocksdb::FlushOptions());
  }

  // Those of the lowest level's files: with each goes what lies above it.
  void ListRanges(rocksdb::DB* db) {
    std::vector<rocksdb::LiveFileMetaData> files;
    db->GetLiveFilesMetaData(&files);
    int lowest = 0;
    uint64_t above = 0;
    for (const auto& file : files) lowest = std::max(lowest, file.level);
    for (const auto& file : files) above += file.level < lowest ? file.size : 0;
    for (const auto& file : files) {
      if (file.level == lowest) ranges_.push_back({db, file.smallestkey, file.largestkey, file.size + above});
    }
  }

  void Compact(const Range& range) {
    if (!Fits(range.bytes)) return;
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    options.exclusive_manual_compaction = false;
    rocksdb::Slice first(range.first), last(range.last);
    (void)range.db->CompactRange(options, &first, &last);
  }

  raft::RocksLogStore* const log_;
  storage::RocksEngine* const engine_;
  const storage::Disk* const disk_;
  const uint64_t margin_bytes_;
  const std::function<void()> done_;
  bool flushed_ = false;
  std::deque<Range> ranges_;
};

}  // namespace

void Reclaimer::Want() {
  if (running_ || loop_->Now() < next_) return;
  running_ = true;
  began_ = loop_->Now();
  auto done = [this, loop = loop_, alive = std::weak_ptr<bool>(alive_)] {
    loop->Post([this, alive] {
      if (alive.expired()) return;
      running_ = false;
      next_ = loop_->Now() + std::max(kPauseMin, kPauseFactor * (loop_->Now() - began_));
    });
  };
  worker_->Run(std::make_unique<ReclaimJob>(log_, engine_, disk_, margin_bytes_, std::move(done)));
}

}  // namespace kvd::server
