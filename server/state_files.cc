#include "server/state_files.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/crc32c.h"
#include "raft/durable_file.h"

namespace kvd::server {
namespace {

namespace fs = std::filesystem;

constexpr char kNote[] = "DAMAGED";
constexpr char kState[] = "data";
constexpr char kOld[] = "data.damaged";
constexpr char kKept[] = "KEPT";
constexpr char kRecord[] = "REBUILDS";
constexpr char kChecksum[] = "checksum ";

// A record that is longer can't be one of ours: 22 numbers of 20 digits, and words.
constexpr size_t kRecordBytesMax = 1024;

RebuildTimes Load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(kRecordBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return ParseRebuildTimes(text).value_or(RebuildTimes());
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

std::string FormatRebuildTimes(const RebuildTimes& times) {
  std::string text = absl::StrCat(times.total, "\n");
  for (uint64_t at : times.last) absl::StrAppend(&text, at, "\n");
  return absl::StrCat(text, kChecksum, Crc32c(text), "\n");
}

std::optional<RebuildTimes> ParseRebuildTimes(std::string_view text) {
  if (text.size() > kRecordBytesMax) return std::nullopt;
  RebuildTimes times;
  std::istringstream in{std::string(text)};
  std::string line;
  for (size_t i = 0; std::getline(in, line) && !absl::StartsWith(line, kChecksum); ++i) {
    uint64_t number = 0;
    if (i > kRebuildTimesMax || !absl::SimpleAtoi(line, &number)) return std::nullopt;
    if (i == 0) {
      times.total = number;
    } else {
      times.last.push_back(number);
    }
  }
  // Nothing is missing, nothing follows, and no number is written in another way.
  if (FormatRebuildTimes(times) != text) return std::nullopt;
  return times;
}

absl::Status StateFiles::Condemn(const std::string& why) const {
  return ReplaceFile(directory_, kNote, why + "\n");
}

std::optional<std::string> StateFiles::Condemned() const { return ReadNote(Path(kNote)); }

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
    RebuildTimes times = Load(Path(kRecord));
    ++times.total;
    times.last.push_back(now_s);
    if (times.last.size() > kRebuildTimesMax) times.last.erase(times.last.begin());
    absl::Status recorded = ReplaceFile(directory_, kRecord, FormatRebuildTimes(times));
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
  RebuildTimes times = Load(Path(kRecord));
  Record record;
  record.total = times.total;
  for (uint64_t at : times.last) record.last_hour += now_s < at || now_s - at < 3600 ? 1 : 0;
  return record;
}

}  // namespace kvd::server
