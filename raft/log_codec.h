// How logs lie in the log store's database:
//
//   (group 4 B) 1            version, replica id, start index, start term, removed, configuration
//   (group 4 B) 2            version, version of record 1, term, vote, commit, last index, last
//   term (group 4 B) 3 (index 8 B) term, term before it, type, crc32c, data
//
// All numbers of keys big-endian. The checksum covers group, index, both terms, type and data. A
// group's version counts its writes; each write has record 2. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "raft/core/types.h"

namespace kvd::raft {

// What is known of a group's log beside its entries.
struct GroupRecord {
  uint64_t version = 0;
  uint64_t meta_version = 0;  // when replica, start or removed were written last
  ReplicaId replica;
  bool removed = false;
  SnapshotMeta start;
  HardState hard_state;
  Index last;
  Term last_term;
};

enum class LogKind : uint8_t { kMeta = 1, kState = 2, kEntry = 3 };

std::string LogKey(GroupId group, LogKind kind);
std::string EntryKey(GroupId group, Index index);
// False if the bytes are no such key. `index` is of an entry only.
bool ParseLogKey(std::string_view key, GroupId* group, LogKind* kind, Index* index);

std::string EncodeMeta(const GroupRecord& record);
std::string EncodeState(const GroupRecord& record);
// Whole, for the side file.
std::string EncodeRecord(const GroupRecord& record);
// Each false if the bytes are malformed; fills its part. DecodeMeta gives the version in
// meta_version.
bool DecodeMeta(std::string_view bytes, GroupRecord* record);
bool DecodeState(std::string_view bytes, GroupRecord* record);
bool DecodeRecord(std::string_view bytes, GroupRecord* record);

std::string EncodeEntry(std::string_view key, const Entry& entry, Term previous);
// Empty if the bytes are damaged, or belong to another key.
std::optional<Suspect> DecodeEntry(std::string_view key, std::string_view bytes);

}  // namespace kvd::raft
