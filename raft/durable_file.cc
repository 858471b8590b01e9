#include "raft/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace kvd {
namespace {

absl::Status WriteFile(const std::string& path, const std::string& text) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return FileError(path);
  bool ok =
      write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  absl::Status status = ok ? absl::OkStatus() : FileError(path);
  close(fd);
  return status;
}

}  // namespace

absl::Status FileError(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

absl::Status SyncDirectory(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FileError(path);
  absl::Status status = fsync(fd) == 0 ? absl::OkStatus() : FileError(path);
  close(fd);
  return status;
}

absl::Status ReplaceFile(const std::string& directory, const std::string& name,
                         const std::string& text) {
  std::string path = absl::StrCat(directory, "/", name);
  std::string temporary = path + ".new";
  absl::Status status = WriteFile(temporary, text);
  if (!status.ok()) return status;
  if (rename(temporary.c_str(), path.c_str()) != 0) return FileError(path);
  return SyncDirectory(directory);
}

std::optional<std::string> ReadNote(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  std::string text(kNoteBytesMax, '\0');
  ssize_t bytes = fd < 0 ? 0 : read(fd, text.data(), text.size());
  if (fd >= 0) close(fd);
  text.resize(static_cast<size_t>(std::max<ssize_t>(bytes, 0)));
  text.resize(std::min(text.size(), text.find('\n')));
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

}  // namespace kvd
