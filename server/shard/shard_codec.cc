#include "server/shard/shard_codec.h"

namespace kvd::shard {
namespace {

void EncodeRange(Writer& w, const KeyRange& range) {
  w.Bytes(range.start);
  w.Bytes(range.end);
}

KeyRange DecodeRange(Reader& r) {
  KeyRange range;
  range.start = r.Bytes();
  range.end = r.Bytes();
  return range;
}

bool DecodeFields(Reader& r, ShardDescriptor* s) {
  s->id = r.Id<ShardId>();
  s->range = DecodeRange(r);
  s->epoch = r.Id<Epoch>();
  s->state = static_cast<ShardState>(r.Byte());
  s->operation = r.Id<OperationId>();
  s->peer = r.Id<GroupId>();
  s->copied = Timestamp(r.Fixed64());
  s->copying = Timestamp(r.Fixed64());
  s->next_key = r.Bytes();
  s->next_after = Timestamp(r.Fixed64());
  s->frozen_at = Timestamp(r.Fixed64());
  return r.ok() && s->state >= ShardState::kImporting && s->state <= ShardState::kFrozen;
}

}  // namespace

std::string Encode(const ShardDescriptor& s) {
  std::string out;
  Writer w(&out);
  w.Varint(s.id);
  EncodeRange(w, s.range);
  w.Varint(s.epoch);
  w.Byte(static_cast<uint8_t>(s.state));
  w.Varint(s.operation);
  w.Varint(s.peer);
  w.Fixed64(s.copied.value());
  w.Fixed64(s.copying.value());
  w.Bytes(s.next_key);
  w.Fixed64(s.next_after.value());
  w.Fixed64(s.frozen_at.value());
  return out;
}

std::optional<ShardDescriptor> DecodeShard(std::string_view bytes) {
  Reader r(bytes);
  ShardDescriptor shard;
  if (!DecodeFields(r, &shard) || !r.Done()) return std::nullopt;
  return shard;
}

std::string Encode(const FinishedStep& finished) {
  std::string out;
  Writer w(&out);
  w.Varint(finished.operation);
  w.Byte(static_cast<uint8_t>(finished.outcome));
  return out;
}

std::optional<FinishedStep> DecodeFinished(std::string_view bytes) {
  Reader r(bytes);
  FinishedStep finished;
  finished.operation = r.Id<OperationId>();
  finished.outcome = static_cast<StepOutcome>(r.Byte());
  bool valid = finished.outcome == StepOutcome::kDone || finished.outcome == StepOutcome::kAborted;
  if (!valid || !r.Done()) return std::nullopt;
  return finished;
}

void EncodeStep(Writer& w, const ShardStep& s) {
  w.Byte(static_cast<uint8_t>(s.kind));
  w.Varint(s.operation);
  w.Varint(s.closed_below);
  w.Varint(s.shard);
  w.Varint(s.epoch);
  EncodeRange(w, s.range);
  w.Bytes(s.key);
  w.Fixed64(s.key_after.value());
  w.Bytes(s.next_key);
  w.Fixed64(s.next_after.value());
  w.Varint(s.other);
  w.Varint(s.other_epoch);
  w.Varint(s.peer);
  w.Fixed64(s.after.value());
  w.Fixed64(s.at.value());
  w.Fixed64(s.safe_point.value());
  w.Bytes(s.rows);
}

bool DecodeStep(Reader& r, ShardStep* s) {
  s->kind = static_cast<StepKind>(r.Byte());
  s->operation = r.Id<OperationId>();
  s->closed_below = r.Id<OperationId>();
  s->shard = r.Id<ShardId>();
  s->epoch = r.Id<Epoch>();
  s->range = DecodeRange(r);
  s->key = r.Bytes();
  s->key_after = Timestamp(r.Fixed64());
  s->next_key = r.Bytes();
  s->next_after = Timestamp(r.Fixed64());
  s->other = r.Id<ShardId>();
  s->other_epoch = r.Id<Epoch>();
  s->peer = r.Id<GroupId>();
  s->after = Timestamp(r.Fixed64());
  s->at = Timestamp(r.Fixed64());
  s->safe_point = Timestamp(r.Fixed64());
  s->rows = r.Bytes();
  return r.ok() && s->kind >= StepKind::kInstall && s->kind <= StepKind::kDrop;
}

std::string Encode(const StepAnswer& answer) {
  std::string out;
  Writer w(&out);
  w.Byte(static_cast<uint8_t>(answer.outcome));
  w.Fixed64(answer.safe_point.value());
  if (answer.shard) w.Raw(Encode(*answer.shard));
  return out;
}

std::optional<StepAnswer> DecodeStepAnswer(std::string_view bytes) {
  Reader r(bytes);
  StepAnswer answer;
  answer.outcome = static_cast<StepOutcome>(r.Byte());
  answer.safe_point = Timestamp(r.Fixed64());
  if (answer.outcome < StepOutcome::kOpen || answer.outcome > StepOutcome::kAborted)
    return std::nullopt;
  if (r.Done()) return answer;
  answer.shard = DecodeShard(r.rest());
  if (!answer.shard) return std::nullopt;
  return answer;
}

void AppendRow(std::string* rows, const ShardRow& row) {
  Writer w(rows);
  w.Bytes(row.key);
  w.Fixed64(row.timestamp.value());
  w.Bytes(row.version);
}

bool ForEachRow(std::string_view rows, const std::function<bool(const ShardRow&)>& row) {
  Reader r(rows);
  while (!r.Done()) {
    ShardRow next;
    next.key = r.Bytes();
    next.timestamp = Timestamp(r.Fixed64());
    next.version = r.Bytes();
    if (!r.ok() || !row(next)) return false;
  }
  return true;
}

}  // namespace kvd::shard
