#include "server/shard/command.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "proto/error.h"
#include "proto/limits.h"
#include "server/shard/shard_codec.h"

namespace kvd::shard {
namespace {

constexpr uint8_t kFormat = 1;

void EncodeOperations(Writer& w, const std::vector<Operation>& operations) {
  w.Varint(operations.size());
  for (const Operation& op : operations) {
    w.Byte(static_cast<uint8_t>(op.type));
    w.Bytes(op.key);
    switch (op.type) {
      case Operation::Type::kPut:
        w.Bytes(op.value);
        w.Fixed32(op.crc32c);
        w.Varint(op.ttl_ms);
        break;
      case Operation::Type::kAppend: w.Bytes(op.value); break;
      case Operation::Type::kDelete: break;
      case Operation::Type::kIncrement: w.SignedVarint(op.delta); break;
    }
  }
}

bool DecodeOperations(Reader& r, std::vector<Operation>* out) {
  uint64_t count = r.Count();
  // Before room is made for them: Validate let no more into the log.
  if (count > kBatchOperationsMax) return false;
  out->resize(count);
  for (Operation& op : *out) {
    op.type = static_cast<Operation::Type>(r.Byte());
    op.key = r.Bytes();
    switch (op.type) {
      case Operation::Type::kPut:
        op.value = r.Bytes();
        op.crc32c = r.Fixed32();
        op.ttl_ms = r.Varint();
        break;
      case Operation::Type::kAppend: op.value = r.Bytes(); break;
      case Operation::Type::kDelete: break;
      case Operation::Type::kIncrement: op.delta = r.SignedVarint(); break;
      default: return false;
    }
  }
  return r.ok();
}

void EncodeConditions(Writer& w, const std::vector<Condition>& conditions) {
  w.Varint(conditions.size());
  for (const Condition& c : conditions) {
    w.Byte(static_cast<uint8_t>(c.test));
    w.Bytes(c.key);
    if (c.test == Condition::Test::kValueEquals) w.Bytes(c.value);
    if (c.test == Condition::Test::kVersionEquals) w.Fixed64(c.version.value());
  }
}

bool DecodeConditions(Reader& r, std::vector<Condition>* out) {
  uint64_t count = r.Count();
  if (count > kConditionsMax) return false;
  out->resize(count);
  for (Condition& c : *out) {
    c.test = static_cast<Condition::Test>(r.Byte());
    if (c.test < Condition::Test::kValueEquals || c.test > Condition::Test::kPresent) return false;
    c.key = r.Bytes();
    if (c.test == Condition::Test::kValueEquals) c.value = r.Bytes();
    if (c.test == Condition::Test::kVersionEquals) c.version = Timestamp(r.Fixed64());
  }
  return r.ok();
}

void EncodeWriter(Writer& w, const Command& c) {
  w.Fixed64(c.writer.client.value());
  w.Varint(c.writer.sequence);
  w.Varint(c.attempt);
  w.Fixed64(c.token.value());
}

void DecodeWriter(Reader& r, Command* c) {
  c->writer.client = ClientId(r.Fixed64());
  c->writer.sequence = r.Id<Sequence>();
  c->attempt = static_cast<uint32_t>(r.Varint());
  c->token = Timestamp(r.Fixed64());
}

bool DecodeFields(Reader& r, Command* c) {
  switch (c->kind) {
    case CommandKind::kWrite:
      DecodeWriter(r, c);
      return DecodeConditions(r, &c->conditions) && DecodeOperations(r, &c->operations) &&
             DecodeOperations(r, &c->otherwise) &&
             !(c->conditions.empty() && c->operations.empty() && c->otherwise.empty());
    case CommandKind::kDeleteRange:
      DecodeWriter(r, c);
      c->range.start = r.Bytes();
      c->range.end = r.Bytes();
      c->limit = static_cast<uint32_t>(r.Varint());
      return true;
    case CommandKind::kClockAdvance: return true;
    case CommandKind::kSafePoint: c->safe_point = Timestamp(r.Fixed64()); return true;
    case CommandKind::kVerify: c->verification = r.Fixed64(); return true;
    case CommandKind::kMachine: c->payload = r.Raw(r.rest().size()); return true;
    case CommandKind::kShard: return DecodeStep(r, &c->step);
    case CommandKind::kFence: c->operation = r.Id<OperationId>(); return true;
  }
  return false;
}

absl::Status CheckKey(std::string_view field, const std::string& key) {
  if (key.empty()) return LimitError(absl::StrCat(ToAbsl(field), ".key"), 1, 0, "bytes");
  if (key.size() > kKeyBytesMax) {
    return LimitError(absl::StrCat(ToAbsl(field), ".key"), kKeyBytesMax, key.size(), "bytes");
  }
  return absl::OkStatus();
}

absl::Status CheckOperations(std::string_view field, const std::vector<Operation>& operations) {
  if (operations.size() > kBatchOperationsMax) {
    return LimitError(field, kBatchOperationsMax, operations.size(), "operations");
  }
  std::set<std::string_view> keys;
  for (const Operation& op : operations) {
    absl::Status key = CheckKey(field, op.key);
    if (!key.ok()) return key;
    if (op.value.size() > kValueBytesMax) {
      return LimitError(absl::StrCat(ToAbsl(field), ".value"), kValueBytesMax, op.value.size(),
                        "bytes");
    }
    if (op.ttl_ms > kTtlMillisMax) {
      return LimitError(absl::StrCat(ToAbsl(field), ".ttl_ms"), kTtlMillisMax, op.ttl_ms, "ms");
    }
    if (operations.size() > 1 && !keys.insert(op.key).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(ToAbsl(field), " names key ", Printable(op.key), " twice"));
    }
  }
  return absl::OkStatus();
}

// Nearly always as much as Encode gives or a little more. A string that grows doubles: that would
// be twice the memory for as long as the entry lives.
size_t EncodedBytes(const Command& c) {
  constexpr size_t kHead = 64;
  constexpr size_t kEach = 24;  // lengths, numbers, the type
  size_t bytes =
      kHead + c.range.start.size() + c.range.end.size() + c.payload.size() + c.step.rows.size();
  for (const Condition& condition : c.conditions) {
    bytes += kEach + condition.key.size() + condition.value.size();
  }
  for (const auto* operations : {&c.operations, &c.otherwise}) {
    for (const Operation& op : *operations) bytes += kEach + op.key.size() + op.value.size();
  }
  return bytes;
}

}  // namespace

