#include "raft/wal_tail.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/crc32c.h"

namespace kvd::raft {
namespace {

constexpr size_t kBlockBytes = 32 << 10;
constexpr size_t kHeaderBytes = 7;
constexpr size_t kBatchHeaderBytes = 12;

enum RecordType : uint8_t { kWhole = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

uint64_t Little(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

uint32_t Unmask(uint32_t masked) {
  uint32_t rotated = masked - 0xa282ead8u;
  return rotated >> 17 | rotated << 15;
}

struct Record {
  uint8_t type;
  std::string_view payload;
};

// None if what stands at `at` is no undamaged record.
std::optional<Record> RecordAt(std::string_view file, size_t at) {
  if (at + kHeaderBytes > file.size()) return std::nullopt;
  size_t length = Little(file.substr(at + 4, 2));
  size_t end = at + kHeaderBytes + length;
  if (end > file.size() || (end - 1) / kBlockBytes != at / kBlockBytes) return std::nullopt;
  auto type = static_cast<uint8_t>(file[at + 6]);
  if (type < kWhole || type > kLast) return std::nullopt;
  auto stored = static_cast<uint32_t>(Little(file.substr(at, 4)));
  if (Crc32c(file.substr(at + 6, 1 + length)) != Unmask(stored)) return std::nullopt;
  return Record{type, file.substr(at + kHeaderBytes, length)};
}

// The newest first.
std::vector<std::filesystem::path> LogsOf(const std::string& directory) {
  std::vector<std::pair<uint64_t, std::filesystem::path>> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    uint64_t number = 0;
    if (entry.path().extension() != ".log") continue;
    if (absl::SimpleAtoi(entry.path().stem().string(), &number))
      found.emplace_back(number, entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::filesystem::path> paths;
  paths.reserve(found.size());
  for (auto& [number, path] : found) paths.push_back(std::move(path));
  return paths;
}

absl::Status Failed(const std::filesystem::path& path) {
  return absl::UnavailableError(absl::StrCat(path.string(), ": ", std::strerror(errno)));
}

absl::Status CutAndSync(const std::filesystem::path& path, uint64_t bytes) {
  int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return Failed(path);
  bool done = ftruncate(fd, static_cast<off_t>(bytes)) == 0 && fdatasync(fd) == 0;
  absl::Status status = done ? absl::OkStatus() : Failed(path);
  close(fd);
  return status;
}

}  // namespace

WalTail FindWalTail(std::string_view file) {
  WalTail tail;
  bool inside = false;  // of a batch that began in an earlier record
  std::string header;   // of that batch, as far as it has come: it may lie across two blocks
  size_t at = 0;
  while (auto record = RecordAt(file, at)) {
    bool begins = record->type == kWhole || record->type == kFirst;
    if (begins == inside) break;
    if (begins) header.clear();
    header += record->payload.substr(0, kBatchHeaderBytes - header.size());
    at += kHeaderBytes + record->payload.size();
    inside = record->type == kFirst || record->type == kMiddle;
    size_t left = kBlockBytes - at % kBlockBytes;
    bool padded = left < kHeaderBytes;
    if (!inside) {
      if (header.size() < kBatchHeaderBytes) break;
      uint64_t operations = Little(std::string_view(header).substr(8, 4));
      tail.last_sequence =
          Little(std::string_view(header).substr(0, 8)) + std::max<uint64_t>(operations, 1) - 1;
      tail.whole_bytes = std::min<uint64_t>(padded ? at + left : at, file.size());
    }
    if (padded) at += left;
  }
  tail.garbage_bytes = file.size() - tail.whole_bytes;
  return tail;
}

absl::StatusOr<std::string> CutTornTail(const std::string& directory,
                                        std::optional<uint64_t> synced) {
  std::string report;
  auto logs = LogsOf(directory);
  for (const auto& path : logs) {
    std::ifstream in(path, std::ios::binary);
    std::string file((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    if (in.bad()) return Failed(path);
    WalTail tail = FindWalTail(file);
    if (tail.garbage_bytes == 0) continue;
    bool newest = path == logs[0];
    std::string_view rest = std::string_view(file).substr(tail.whole_bytes);
    bool zeroes = rest.find_first_not_of('\0') == std::string_view::npos;
    // Damage in the middle is for RocksDB to refuse.
    if (!newest && !zeroes) continue;
    if (newest && tail.last_sequence && synced && *tail.last_sequence < *synced) {
      return absl::DataLossError(absl::StrCat(path.string(), " is damaged at byte ",
                                              tail.whole_bytes, ": its last whole batch ends with ",
                                              *tail.last_sequence, ", but ", *synced,
                                              " was synced and acknowledged"));
    }
    if (newest && !zeroes && !synced) {
      return absl::DataLossError(absl::StrCat(path.string(), " is damaged at byte ",
                                              tail.whole_bytes,
                                              ", and SYNCED does not tell what was acknowledged"));
    }
    if (!zeroes) {
      std::ofstream torn(directory + "/TORN", std::ios::binary | std::ios::trunc);
      torn << rest.substr(0, rest.find_last_not_of('\0') + 1);
      torn.close();
      if (!torn) return Failed(directory + "/TORN");
      size_t end = rest.find_last_not_of('\0') + 1;
      report = absl::StrCat(
          "cut ", end, " bytes off ", path.string(), " behind byte ", tail.whole_bytes,
          ": a write that was never acknowledged; they are kept in ", directory, "/TORN");
    }
    absl::Status cut = CutAndSync(path, tail.whole_bytes);
    if (!cut.ok()) return cut;
  }
  return report;
}

}  // namespace kvd::raft
