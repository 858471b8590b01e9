#include "mapreduce/dataflow/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

constexpr size_t kBufferBytes = 128 << 10;

absl::Status Failed(const char* what, const std::string& path) {
  return absl::ErrnoToStatus(errno, ToAbsl(absl::StrCat(what, " ", path)));
}

}  // namespace

InputFile::InputFile(std::string path, int fd, uint64_t size)
    : path_(std::move(path)), fd_(fd), size_(size) {}

InputFile::~InputFile() { close(fd_); }

absl::StatusOr<std::shared_ptr<const InputFile>> InputFile::Open(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Failed("open", path);
  struct stat info;
  if (fstat(fd, &info) != 0) {
    absl::Status status = Failed("stat", path);
    close(fd);
    return status;
  }
  return std::shared_ptr<const InputFile>(
      new InputFile(path, fd, static_cast<uint64_t>(info.st_size)));
}

absl::Status InputFile::Read(uint64_t offset, size_t size, char* out) const {
  while (size > 0) {
    ssize_t n = pread(fd_, out, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("read", path_);
    if (n == 0) {
      return absl::DataLossError(
          absl::StrCat(path_, " ends at offset ", offset, ", ", size, " B are missing"));
    }
    out += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Create(const std::string& path) {
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return Failed("create", path);
  return std::unique_ptr<OutputFile>(new OutputFile(path, fd, true));
}

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::CreateNameless(
    const std::string& directory) {
  static std::atomic<uint64_t> number{0};
  std::string path = absl::StrCat(directory, "/run-", getpid(), "-", number.fetch_add(1), ".tmp");
  auto file = Create(path);
  if (!file.ok()) return file.status();
  if (unlink(path.c_str()) != 0) return Failed("unlink", path);
  (*file)->named_ = false;
  return file;
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) close(fd_);
  if (named_) unlink(path_.c_str());
}

absl::Status OutputFile::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("write", path_);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status OutputFile::Flush() {
  absl::Status status = Write(buffer_);
  buffer_.clear();
  return status;
}

absl::Status OutputFile::Append(std::string_view bytes) {
  size_ += bytes.size();
  if (buffer_.size() + bytes.size() > kBufferBytes) {
    absl::Status status = Flush();
    if (!status.ok()) return status;
    if (bytes.size() >= kBufferBytes) return Write(bytes);
  }
  buffer_.append(bytes);
  return absl::OkStatus();
}

absl::Status OutputFile::MoveTo(const std::string& path, bool sync) {
  absl::Status status = Flush();
  if (!status.ok()) return status;
  if (sync && fsync(fd_) != 0) return Failed("sync", path_);
  if (rename(path_.c_str(), path.c_str()) != 0) return Failed("rename", path_);
  named_ = false;
  path_ = path;
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const InputFile>> OutputFile::Reopen() {
  absl::Status status = Flush();
  if (!status.ok()) return status;
  // The name goes on with nobody: a nameless file lives as long as its descriptor.
  int fd = std::exchange(fd_, -1);
  return std::shared_ptr<const InputFile>(new InputFile(path_, fd, size_));
}

absl::Status SyncDirectoryOf(const std::string& path) {
  size_t slash = path.rfind('/');
  std::string directory = slash == path.npos ? "." : path.substr(0, slash + 1);
  int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failed("open", directory);
  absl::Status status = fsync(fd) == 0 ? absl::OkStatus() : Failed("sync", directory);
  close(fd);
  return status;
}

}  // namespace kvd::mapreduce
