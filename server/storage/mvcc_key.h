// How user keys and their versions lie in the engine:
//
//   group id (4 B big-endian) | space (1 B) | user key, escaped | inverted timestamp (8 B
//   big-endian)
//
// Escaping keeps order: 00 becomes 00 FF, and 00 01 ends the key. The inversion puts a key's newest
// version first. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proto/ids.h"
#include "proto/key_range.h"
#include "proto/timestamp.h"

namespace kvd::storage {

enum class Space : uint8_t {
  kVersions = 1,
  kStaged = 2,        // unpublished output of jobs
  kLocks = 3,         // of transactions
  kTransactions = 4,  // their records
  kMeta = 5,          // of the group; keys are "name" without escape or timestamp
};

inline constexpr size_t kSpacePrefixBytes = 5;
inline constexpr size_t kTimestampBytes = 8;

// The bytes before all keys of a space.
std::string SpacePrefix(GroupId group, Space space);
// Everything of a group: [first, second).
std::pair<std::string, std::string> GroupBounds(GroupId group);
// A name in the group's meta space.
std::string MetaKey(GroupId group, std::string_view name);

// What all versions of a key share; ends with the key's terminator.
std::string VersionsPrefix(GroupId group, std::string_view user_key);
void AppendTimestamp(std::string* prefix, Timestamp timestamp);
std::string VersionKey(GroupId group, std::string_view user_key, Timestamp timestamp);

// The engine's bounds [first, second) for a range of user keys.
std::pair<std::string, std::string> VersionBounds(GroupId group, const KeyRange& range);

// Parts of an engine key of the versions space.
inline std::string_view PrefixOf(std::string_view version_key) {
  return version_key.substr(0, version_key.size() - kTimestampBytes);
}
// Whether `key` is a version of the user key that `prefix` stands for.
inline bool IsVersionOf(std::string_view prefix, std::string_view key) {
  return key.size() == prefix.size() + kTimestampBytes && key.substr(0, prefix.size()) == prefix;
}
Timestamp TimestampOf(std::string_view version_key);
// Whether the bytes are such a key at all: long enough, and of this space.
bool IsVersionKey(std::string_view engine_key);
GroupId GroupOf(std::string_view engine_key);
// Empty if the escape is malformed.
std::optional<std::string> UserKeyOf(std::string_view version_key);

}  // namespace kvd::storage
