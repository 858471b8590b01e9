// Loaded into a store before all else, makes reads, writes or syncs of some files fail with EIO, as
// a bad disk does. A file (FAILING_DISK_FILE) says which, read each time: a letter, r for pread, w
// for write or s for fsync, then a part of the path. Nothing fails while it is missing or empty.
// Allocates nothing.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace {

bool Fails(char call, int fd) {
  const char* switch_path = getenv("FAILING_DISK_FILE");
  if (switch_path == nullptr) return false;
  int before = errno;
  int switch_fd = open(switch_path, O_RDONLY | O_CLOEXEC);
  errno = before;
  if (switch_fd < 0) return false;
  char wanted[512] = {};
  ssize_t bytes = read(switch_fd, wanted, sizeof wanted - 1);
  close(switch_fd);
  if (bytes < 2 || wanted[0] != call) return false;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  char path[512] = {};
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  return length > 0 && strstr(path, wanted + 1) != nullptr;
}

ssize_t Read(int fd, void* buffer, size_t bytes, off64_t at) {
  if (!Fails('r', fd)) return syscall(SYS_pread64, fd, buffer, bytes, at);
  errno = EIO;
  return -1;
}

}  // namespace

extern "C" {

ssize_t pread(int fd, void* buffer, size_t bytes, off_t at) { return Read(fd, buffer, bytes, at); }
ssize_t pread64(int fd, void* buffer, size_t bytes, off64_t at) {
  return Read(fd, buffer, bytes, at);
}

ssize_t write(int fd, const void* buffer, size_t bytes) {
  if (!Fails('w', fd)) return syscall(SYS_write, fd, buffer, bytes);
  errno = EIO;
  return -1;
}

int fsync(int fd) {
  if (!Fails('s', fd)) return static_cast<int>(syscall(SYS_fsync, fd));
  errno = EIO;
  return -1;
}

}  // extern "C"
