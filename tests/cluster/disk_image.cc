#include "tests/cluster/disk_image.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/cluster/fault_cluster.h"
#include "tests/cluster/process.h"

namespace kvd {
namespace {

// Of ext4, and in no header for programs: the file system ends at once, its journal unwritten.
constexpr unsigned long kShutdown = _IOR('X', 125, uint32_t);
constexpr uint32_t kWithoutJournal = 2;

void MustRun(const std::vector<std::string>& words) {
  Finished done = RunProgram(words);
  KVD_CHECK_MSG(done.exit_code == 0, done.output);
}

}  // namespace

DiskImage::DiskImage(std::string path, std::string directory, uint64_t bytes)
    : path_(std::move(path)), directory_(std::move(directory)) {
  int fd = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  KVD_CHECK_MSG(fd >= 0 && ftruncate(fd, static_cast<off_t>(bytes)) == 0, path_);
  close(fd);
  MustRun({"/usr/sbin/mkfs.ext4", "-q", "-F", "-m", "0", path_});
  std::filesystem::create_directory(directory_);
  Mount();
}

void DiskImage::Mount() const { MustRun({"/usr/bin/mount", "-o", "loop", path_, directory_}); }

void DiskImage::CutPower() {
  int fd = open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  KVD_CHECK_MSG(fd >= 0, directory_);
  uint32_t how = kWithoutJournal;
  bool off = ioctl(fd, kShutdown, &how) == 0;
  KVD_CHECK_MSG(off, absl::StrCat("the power of ", directory_, ": ", std::strerror(errno)));
  close(fd);
}

void DiskImage::RestorePower() {
  // A copy, taken before anything is unmounted: what that still writes counts no more.
  std::string copy = path_ + ".copy";
  MustRun({"/usr/bin/cp", "--sparse=always", path_, copy});
  // A process that has just ended may take a moment to let go.
  bool gone = Await([&] { return umount2(directory_.c_str(), 0) == 0; }, 10);
  KVD_CHECK_MSG(gone, absl::StrCat(directory_, " can't be unmounted: ", std::strerror(errno)));
  std::filesystem::rename(copy, path_);
  Mount();
}

}  // namespace kvd
