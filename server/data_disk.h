// The disk that a data directory lies on, and the reserve kept there: the file RESERVE, allocated but
// never written. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/storage/disk_guard.h"

namespace kvd::server {

class DataDisk : public storage::Disk {
 public:
  explicit DataDisk(const std::string& directory)
      : directory_(directory), reserve_path_(directory + "/RESERVE") {}

  uint64_t FreeBytes() const override;
  uint64_t ReserveBytes() const override;
  void ReleaseReserve() override;
  bool CreateReserve(uint64_t bytes) override;
  // Of the whole file system; 0 if that can't be told.
  uint64_t SizeBytes() const;

 private:
  const std::string directory_;
  const std::string reserve_path_;
};

}  // namespace kvd::server
