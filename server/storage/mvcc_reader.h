// Reads a group's versions at a timestamp. Checks every value's checksum: damage is DATA_LOSS,
// never a wrong answer. A reader is cheap to make and lives as long as its view.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "server/storage/engine.h"
#include "server/storage/mvcc_key.h"
#include "server/storage/version.h"

namespace kvd::storage {

// A version with the bytes it consists of.
struct StoredVersion {
  Timestamp timestamp;
  std::string bytes;
  Version version;  // views into bytes

  StoredVersion(Timestamp timestamp, std::string bytes_in);
  StoredVersion(const StoredVersion& other) : StoredVersion(other.timestamp, other.bytes) {}
  // Views into a short string do not survive its move.
  StoredVersion(StoredVersion&& other) noexcept
      : StoredVersion(other.timestamp, std::move(other.bytes)) {}
  StoredVersion& operator=(const StoredVersion&) = delete;
};

struct ScanOptions {
  KeyRange range;
  Timestamp at;
  bool reverse = false;
  bool fill_cache = true;
  // Ends the scan after this many versions were looked at, live or not, but not within its first
  // key; 0: no bound. How many there are differs between replicas: never for what must be the same
  // on all.
  uint64_t examined_max = 0;
  // Ends the scan after this many dead keys that every replica still holds, going by `safe_point`:
  // what lies dead below it may be gone already. 0: no bound. Forward only.
  uint64_t dead_max = 0;
  Timestamp safe_point;
};

// Whether a stored version is well-formed and its value matches its checksum; else DATA_LOSS.
absl::Status CheckVersion(std::string_view engine_key, std::string_view value);

class MvccReader {
 public:
  MvccReader(const View* view, GroupId group) : view_(view), group_(group) {}

  // The key's live value at `at`, unless it is missing, deleted or expired then.
  absl::StatusOr<std::optional<StoredVersion>> Get(std::string_view user_key, Timestamp at) const;

  // The version that decides what Get gives: the newest at or below `at` that is no outcome, dead
  // or alive. The value's checksum is checked if it is live at `at`.
  absl::StatusOr<std::optional<StoredVersion>> Newest(std::string_view user_key,
                                                      Timestamp at) const;

  // The version that `writer` left on the key after `after`.
  absl::StatusOr<std::optional<StoredVersion>> FindWriter(std::string_view user_key,
                                                          Timestamp after,
                                                          const WriterId& writer) const;
  // The version of exactly this timestamp, of any kind.
  absl::StatusOr<std::optional<StoredVersion>> At(std::string_view user_key,
                                                  Timestamp timestamp) const;

  // Calls `row(user_key, timestamp, version)` for each live key in order, until it returns false.
  // Expired keys count as missing. The arguments are valid during the call. Gives the key to go on
  // at if a bound ended it (reverse: the last key looked at, that is still to be told), else
  // nothing.
  using Row = std::function<bool(const std::string&, Timestamp, const Version&)>;
  absl::StatusOr<std::optional<std::string>> Scan(const ScanOptions& options, const Row& row) const;

  // Every version of any kind with after < timestamp <= upto, by key, newest first; the single
  // source of catch-up, watch, backup and incremental jobs. Until `row` returns false.
  absl::Status DeltaScan(const KeyRange& range, Timestamp after, Timestamp upto,
                         const Row& row) const;
  // The same of one key, oldest first; looks at no others.
  absl::Status KeyHistory(const std::string& user_key, Timestamp after, Timestamp upto,
                          const Row& row) const;

 private:
  absl::StatusOr<std::optional<std::string>> ScanForward(const ScanOptions& options,
                                                         const Row& row) const;
  absl::StatusOr<std::optional<std::string>> ScanReverse(const ScanOptions& options,
                                                         const Row& row) const;

  const View* view_;
  GroupId group_;
};

}  // namespace kvd::storage
