// Files as the data path uses them: written once from front to end, then read at any place.
// Failures carry the file's name and the system's reason; a full disk is RESOURCE_EXHAUSTED.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvd::mapreduce {

// Thread-safe.
class InputFile {
 public:
  static absl::StatusOr<std::shared_ptr<const InputFile>> Open(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  // All of [offset, offset + size). DATA_LOSS naming the place if the file ends before.
  absl::Status Read(uint64_t offset, size_t size, char* out) const;
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  friend class OutputFile;
  InputFile(std::string path, int fd, uint64_t size);

  const std::string path_;
  const int fd_;
  const uint64_t size_;
};

// Used by one thread. Without MoveTo the file is gone when this is.
class OutputFile {
 public:
  // Makes a new file or empties the one that is there.
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(const std::string& path);
  // One that has no name from the beginning: nothing is left of it even after a crash.
  static absl::StatusOr<std::unique_ptr<OutputFile>> CreateNameless(const std::string& directory);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  absl::Status Append(std::string_view bytes);
  // Writes what is buffered, with `sync` to the disk itself, and renames the file.
  absl::Status MoveTo(const std::string& path, bool sync);
  // What was written, for reading. The last call.
  absl::StatusOr<std::shared_ptr<const InputFile>> Reopen();

  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  OutputFile(std::string path, int fd, bool named)
      : path_(std::move(path)), fd_(fd), named_(named) {}
  absl::Status Flush();
  absl::Status Write(std::string_view bytes);

  std::string path_;
  int fd_;
  bool named_;
  uint64_t size_ = 0;
  std::string buffer_;
};

// Makes what was renamed in it durable.
absl::Status SyncDirectoryOf(const std::string& path);

}  // namespace kvd::mapreduce
