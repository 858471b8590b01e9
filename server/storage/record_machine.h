// A replicated state of named records that is kept beside a group's log: what the controller, and
// what else the cluster has to agree on, is made of. Each command's records are versions of the
// group at the command's timestamp, so that history, snapshots, hashes and repair are the group's.
// The machine keeps its own view of them in memory. Lives on the group's loop; deterministic.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/ids.h"
#include "server/storage/mvcc_reader.h"

namespace kvd::storage {

// Takes the records that a command changes. Of what is said of one key the last counts.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  virtual void Put(std::string_view key, std::string_view value) = 0;
  virtual void Delete(std::string_view key) = 0;
};

class RecordMachine {
 public:
  virtual ~RecordMachine() = default;

  struct Position {
    Index index;          // of the command in the group's log
    Timestamp timestamp;  // of the command, above all before
  };

  // Becomes what the records say as of `at`. DATA_LOSS if they are damaged.
  virtual absl::Status Load(const MvccReader& reader, Timestamp at) = 0;
  // Carries a command out: its answer, or why it is refused, and then nothing was changed.
  virtual absl::StatusOr<std::string> Apply(std::string_view command, const Position& position,
                                            RecordSink* records) = 0;
};

}  // namespace kvd::storage
