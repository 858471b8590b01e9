// Applies one command to a group's versions: ownership, the exactly-once rule, conditions,
// operations (design, 6). Deterministic: the same state and command give the same writes and result
// on every replica.
#pragma once

#include "server/shard/command.h"
#include "server/shard/group_meta.h"
#include "server/shard/recent_writes.h"
#include "server/shard/shard_load.h"
#include "server/shard/writer_table.h"
#include "server/storage/mvcc_reader.h"
#include "server/storage/row_cache.h"

namespace kvd::shard {

class Executor {
 public:
  // Writes go to `batch`, and `rows`, `recent` and `load`, if it is not null, are told of them;
  // reads go to `view`, which does not see the batch. All outlive the executor.
  Executor(GroupId group, const storage::View* view, GroupMeta* meta, WriterTable* writers,
           storage::WriteBatch* batch, storage::RowCache* rows, RecentWrites* recent,
           ShardLoad* load)
      : group_(group),
        reader_(view, group),
        meta_(meta),
        writers_(writers),
        batch_(batch),
        rows_(rows),
        recent_(recent),
        load_(load) {}

  // Applies a write at `timestamp`, which is above every earlier one. INTERNAL or DATA_LOSS, beside
  // a result, means that the state could not be read: the replica must not go on.
  absl::StatusOr<CommandResult> Write(const Command& command, Timestamp timestamp);
  absl::StatusOr<CommandResult> DeleteRange(const Command& command, Timestamp timestamp);

  // When the first and the last of the written versions die: of a tombstone now, else at its
  // expiry. first_death() > last_death() if none does.
  Timestamp first_death() const { return first_death_; }
  Timestamp last_death() const { return last_death_; }

 private:
  // Why a command that was evaluated changed nothing at all.
  enum class Failure : uint8_t { kNone = 0, kNotANumber = 1, kOverflow = 2, kTooLarge = 3 };
  struct Planned {
    std::string key;
    storage::VersionKind kind = storage::VersionKind::kValue;
    std::string value;
    uint32_t crc32c = 0;
    Timestamp expiry;
  };
  struct Outcome {
    bool otherwise = false;
    Failure failure = Failure::kNone;
    uint32_t failed_condition = 0;
    Timestamp current_version;
    uint64_t deleted = 0;
    bool more = false;
    std::string resume_key;

    std::string Encode() const;
    static bool Decode(std::string_view bytes, Outcome* out);
  };

  absl::Status CheckOwner(const Command& command) const;
  // The result of an earlier attempt, if there was one; a refusal if that can't be told.
  absl::StatusOr<std::optional<CommandResult>> FindDuplicate(const Command& command);
  absl::StatusOr<CommandResult> ResultOf(const Command& command,
                                         const storage::StoredVersion& primary);
  absl::StatusOr<bool> Holds(const Condition& condition, Timestamp at, Timestamp* current) const;
  absl::StatusOr<Failure> Plan(const Operation& op, Timestamp timestamp,
                               std::vector<Planned>* planned, OperationResult* result) const;
  void Commit(const Command& command, Timestamp timestamp, std::vector<Planned> planned,
              const Outcome& outcome);
  void NoteDeath(Timestamp at);
  static absl::Status FailureStatus(Failure failure, const std::string& key);

  const GroupId group_;
  storage::MvccReader reader_;
  GroupMeta* const meta_;
  WriterTable* const writers_;
  storage::WriteBatch* const batch_;
  storage::RowCache* const rows_;
  RecentWrites* const recent_;
  ShardLoad* const load_;
  Timestamp first_death_ = kTimestampMax;
  Timestamp last_death_;
};

}  // namespace kvd::shard
