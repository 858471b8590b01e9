#include "raft/sync_mark.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/codec.h"
#include "proto/crc32c.h"

namespace kvd::raft {
namespace {

constexpr size_t kSlotBytes = 12;  // value, checksum

}  // namespace

absl::StatusOr<std::unique_ptr<SyncMark>> SyncMark::Open(const std::string& path) {
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  uint64_t value = 0;
  for (int slot = 0; slot < 2; ++slot) {
    char bytes[kSlotBytes];
    if (pread(fd, bytes, kSlotBytes, slot * static_cast<off_t>(kSlotBytes)) != kSlotBytes) continue;
    Reader reader(std::string_view(bytes, kSlotBytes));
    uint64_t noted = reader.Fixed64();
    // A slot torn by a crash does not match; the other one is whole.
    if (reader.Fixed32() == Crc32c(std::string_view(bytes, 8))) value = std::max(value, noted);
  }
  // Written through memory: no system call for each sync, and what a killed process wrote stays.
  void* memory = MAP_FAILED;
  if (ftruncate(fd, 2 * kSlotBytes) == 0) {
    memory = mmap(nullptr, 2 * kSlotBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  close(fd);
  if (memory == MAP_FAILED) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  return std::unique_ptr<SyncMark>(new SyncMark(static_cast<char*>(memory), value));
}

SyncMark::~SyncMark() { munmap(slots_, 2 * kSlotBytes); }

void SyncMark::Note(uint64_t value) {
  std::string bytes;
  Writer writer(&bytes);
  writer.Fixed64(value);
  writer.Fixed32(Crc32c(bytes));
  slot_ ^= 1;
  std::memcpy(slots_ + slot_ * kSlotBytes, bytes.data(), kSlotBytes);
  value_ = value;
}

}  // namespace kvd::raft
