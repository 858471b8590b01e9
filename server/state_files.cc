#include "server/state_files.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "raft/durable_file.h"

namespace kvd::server {
namespace {

namespace fs = std::filesystem;

constexpr char kNote[] = "DAMAGED";
constexpr char kState[] = "data";
constexpr char kOld[] = "data.damaged";
constexpr char kKept[] = "KEPT";
constexpr char kRecord[] = "REBUILDS";
constexpr size_t kTimesKept = 20;

struct Times {
  uint64_t total = 0;
  std::vector<uint64_t> last;
};

Times Load(const std::string& path) {
  Times times;
  std::ifstream in(path);
  in >> times.total;
  for (uint64_t at = 0; in >> at;) times.last.push_back(at);
  return times;
}

absl::Status RemoveAll(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path, " can't be removed: ", error.message()));
}

uint64_t BytesOf(const std::string& directory) {
  uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    std::error_code gone;
    uint64_t size = entry.is_regular_file(gone) ? entry.file_size(gone) : 0;
    if (!gone) bytes += size;
  }
  return bytes;
}

// Whether the disk holds as much again, and a tenth.
bool HasRoomForAnother(const std::string& directory) {
  std::error_code error;
  fs::space_info space = fs::space(directory, error);
  return !error && space.available / 11 * 10 > BytesOf(directory);
}

}  // namespace

absl::Status StateFiles::Condemn(const std::string& why) const {
  return ReplaceFile(directory_, kNote, why + "\n");
}

std::optional<std::string> StateFiles::Condemned() const {
  std::error_code error;
  if (!fs::exists(Path(kNote), error)) return std::nullopt;
  std::ifstream in(Path(kNote));
  std::string why((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  return why.substr(0, why.find('\n'));
}

absl::Status StateFiles::Absolve() const {
  std::error_code error;
  fs::remove(Path(kNote), error);
  if (error)
    return absl::UnavailableError(
        absl::StrCat(Path(kNote), " can't be removed: ", error.message()));
  return SyncDirectory(directory_);
}

absl::Status StateFiles::SetAside(uint64_t now_s, bool others_have_it) const {
  std::error_code error;
  if (fs::exists(Path(kState), error)) {
    if (HasOld() || (others_have_it && !HasRoomForAnother(Path(kState)))) {
      absl::Status removed = RemoveAll(Path(kState));
      if (!removed.ok()) return removed;
    } else if (rename(Path(kState).c_str(), Path(kOld).c_str()) != 0) {
      return FileError(Path(kOld));
    }
    absl::Status synced = SyncDirectory(directory_);
    if (!synced.ok()) return synced;
    Times times = Load(Path(kRecord));
    times.last.push_back(now_s);
    if (times.last.size() > kTimesKept) times.last.erase(times.last.begin());
    std::string text = absl::StrCat(times.total + 1, "\n");
    for (uint64_t at : times.last) absl::StrAppend(&text, at, "\n");
    absl::Status recorded = ReplaceFile(directory_, kRecord, text);
    if (!recorded.ok()) return recorded;
  }
  // Only now: a new state must not be taken for the damaged one.
  return Absolve();
}

bool StateFiles::HasOld() const {
  std::error_code error;
  return fs::exists(Path(kOld), error);
}

absl::Status StateFiles::KeepOld() const {
  if (!HasOld() || KeepsOld()) return absl::OkStatus();
  return ReplaceFile(Path(kOld), kKept, "the state that took its place carries damage too\n");
}

bool StateFiles::KeepsOld() const {
  std::error_code error;
  return fs::exists(absl::StrCat(Path(kOld), "/", kKept), error);
}

void StateFiles::RemoveOld() const {
  if (!KeepsOld()) (void)RemoveAll(Path(kOld));
}

StateFiles::Record StateFiles::Rebuilds(uint64_t now_s) const {
  Times times = Load(Path(kRecord));
  Record record;
  record.total = times.total;
  for (uint64_t at : times.last) record.last_hour += at + 3600 > now_s ? 1 : 0;
  return record;
}

}  // namespace kvd::server
