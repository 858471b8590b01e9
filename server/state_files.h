// What becomes of the files of a damaged state. Every step may be cut off by a crash and is done
// again at the next start.
//
//   DAMAGED        the state in data/ is to be given up; the text says why
//   data.damaged/  a state that was given up, until another one is whole in its place; one at most
//   data.damaged/KEPT  what took its place was damaged as well: it stays, for an operator to look
//   into REBUILDS       how many were ever given up, and when the last ones were (Unix seconds)
//
// Blocks on the disk. Owned by the server; one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace kvd::server {

// What REBUILDS holds: how many states were given up, and when the last ones were (Unix seconds),
// the earliest first, kRebuildTimesMax at most.
struct RebuildTimes {
  uint64_t total = 0;
  std::vector<uint64_t> last;
};
inline constexpr size_t kRebuildTimesMax = 20;
// A line for each number, then a checksum of them.
std::string FormatRebuildTimes(const RebuildTimes& times);
// Nothing if it is not just what the above gives.
std::optional<RebuildTimes> ParseRebuildTimes(std::string_view text);

class StateFiles {
 public:
  explicit StateFiles(std::string data_dir) : directory_(std::move(data_dir)) {}

  // Notes durably that the state is to be given up at the next start.
  absl::Status Condemn(const std::string& why) const;
  // Why the state is to be given up; nothing if it is not.
  std::optional<std::string> Condemned() const;
  // Takes the note back.
  absl::Status Absolve() const;

  // Gives the state up and takes the note back: afterwards there is no data/. It is kept as
  // data.damaged/, unless one that was given up before is still there: then this one never became
  // whole. With `others_have_it` it is not kept where the disk has no room for another beside it.
  absl::Status SetAside(uint64_t now_s, bool others_have_it) const;
  bool HasOld() const;
  // Durably notes that data.damaged/, if there is one, is not removed by the store itself any more.
  absl::Status KeepOld() const;
  bool KeepsOld() const;
  // Removes data.damaged/, unless it is kept; what can't be removed stays.
  void RemoveOld() const;

  struct Record {
    uint64_t total = 0;
    uint64_t last_hour = 0;
  };
  // How often a state was given up here. A record that can't be read counts as none.
  Record Rebuilds(uint64_t now_s) const;

 private:
  std::string Path(const char* name) const { return directory_ + "/" + name; }

  const std::string directory_;
};

}  // namespace kvd::server
