#include "server/data_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

namespace kvd::server {

uint64_t DataDisk::FreeBytes() const {
  struct statvfs found;
  if (statvfs(directory_.c_str(), &found) != 0) return ~uint64_t{0};
  return found.f_bavail * found.f_frsize;
}

uint64_t DataDisk::SizeBytes() const {
  struct statvfs found;
  if (statvfs(directory_.c_str(), &found) != 0) return 0;
  return found.f_blocks * found.f_frsize;
}

uint64_t DataDisk::ReserveBytes() const {
  struct stat found;
  if (stat(reserve_path_.c_str(), &found) != 0) return 0;
  return static_cast<uint64_t>(found.st_blocks) * 512;
}

void DataDisk::ReleaseReserve() {
  // Truncated, not removed: that works on file systems too full to change a directory.
  if (truncate(reserve_path_.c_str(), 0) != 0) (void)unlink(reserve_path_.c_str());
}

storage::CompactionLoad DataDisk::Compactions() const {
  storage::CompactionLoad load;
  if (backlog) load = backlog();
  load.bytes = std::max(load.bytes, compactions_->pending_bytes());
  return load;
}

bool DataDisk::CreateReserve(uint64_t bytes) {
  int fd = open(reserve_path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  // Not the library's own way, which would write where nothing can be allocated ahead.
  bool done = fallocate(fd, 0, 0, static_cast<off_t>(bytes)) == 0;
  if (!done) (void)ftruncate(fd, 0);
  close(fd);
  return done;
}

}  // namespace kvd::server
