#include "tests/cluster/damage.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/cluster/process.h"

namespace kvd {
namespace {

constexpr size_t kBlockBytes = 512;

// In place: the file keeps its blocks, as on a disk that decays.
void Overwrite(const std::string& path, size_t at, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  KVD_CHECK_MSG(file.flush().good(), path + " can't be written");
}

}  // namespace

const std::vector<FileKind>& FileKinds() {
  static const std::vector<FileKind> kinds = {
      {"KVD", "", "KVD", "KVD"},
      {"PEERS", "", "PEERS", "PEERS"},
      {"raft WAL", "raft", "", ".log"},
      {"raft SST", "raft", "", ".sst"},
      {"raft MANIFEST", "raft", "MANIFEST-", ""},
      {"raft CURRENT", "raft", "CURRENT", "CURRENT"},
      {"raft OPTIONS", "raft", "OPTIONS-", ""},
      {"SYNCED", "raft", "SYNCED", "SYNCED"},
      {"data SST", "data", "", ".sst"},
      {"data MANIFEST", "data", "MANIFEST-", ""},
      {"data CURRENT", "data", "CURRENT", "CURRENT"},
      {"data OPTIONS", "data", "OPTIONS-", ""},
  };
  return kinds;
}

std::vector<std::string> FilesOf(const FileKind& kind, const std::string& data_dir) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat(data_dir, "/", kind.folder), error)) {
    std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || entry.file_size() == 0) continue;
    if (absl::StartsWith(name, kind.begins) && absl::EndsWith(name, kind.ends))
      files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::optional<std::string> DamageFile(const std::string& path, Damage damage, Random& random) {
  std::string bytes = ReadAll(path);
  KVD_CHECK_MSG(!bytes.empty(), path + " is empty");
  if (damage == Damage::kCutShort) {
    size_t size = random.Below(bytes.size());
    std::filesystem::resize_file(path, size);
    return absl::StrCat(path, " cut to ", size, " of ", bytes.size(), " bytes");
  }
  if (damage == Damage::kZeroedBlock) {
    size_t at = random.Below((bytes.size() + kBlockBytes - 1) / kBlockBytes) * kBlockBytes;
    size_t size = std::min(kBlockBytes, bytes.size() - at);
    if (bytes.find_first_not_of('\0', at) >= at + size) return std::nullopt;
    Overwrite(path, at, std::string(size, '\0'));
    return absl::StrCat(path, ": ", size, " bytes at ", at, " of ", bytes.size(), " zeroed");
  }
  // Files allocated ahead are mostly empty room, where a flip matters little: three of four go to
  // what was written.
  size_t used = bytes.find_last_not_of('\0');
  size_t range = used == std::string::npos || random.Chance(0.25) ? bytes.size() : used + 1;
  size_t at = random.Below(range);
  auto bit = random.Below(8);
  Overwrite(path, at, std::string(1, static_cast<char>(bytes[at] ^ (1 << bit))));
  return absl::StrCat(path, ": bit ", bit, " of byte ", at, " of ", bytes.size(), " flipped");
}

}  // namespace kvd
