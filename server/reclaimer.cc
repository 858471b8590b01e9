#include "server/reclaimer.h"

#include <rocksdb/db.h>
#include <rocksdb/metadata.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <utility>

#include "raft/spare_time.h"

namespace kvd::server {
namespace {

constexpr Duration kPauseMin = std::chrono::seconds(1);
// A pass takes at most this part of the time, one in so many, unless it is long.
constexpr int kPauseFactor = 5;
constexpr Duration kPauseMax = std::chrono::seconds(10);
// With enough room for so long.
constexpr Duration kRestAfter = std::chrono::seconds(2);
// Where what was flushed can't be compacted, it waits in memory rather than in ever more files.
constexpr uint64_t kFlushedFilesMax = 100;
constexpr uint64_t kFlushLeavesBytes = 4 << 20;

uint64_t Property(rocksdb::DB* db, const char* name) {
  uint64_t value = 0;
  db->GetIntProperty(name, &value);
  return value;
}

// Automatic compactions are tried again and again where they have no room, and take the thread
// meanwhile.
void SetAutomatic(rocksdb::DB* db, bool on) {
  (void)db->SetOptions({{"disable_auto_compactions", on ? "false" : "true"}});
}

class ResumeJob : public Job {
 public:
  ResumeJob(raft::RocksLogStore* log, storage::RocksEngine* engine, std::function<void()> done)
      : log_(log), engine_(engine), done_(std::move(done)) {}
  bool Step() override {
    SetAutomatic(engine_->db(), true);
    SetAutomatic(log_->db(), true);
    done_();
    return false;
  }

 private:
  raft::RocksLogStore* const log_;
  storage::RocksEngine* const engine_;
  const std::function<void()> done_;
};

class ReclaimJob : public Job {
 public:
  ReclaimJob(raft::RocksLogStore* log, storage::RocksEngine* engine, storage::Disk* disk,
             uint64_t floor_bytes, bool pause, std::function<void()> done)
      : log_(log),
        engine_(engine),
        disk_(disk),
        floor_bytes_(floor_bytes),
        pause_(pause),
        done_(std::move(done)) {}

  bool Step() override {
    if (!flushed_) {
      if (pause_) {
        SetAutomatic(engine_->db(), false);
        SetAutomatic(log_->db(), false);
      }
      Flush(engine_->db(), engine_->load());
      Flush(log_->db(), log_->load());
      log_->DropCutFiles();
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
  const raft::Hurry hurry_;  // deletes wait for the room that this makes
  struct Range {
    rocksdb::DB* db;
    std::string first, last;
    uint64_t bytes;
  };

  // Failures are the database's to report: its errors end the process.
  void Flush(rocksdb::DB* db, const raft::DatabaseLoad& load) {
    if (load.flushed_files() > kFlushedFilesMax) return;
    uint64_t bytes = Property(db, "rocksdb.cur-size-all-mem-tables");
    if (disk_->FreeBytes() <= bytes + kFlushLeavesBytes) return;
    rocksdb::FlushOptions options;
    options.allow_write_stall = true;  // or it would wait for compactions, which may not come
    (void)db->Flush(options);
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
      if (file.level == lowest)
        ranges_.push_back({db, file.smallestkey, file.largestkey, file.size + above});
    }
  }

  void Compact(const Range& range) {
    uint64_t free = disk_->FreeBytes();
    bool gone = free + disk_->ReserveBytes() < floor_bytes_;
    uint64_t left = gone ? floor_bytes_ / 2 : floor_bytes_ + floor_bytes_ / 4;
    uint64_t needed = range.bytes + left;
    if (free < needed && free + disk_->ReserveBytes() >= needed) {
      disk_->ReleaseReserve();
      free = disk_->FreeBytes();
    }
    if (free < needed) return;
    disk_->LimitCompactions(free - left);
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    options.exclusive_manual_compaction = false;
    options.allow_write_stall = true;
    rocksdb::Slice first(range.first), last(range.last);
    (void)range.db->CompactRange(options, &first, &last);
  }

  raft::RocksLogStore* const log_;
  storage::RocksEngine* const engine_;
  storage::Disk* const disk_;
  const uint64_t floor_bytes_;
  const bool pause_;
  const std::function<void()> done_;
  bool flushed_ = false;
  std::deque<Range> ranges_;
};

}  // namespace

void CancelCompactions(raft::RocksLogStore* log, storage::RocksEngine* engine) {
  engine->db()->DisableManualCompaction();
  log->db()->DisableManualCompaction();
}

void Reclaimer::Want() {
  engine_->ReleaseFiles();
  wanted_ = loop_->Now();
  if (running_ || wanted_ < next_) return;
  bool pause = !std::exchange(paused_, true);
  Run(std::make_unique<ReclaimJob>(log_, engine_, disk_, floor_bytes_, pause, WhenDone()));
}

void Reclaimer::Rest() {
  if (!paused_ || running_ || loop_->Now() < wanted_ + kRestAfter) return;
  paused_ = false;
  Run(std::make_unique<ResumeJob>(log_, engine_, WhenDone()));
}

void Reclaimer::Run(std::unique_ptr<Job> job) {
  running_ = true;
  began_ = loop_->Now();
  worker_->Run(std::move(job));
}

std::function<void()> Reclaimer::WhenDone() {
  return [this, loop = loop_, alive = std::weak_ptr<bool>(alive_)] {
    loop->Post([this, alive] {
      if (alive.expired()) return;
      running_ = false;
      Duration pause =
          std::clamp<Duration>(kPauseFactor * (loop_->Now() - began_), kPauseMin, kPauseMax);
      next_ = loop_->Now() + pause;
    });
  };
}

}  // namespace kvd::server
