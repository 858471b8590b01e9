#include "server/shard/executor.h"

#include <charconv>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "proto/fault_point.h"
#include "proto/limits.h"

namespace kvd::shard {

using storage::StoredVersion;
using storage::VersionKind;

namespace {

std::optional<int64_t> ParseInteger(std::string_view text) {
  int64_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

}  // namespace

std::string Executor::Outcome::Encode() const {
  std::string out;
  Writer w(&out);
  w.Byte(static_cast<uint8_t>((otherwise ? 1 : 0) | (more ? 2 : 0)));
  w.Byte(static_cast<uint8_t>(failure));
  w.Varint(failed_condition);
  w.Varint(current_version);
  w.Varint(deleted);
  w.Bytes(resume_key);
  return out;
}

bool Executor::Outcome::Decode(std::string_view bytes, Outcome* out) {
  Reader r(bytes);
  uint8_t flags = r.Byte();
  out->otherwise = (flags & 1) != 0;
  out->more = (flags & 2) != 0;
  out->failure = static_cast<Failure>(r.Byte());
  out->failed_condition = static_cast<uint32_t>(r.Varint());
  out->current_version = r.Id<Timestamp>();
  out->deleted = r.Varint();
  out->resume_key = r.Bytes();
  return r.Done();
}

absl::Status Executor::FailureStatus(Failure failure, const std::string& key) {
  switch (failure) {
    case Failure::kNone: return absl::OkStatus();
    case Failure::kNotANumber:
      return absl::FailedPreconditionError(
          absl::StrCat("the value of key ", Printable(key), " is no decimal 64-bit integer"));
    case Failure::kOverflow:
      return absl::OutOfRangeError(
          absl::StrCat("incrementing key ", Printable(key), " would leave the 64-bit range"));
    case Failure::kTooLarge:
      return absl::OutOfRangeError(absl::StrCat("the value of key ", Printable(key),
                                                " would exceed the limit of ", kValueBytesMax,
                                                " bytes"));
  }
  return absl::InternalError("unknown outcome");
}

absl::Status Executor::CheckOwner(const Command& command) const {
  auto check = [&](std::string_view key) {
    if (meta_->shards.Serving(key) != nullptr) return absl::OkStatus();
    return ShardMovedError(
        absl::StrCat("group ", group_.value(), " does not serve key ", Printable(key)));
  };
  absl::Status status;
  for (const Condition& c : command.conditions) status.Update(check(c.key));
  for (const Operation& op : command.operations) status.Update(check(op.key));
  for (const Operation& op : command.otherwise) status.Update(check(op.key));
  // As much of a range as is served from its start on: the rest is for the caller to go on with.
  if (command.kind == CommandKind::kDeleteRange) status.Update(check(command.range.start));
  return status;
}

absl::StatusOr<std::optional<CommandResult>> Executor::FindDuplicate(const Command& command) {
  if (!command.writer) return std::nullopt;
  if (command.token < meta_->floor) {
    CommandResult refused;
    refused.status = SessionExpiredError(meta_->floor, meta_->clock);
    return std::optional(std::move(refused));
  }
  if (writers_->IsNew(command.writer, command.token)) return std::nullopt;
  auto found = reader_.FindWriter(command.PrimaryKey(), command.token, command.writer);
  if (!found.ok()) return found.status();
  if (!found->has_value()) return std::nullopt;
  auto result = ResultOf(command, **found);
  if (!result.ok()) return result.status();
  return std::optional(*std::move(result));
}

// What the command answered when it was applied: told by its primary's version and, for the other
// keys, by what it left on them at the same timestamp.
absl::StatusOr<CommandResult> Executor::ResultOf(const Command& command,
                                                 const StoredVersion& primary) {
  KVD_FAULT_POINT(kDuplicateFound);
  Outcome outcome;
  if (!primary.version.outcome.empty() && !Outcome::Decode(primary.version.outcome, &outcome)) {
    return CorruptionError("a stored outcome is malformed", command.PrimaryKey());
  }
  CommandResult result;
  result.duplicate = true;
  result.status = FailureStatus(outcome.failure, command.PrimaryKey());
  result.conditions_held = !outcome.otherwise;
  result.failed_condition = outcome.failed_condition;
  result.current_version = outcome.current_version;
  result.deleted = outcome.deleted;
  result.more = outcome.more;
  result.resume_key = outcome.resume_key;
  for (const Operation& op : outcome.otherwise ? command.otherwise : command.operations) {
    OperationResult item;
    auto left = reader_.At(op.key, primary.timestamp);
    if (!left.ok()) return left.status();
    if (left->has_value() && (*left)->version.kind != VersionKind::kOutcome) {
      const auto& version = (*left)->version;
      result.version = primary.timestamp;
      item.existed = version.kind == VersionKind::kTombstone;
      item.length = version.value.size();
      if (op.type == Operation::Type::kIncrement) {
        item.counter = ParseInteger(version.value).value_or(0);
      }
    }
    result.items.push_back(item);
  }
  return result;
}

absl::StatusOr<bool> Executor::Holds(const Condition& condition, Timestamp at,
                                     Timestamp* current) const {
  auto found = reader_.Get(condition.key, at);
  if (!found.ok()) return found.status();
  bool exists = found->has_value();
  *current = exists ? (*found)->timestamp : Timestamp();
  switch (condition.test) {
    case Condition::Test::kValueEquals: return exists && (*found)->version.value == condition.value;
    case Condition::Test::kVersionEquals: return exists && *current == condition.version;
    case Condition::Test::kAbsent: return !exists;
    case Condition::Test::kPresent: return exists;
  }
  return false;
}

absl::StatusOr<Executor::Failure> Executor::Plan(const Operation& op, Timestamp timestamp,
                                                 std::vector<Planned>* planned,
                                                 OperationResult* result) const {
  Planned plan;
  plan.key = op.key;
  if (op.type == Operation::Type::kPut) {
    plan.value = op.value;
    plan.crc32c = op.crc32c;
    if (op.ttl_ms != 0) plan.expiry = timestamp + (op.ttl_ms << kTimestampCounterBits);
    planned->push_back(std::move(plan));
    return Failure::kNone;
  }
  auto found = reader_.Get(op.key, timestamp);
  if (!found.ok()) return found.status();
  bool exists = found->has_value();
  if (op.type == Operation::Type::kDelete) {
    result->existed = exists;
    if (!exists) return Failure::kNone;
    plan.kind = VersionKind::kTombstone;
    planned->push_back(std::move(plan));
    return Failure::kNone;
  }
  if (exists) {
    plan.value = (*found)->version.value;
    plan.expiry = (*found)->version.expiry;
  }
  if (op.type == Operation::Type::kAppend) {
    if (plan.value.size() + op.value.size() > kValueBytesMax) return Failure::kTooLarge;
    plan.value += op.value;
    result->length = plan.value.size();
  } else {
    int64_t counter = 0;
    if (exists) {
      auto parsed = ParseInteger(plan.value);
      if (!parsed) return Failure::kNotANumber;
      counter = *parsed;
    }
    if (__builtin_add_overflow(counter, op.delta, &counter)) return Failure::kOverflow;
    result->counter = counter;
    plan.value = std::to_string(counter);
  }
  plan.crc32c = ValueChecksum(op.key, plan.value);
  planned->push_back(std::move(plan));
  return Failure::kNone;
}

// Leaves the planned versions and, where a later attempt must find it, the outcome.
void Executor::Commit(const Command& command, Timestamp timestamp, std::vector<Planned> planned,
                      const Outcome& outcome) {
  if (command.writer) {
    const std::string& primary = command.PrimaryKey();
    bool has_primary = false;
    for (const Planned& p : planned) has_primary = has_primary || p.key == primary;
    // A first attempt that changes nothing may run again: it was never there.
    if (!has_primary && (!planned.empty() || command.attempt > 1)) {
      Planned trace;
      trace.key = primary;
      trace.kind = VersionKind::kOutcome;
      planned.push_back(std::move(trace));
      KVD_FAULT_POINT(kOutcomeLeft);
    }
    writers_->Note(command.writer, timestamp);
  }
  std::string told = outcome.Encode();
  bool plain = !outcome.otherwise && outcome.failure == Failure::kNone &&
               command.kind == CommandKind::kWrite;
  for (const Planned& p : planned) {
    storage::Version version;
    version.kind = p.kind;
    version.writer = command.writer;
    version.expiry = p.expiry;
    version.crc32c = p.crc32c;
    version.value = p.value;
    if (!plain && command.writer && p.key == command.PrimaryKey()) version.outcome = told;
    std::string encoded = storage::Encode(version);
    batch_->Put(storage::VersionKey(group_, p.key, timestamp), encoded);
    if (!recent_->empty()) recent_->Note(p.key, timestamp);
    const ShardDescriptor* shard = load_ != nullptr ? meta_->shards.At(p.key) : nullptr;
    if (shard != nullptr) load_->NoteWrite(shard->id, p.key, p.key.size() + encoded.size());
    // No read sees an outcome.
    if (p.kind != VersionKind::kOutcome) rows_->Replace(p.key, timestamp, encoded);
    if (p.expiry) batch_->Put(ExpiryKey(group_, p.expiry), "");
    if (p.kind == VersionKind::kTombstone) NoteDeath(timestamp);
    if (p.expiry) NoteDeath(p.expiry);
  }
}

void Executor::NoteDeath(Timestamp at) {
  first_death_ = std::min(first_death_, at);
  last_death_ = std::max(last_death_, at);
}

absl::StatusOr<CommandResult> Executor::Write(const Command& command, Timestamp timestamp) {
  CommandResult result;
  result.status = CheckOwner(command);
  if (!result.status.ok()) return result;
  auto duplicate = FindDuplicate(command);
  if (!duplicate.ok()) return duplicate.status();
  if (duplicate->has_value()) return **std::move(duplicate);

  Outcome outcome;
  for (size_t i = 0; i < command.conditions.size() && !outcome.otherwise; ++i) {
    auto holds = Holds(command.conditions[i], timestamp, &outcome.current_version);
    if (!holds.ok()) return holds.status();
    if (*holds) continue;
    outcome.otherwise = true;
    outcome.failed_condition = static_cast<uint32_t>(i);
  }
  if (!outcome.otherwise) outcome.current_version = Timestamp();
  std::vector<Planned> planned;
  for (const Operation& op : outcome.otherwise ? command.otherwise : command.operations) {
    OperationResult item;
    auto failure = Plan(op, timestamp, &planned, &item);
    if (!failure.ok()) return failure.status();
    result.items.push_back(item);
    if (*failure == Failure::kNone) continue;
    // All or nothing.
    outcome.failure = *failure;
    result.status = FailureStatus(*failure, op.key);
    result.items.clear();
    planned.clear();
    break;
  }
  result.conditions_held = !outcome.otherwise;
  result.failed_condition = outcome.failed_condition;
  result.current_version = outcome.current_version;
  if (!planned.empty()) result.version = timestamp;
  Commit(command, timestamp, std::move(planned), outcome);
  return result;
}

absl::StatusOr<CommandResult> Executor::DeleteRange(const Command& command, Timestamp timestamp) {
  CommandResult result;
  result.status = CheckOwner(command);
  if (!result.status.ok()) return result;
  auto duplicate = FindDuplicate(command);
  if (!duplicate.ok()) return duplicate.status();
  if (duplicate->has_value()) return **std::move(duplicate);

  Outcome outcome;
  std::vector<Planned> planned;
  size_t limit = command.limit == 0 ? kDeleteRangeKeysDefault : command.limit;
  storage::ScanOptions scan;
  scan.range = meta_->shards.ServedStart(command.range);
  scan.at = timestamp;
  scan.dead_max = kDeleteRangeDeadKeysMax;
  scan.safe_point = meta_->safe_point;
  auto scanned =
      reader_.Scan(scan, [&](const std::string& key, Timestamp, const storage::Version&) {
        if (planned.size() == limit) {
          outcome.more = true;
          outcome.resume_key = key;
          return false;
        }
        Planned plan;
        plan.key = key;
        plan.kind = VersionKind::kTombstone;
        planned.push_back(std::move(plan));
        return true;
      });
  if (!scanned.ok()) return scanned.status();
  if (scanned->has_value()) {
    outcome.more = true;
    outcome.resume_key = **scanned;
  }
  if (!outcome.more && scan.range != command.range) {
    outcome.more = true;
    outcome.resume_key = scan.range.end;
  }
  outcome.deleted = result.deleted = planned.size();
  result.more = outcome.more;
  result.resume_key = outcome.resume_key;
  if (!planned.empty()) result.version = timestamp;
  Commit(command, timestamp, std::move(planned), outcome);
  return result;
}

}  // namespace kvd::shard
