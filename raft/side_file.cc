#include "raft/side_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "proto/crc32c.h"

namespace kvd::raft {
namespace {

constexpr size_t kMarkBytes = 512;
constexpr size_t kGroupBytes = 1024;
constexpr size_t kHeadBytes = 8;
constexpr size_t kGroupsAt = 2 * kMarkBytes;

// Empty if the cell holds nothing whole.
std::string_view Payload(const char* cell, size_t cell_bytes) {
  Reader reader(std::string_view(cell, kHeadBytes));
  size_t length = reader.Fixed32();
  uint32_t crc = reader.Fixed32();
  if (length == 0 || length > cell_bytes - kHeadBytes) return {};
  std::string_view payload(cell + kHeadBytes, length);
  return Crc32c(payload) == crc ? payload : std::string_view();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SideFile>> SideFile::Open(const std::string& path) {
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  std::unique_ptr<SideFile> file(new SideFile(fd, path));
  struct stat status = {};
  if (fstat(fd, &status) != 0)
    return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  auto bytes = static_cast<size_t>(status.st_size);
  size_t groups =
      bytes <= kGroupsAt ? 0 : (bytes - kGroupsAt + 2 * kGroupBytes - 1) / (2 * kGroupBytes);
  absl::Status mapped = file->MapCells(groups);
  if (!mapped.ok()) return mapped;
  file->Read();
  return file;
}

SideFile::~SideFile() {
  if (cells_ != nullptr) munmap(cells_, mapped_bytes_);
  close(fd_);
}

absl::Status SideFile::MapCells(size_t groups) {
  if (cells_ != nullptr) munmap(cells_, mapped_bytes_);
  mapped_bytes_ = kGroupsAt + groups * 2 * kGroupBytes;
  void* memory = MAP_FAILED;
  // Allocated, so that a full disk is told here and not by a signal at a store to memory.
  if (posix_fallocate(fd_, 0, static_cast<off_t>(mapped_bytes_)) == 0) {
    memory = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  }
  cells_ = memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
  if (cells_ != nullptr) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path_, ": ", std::strerror(errno)));
}

char* SideFile::GroupCell(size_t slot, int which) const {
  return cells_ + kGroupsAt + (2 * slot + static_cast<size_t>(which)) * kGroupBytes;
}

void SideFile::Read() {
  for (int i = 0; i < 2; ++i) {
    std::string_view payload = Payload(cells_ + i * static_cast<ptrdiff_t>(kMarkBytes), kMarkBytes);
    Reader reader(payload);
    uint64_t batch = reader.Fixed64();
    if (payload.empty() || !reader.Done() || batch < batch_.value_or(0)) continue;
    batch_ = batch;
    next_mark_ = 1 - i;
  }
  size_t groups = (mapped_bytes_ - kGroupsAt) / (2 * kGroupBytes);
  for (size_t slot = 0; slot < groups; ++slot) {
    for (int i = 0; i < 2; ++i) {
      std::string_view payload = Payload(GroupCell(slot, i), kGroupBytes);
      Reader reader(payload);
      GroupId group(reader.Fixed32());
      GroupRecord record;
      if (!reader.ok() || !DecodeRecord(reader.rest(), &record)) continue;
      auto known = records_.find(group);
      if (known != records_.end() && known->second.version > record.version) continue;
      records_[group] = record;
      slots_[group] = {slot, 1 - i};
    }
  }
}

void SideFile::WriteCell(char* cell, size_t cell_bytes, std::string_view payload) {
  KVD_CHECK(payload.size() <= cell_bytes - kHeadBytes);
  std::string bytes;
  Writer writer(&bytes);
  writer.Fixed32(static_cast<uint32_t>(payload.size()));
  writer.Fixed32(Crc32c(payload));
  writer.Raw(payload);
  std::copy(bytes.begin(), bytes.end(), cell);
}

void SideFile::NoteGroup(GroupId group, const GroupRecord& record) {
  std::string payload;
  Writer writer(&payload);
  writer.Fixed32(static_cast<uint32_t>(group.value()));
  writer.Raw(EncodeRecord(record));
  auto it = slots_.find(group);
  if (it == slots_.end()) {
    // Cells of groups whose both cells were damaged are not taken again: they are few.
    size_t slot = (mapped_bytes_ - kGroupsAt) / (2 * kGroupBytes);
    if (!MapCells(slot + 1).ok()) KVD_CHECK(MapCells(slot).ok());
    if (mapped_bytes_ < kGroupsAt + (slot + 1) * 2 * kGroupBytes) return;
    it = slots_.emplace(group, Slot{slot, 0}).first;
  }
  // An older record must not outlive one that does not fit.
  if (payload.size() > kGroupBytes - kHeadBytes) {
    std::memset(GroupCell(it->second.number, 0), 0, 2 * kGroupBytes);
    return;
  }
  WriteCell(GroupCell(it->second.number, it->second.next), kGroupBytes, payload);
  it->second.next = 1 - it->second.next;
}

void SideFile::NoteBatch(uint64_t batch) {
  std::string payload;
  Writer(&payload).Fixed64(batch);
  WriteCell(cells_ + next_mark_ * static_cast<ptrdiff_t>(kMarkBytes), kMarkBytes, payload);
  next_mark_ = 1 - next_mark_;
  batch_ = batch;
}

absl::Status SideFile::Sync() {
  std::string parent = path_.substr(0, path_.rfind('/'));
  int directory = open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool synced = directory >= 0 && fsync(fd_) == 0 && fsync(directory) == 0;
  absl::Status status = absl::OkStatus();
  if (!synced) status = absl::UnavailableError(absl::StrCat(path_, ": ", std::strerror(errno)));
  if (directory >= 0) close(directory);
  return status;
}

}  // namespace kvd::raft
