// From what can be read of a group's log to what is known of it. Pure.
//
// The last entry's index and term are kept apart from the entries, and each entry has the term of
// the one before it: so each is verified from the end on, since index and term name an entry and
// all that lie before it (log matching). Where the chain breaks, what was written last is damaged,
// and whatever can be read before it is but a suspect: a later write over it may be what was lost.
#pragma once

#include <map>

#include "absl/status/statusor.h"
#include "raft/log_codec.h"
#include "raft/log_store.h"

namespace kvd::raft {

// What was found of one group.
struct FoundLog {
  std::optional<GroupRecord> meta;   // of the database
  std::optional<GroupRecord> state;  // of the database
  std::optional<GroupRecord> side;   // of the side file
  std::map<Index, Suspect> entries;  // with a good checksum
};

// The record that tells of the newest write that was acknowledged. `damaged`: the database may have
// lost writes. DATA_LOSS if no record can be trusted.
absl::StatusOr<GroupRecord> NewestRecord(GroupId group, const FoundLog& found, bool damaged);

// DATA_LOSS if the entries contradict the record.
absl::StatusOr<GroupLog> VerifyLog(GroupId group, const GroupRecord& record, const FoundLog& found);

}  // namespace kvd::raft
