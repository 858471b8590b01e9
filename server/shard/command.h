// What a group's log says: one write or one administrative step per entry, and what came of it.
// Conditions are evaluated when applying, so every replica decides the same. Values; pure codec.
//
//   command = version (1 B, now 1) kind (1 B) timestamp fields-of-kind
//   fields of kVerify = the verification's id (8 B big-endian)
//   fields of kMachine = what the machine is told, to the end
//   fields of kShard = shard_codec.h
//   fields of kFence = operation (varint)
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/ids.h"
#include "proto/key_range.h"
#include "proto/timestamp.h"
#include "server/shard/shard_table.h"
#include "server/storage/version.h"

namespace kvd::shard {

enum class CommandKind : uint8_t {
  kWrite = 1,  // conditions, operations, otherwise
  kDeleteRange = 2,
  kClockAdvance = 3,  // nothing but a timestamp
  kSafePoint = 4,     // raises the safe point
  kVerify = 5,        // each replica hashes what it holds at this entry's index; changes nothing
  kMachine = 6,       // for the group's record machine, if it has one
  kShard = 7,         // a step of the controller's on one of the group's shards
  kFence = 8,         // changes of members by this operation, or an earlier one, are over
};

struct Condition {
  enum class Test : uint8_t { kValueEquals = 1, kVersionEquals = 2, kAbsent = 3, kPresent = 4 };
  std::string key;
  Test test = Test::kAbsent;
  std::string value;  // kValueEquals
  Timestamp version;  // kVersionEquals
};

struct Operation {
  enum class Type : uint8_t { kPut = 1, kAppend = 2, kDelete = 3, kIncrement = 4 };
  Type type = Type::kPut;
  std::string key;
  std::string value;    // kPut, kAppend
  uint32_t crc32c = 0;  // kPut: of key, then value
  uint64_t ttl_ms = 0;  // kPut
  int64_t delta = 0;    // kIncrement
};

struct Command {
  CommandKind kind = CommandKind::kWrite;
  // Assigned by the leader; the effective one is at least last applied + 1.
  Timestamp timestamp;

  // Writes. A writer of 0: the caller takes care of its own retries.
  storage::WriterId writer;
  uint32_t attempt = 1;
  Timestamp token;

  std::vector<Condition> conditions;  // kWrite
  std::vector<Operation> operations;
  std::vector<Operation> otherwise;

  KeyRange range;  // kDeleteRange
  uint32_t limit = 0;

  Timestamp safe_point;  // kSafePoint

  uint64_t verification = 0;  // kVerify: tells it from others; random, not 0

  std::string payload;  // kMachine

  ShardStep step;  // kShard

  OperationId operation;  // kFence

  // The first key named: holds the outcome that later attempts find. Requires: a write.
  const std::string& PrimaryKey() const;
};

std::string Encode(const Command& command);
// INVALID_ARGUMENT if malformed.
absl::StatusOr<Command> DecodeCommand(std::string_view bytes);

// Whether the limits of design section 9 hold; the error names field, limit and value seen.
absl::Status Validate(const Command& command);

struct OperationResult {
  bool existed = false;  // kDelete
  int64_t counter = 0;   // kIncrement
  uint64_t length = 0;   // kAppend
};

struct CommandResult {
  // Not OK: refused, nothing was applied.
  absl::Status status;
  // The group's clock after the command: the client's next token.
  Timestamp applied_at;
  // Of its log entry.
  Index index;
  // Found in the history instead of being applied again.
  bool duplicate = false;

  bool conditions_held = true;
  Timestamp version;                   // of everything written; 0 if nothing was
  std::vector<OperationResult> items;  // of the branch that ran
  uint32_t failed_condition = 0;
  Timestamp current_version;  // of that condition's key; 0 if missing

  uint64_t deleted = 0;  // kDeleteRange
  bool more = false;
  std::string resume_key;

  std::string answer;  // kMachine; kShard: StepAnswer
};

// Whether applying it may add to what is stored, other than tombstones and outcomes.
bool AddsData(const Command& command);

using CommandCallback = std::function<void(absl::StatusOr<CommandResult>)>;

}  // namespace kvd::shard