const std::string& Command::PrimaryKey() const {
  if (kind == CommandKind::kDeleteRange) return range.start;
  if (!conditions.empty()) return conditions.front().key;
  if (!operations.empty()) return operations.front().key;
  KVD_CHECK(!otherwise.empty());
  return otherwise.front().key;
}

std::string Encode(const Command& c) {
  std::string out;
  out.reserve(EncodedBytes(c));
  Writer w(&out);
  w.Byte(kFormat);
  w.Byte(static_cast<uint8_t>(c.kind));
  w.Fixed64(c.timestamp.value());
  switch (c.kind) {
    case CommandKind::kWrite:
      EncodeWriter(w, c);
      EncodeConditions(w, c.conditions);
      EncodeOperations(w, c.operations);
      EncodeOperations(w, c.otherwise);
      break;
    case CommandKind::kDeleteRange:
      EncodeWriter(w, c);
      w.Bytes(c.range.start);
      w.Bytes(c.range.end);
      w.Varint(c.limit);
      break;
    case CommandKind::kClockAdvance: break;
    case CommandKind::kSafePoint: w.Fixed64(c.safe_point.value()); break;
    case CommandKind::kVerify: w.Fixed64(c.verification); break;
    case CommandKind::kMachine: w.Raw(c.payload); break;
    case CommandKind::kShard: EncodeStep(w, c.step); break;
    case CommandKind::kFence: w.Varint(c.operation); break;
  }
  return out;
}

absl::StatusOr<Command> DecodeCommand(std::string_view bytes) {
  Reader r(bytes);
  Command c;
  uint8_t format = r.Byte();
  c.kind = static_cast<CommandKind>(r.Byte());
  c.timestamp = Timestamp(r.Fixed64());
  if (format != kFormat || !DecodeFields(r, &c) || !r.Done()) {
    return absl::InvalidArgumentError("a logged command is malformed");
  }
  return c;
}

bool AddsData(const Command& c) {
  if (c.kind == CommandKind::kShard) return c.step.kind == StepKind::kImport;
  for (const auto* operations : {&c.operations, &c.otherwise}) {
    for (const Operation& op : *operations) {
      if (op.type != Operation::Type::kDelete) return true;
    }
  }
  return false;
}

absl::Status Validate(const Command& c) {
  if (c.kind == CommandKind::kDeleteRange) {
    if (c.range.Empty()) {
      return absl::InvalidArgumentError(absl::StrCat("range: start ", Printable(c.range.start),
                                                     " is not below end ", Printable(c.range.end)));
    }
    if (std::max(c.range.start.size(), c.range.end.size()) > kKeyBytesMax + 1) {
      return LimitError("range", kKeyBytesMax + 1,
                        std::max(c.range.start.size(), c.range.end.size()), "bytes");
    }
    if (c.limit > kDeleteRangeKeysMax)
      return LimitError("limit", kDeleteRangeKeysMax, c.limit, "keys");
    return absl::OkStatus();
  }
  if (c.payload.size() > kRequestBytesMax) {
    return LimitError("payload", kRequestBytesMax, c.payload.size(), "bytes");
  }
  if (c.kind != CommandKind::kWrite) return absl::OkStatus();
  if (c.operations.empty() && c.otherwise.empty() && c.conditions.empty()) {
    return absl::InvalidArgumentError("operations: none given");
  }
  if (c.conditions.size() > kConditionsMax) {
    return LimitError("conditions", kConditionsMax, c.conditions.size(), "conditions");
  }
  size_t bytes = 0;
  for (const Condition& condition : c.conditions) {
    absl::Status key = CheckKey("conditions", condition.key);
    if (!key.ok()) return key;
    if (condition.value.size() > kValueBytesMax) {
      return LimitError("conditions.value_equals", kValueBytesMax, condition.value.size(), "bytes");
    }
    bytes += condition.key.size() + condition.value.size();
  }
  absl::Status status = CheckOperations("operations", c.operations);
  if (status.ok()) status = CheckOperations("otherwise", c.otherwise);
  if (!status.ok()) return status;
  for (const Operation& op : c.operations) bytes += op.key.size() + op.value.size();
  for (const Operation& op : c.otherwise) bytes += op.key.size() + op.value.size();
  if (bytes > kRequestBytesMax) return LimitError("request", kRequestBytesMax, bytes, "bytes");
  return absl::OkStatus();
}

}  // namespace kvd::shard
