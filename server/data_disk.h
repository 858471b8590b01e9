// The disk that a data directory lies on, and the reserve kept there: the file RESERVE, allocated
// but never written. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/storage/compaction_room.h"
#include "server/storage/disk_guard.h"

namespace kvd::server {

class DataDisk : public storage::Disk {
 public:
  // `compactions` are bounded, and outlive it.
  DataDisk(const std::string& directory, storage::CompactionRoom* compactions)
      : directory_(directory), reserve_path_(directory + "/RESERVE"), compactions_(compactions) {}

  uint64_t FreeBytes() const override;
  uint64_t ReserveBytes() const override;
  void ReleaseReserve() override;
  bool CreateReserve(uint64_t bytes) override;
  storage::CompactionLoad Compactions() const override;
  void LimitCompactions(uint64_t bytes) override { compactions_->Limit(bytes); }
  // Of the whole file system; 0 if that can't be told.
  uint64_t SizeBytes() const;

  // What compactions are overdue with. Set before it is asked.
  std::function<storage::CompactionLoad()> backlog;

 private:
  const std::string directory_;
  const std::string reserve_path_;
  storage::CompactionRoom* const compactions_;
};

}  // namespace kvd::server
