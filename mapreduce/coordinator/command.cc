#include "mapreduce/coordinator/command.h"

#include "mapreduce/coordinator/codec.h"
#include "proto/error.h"
#include "proto/limits.h"

namespace kvd::jobs {
namespace {

void EncodeTask(Writer& w, const TaskId& task) {
  w.Byte(static_cast<uint8_t>(task.phase));
  w.Varint(task.number);
}

bool DecodeTask(Reader& r, TaskId* task) {
  if (!DecodeEnum(r, Phase::kMap, Phase::kReduce, &task->phase)) return false;
  task->number = static_cast<uint32_t>(r.Varint());
  return r.ok();
}

void EncodePlan(Writer& w, const Command& c) {
  w.Varint(c.first);
  w.Byte(c.final ? 1 : 0);
  w.Varint(c.reducers);
  w.Varint(c.slices.size());
  for (const Slice& slice : c.slices) EncodeSlice(w, slice);
}

bool DecodePlan(Reader& r, Command* c) {
  c->first = static_cast<uint32_t>(r.Varint());
  c->final = r.Byte() != 0;
  c->reducers = static_cast<uint32_t>(r.Varint());
  c->slices.resize(r.Count());
  for (Slice& slice : c->slices) slice = DecodeSlice(r);
  return r.ok();
}

void EncodeLost(Writer& w, const Command& c) {
  w.Varint(c.attempts.size());
  for (const AttemptId& attempt : c.attempts) {
    EncodeTask(w, attempt.task);
    w.Varint(attempt.number);
  }
}

bool DecodeLost(Reader& r, Command* c) {
  c->attempts.resize(r.Count());
  for (AttemptId& attempt : c->attempts) {
    attempt.job = c->job;
    if (!DecodeTask(r, &attempt.task)) return false;
    attempt.number = r.Varint();
  }
  return r.ok();
}

void EncodeFields(Writer& w, const Command& c) {
  switch (c.kind) {
    case CommandKind::kSubmit: w.Fixed64(c.nonce); return EncodeSpec(w, c.spec);
    case CommandKind::kGrant: return w.Fixed64(c.at.value());
    case CommandKind::kPlan: return EncodePlan(w, c);
    case CommandKind::kSplitters: return EncodeStrings(w, c.strings);
    case CommandKind::kComplete: EncodeTask(w, c.task); return EncodeOutput(w, c.output);
    case CommandKind::kLost: return EncodeLost(w, c);
    case CommandKind::kSkip:
      EncodeTask(w, c.task);
      w.Bytes(c.bad.key);
      return w.Bytes(c.bad.reason);
    case CommandKind::kDecide: return w.Bytes(c.text);
    case CommandKind::kEnd: w.Byte(static_cast<uint8_t>(c.state)); return w.Bytes(c.text);
    case CommandKind::kSet: w.Bytes(c.text); return w.Fixed64(c.value);
    case CommandKind::kStart:
    case CommandKind::kSwept:
    case CommandKind::kForget: return;
  }
}

bool DecodeFields(Reader& r, Command* c) {
  switch (c->kind) {
    case CommandKind::kSubmit: c->nonce = r.Fixed64(); return DecodeSpec(r, &c->spec);
    case CommandKind::kGrant: c->at = Timestamp(r.Fixed64()); return r.ok();
    case CommandKind::kPlan: return DecodePlan(r, c);
    case CommandKind::kSplitters: c->strings = DecodeStrings(r); return r.ok();
    case CommandKind::kComplete:
      if (!DecodeTask(r, &c->task)) return false;
      c->output = DecodeOutput(r);
      return r.ok();
    case CommandKind::kLost: return DecodeLost(r, c);
    case CommandKind::kSkip:
      if (!DecodeTask(r, &c->task)) return false;
      c->bad.key = r.Bytes();
      c->bad.reason = r.Bytes();
      return r.ok();
    case CommandKind::kDecide: c->text = r.Bytes(); return r.ok();
    case CommandKind::kEnd:
      if (!DecodeEnum(r, JobState::kDone, JobState::kCancelled, &c->state)) return false;
      c->text = r.Bytes();
      return r.ok();
    case CommandKind::kSet:
      c->text = r.Bytes();
      c->value = r.Fixed64();
      return r.ok();
    case CommandKind::kStart:
    case CommandKind::kSwept:
    case CommandKind::kForget: return r.ok();
  }
  return false;
}

absl::Status AtMost(std::string_view field, uint64_t limit, uint64_t seen, std::string_view unit) {
  return seen <= limit ? absl::OkStatus() : LimitError(field, limit, seen, unit);
}

absl::Status CheckCounters(const Counters& counters) {
  absl::Status status = AtMost("counters", kCountersMax, counters.size(), "counters");
  for (const auto& [name, value] : counters) {
    status.Update(AtMost("a counter's name", kCounterNameMax, name.size(), "bytes"));
  }
  return status;
}

}  // namespace

absl::Status Validate(const Command& c) {
  switch (c.kind) {
    case CommandKind::kSubmit:
      return c.nonce == 0 ? LimitError("nonce", 1, 0, "") : absl::OkStatus();
    case CommandKind::kPlan: {
      absl::Status status = AtMost("slices", kSlicesAtOnceMax, c.slices.size(), "slices");
      status.Update(AtMost("the job's slices", kSlicesMax, c.first + c.slices.size(), "slices"));
      status.Update(AtMost("reducers", kReducersMax, c.reducers, "reducers"));
      return status;
    }
    case CommandKind::kSplitters:
      return AtMost("splitters", kReducersMax - 1, c.strings.size(), "splitters");
    case CommandKind::kComplete: return CheckCounters(c.output.counters);
    case CommandKind::kLost:
      return AtMost("attempts", kLostAtOnceMax, c.attempts.size(), "attempts");
    case CommandKind::kSkip: {
      absl::Status status = AtMost("bad record's key", kKeyBytesMax, c.bad.key.size(), "bytes");
      status.Update(AtMost("bad record's reason", kReasonBytesMax, c.bad.reason.size(), "bytes"));
      return status;
    }
    case CommandKind::kDecide: return AtMost("result", kResultBytesMax, c.text.size(), "bytes");
    case CommandKind::kEnd: return AtMost("reason", kReasonBytesMax, c.text.size(), "bytes");
    case CommandKind::kSet: return Settings::Check(c.text, c.value);
    case CommandKind::kGrant:
    case CommandKind::kStart:
    case CommandKind::kSwept:
    case CommandKind::kForget: return absl::OkStatus();
  }
  return absl::InternalError("unknown kind of command");
}

std::string Encode(const Command& c) {
  std::string out;
  Writer w(&out);
  w.Byte(kCommandFormat);
  w.Byte(static_cast<uint8_t>(c.kind));
  w.Varint(c.job);
  EncodeFields(w, c);
  return out;
}

absl::StatusOr<Command> DecodeCommand(std::string_view bytes) {
  Reader r(bytes);
  Command c;
  uint8_t format = r.Byte();
  c.kind = static_cast<CommandKind>(r.Byte());
  c.job = r.Id<JobId>();
  if (format != kCommandFormat || !DecodeFields(r, &c) || !r.Done()) {
    return absl::InvalidArgumentError("a command of the jobs' coordinator is malformed");
  }
  return c;
}

std::string Encode(const Result& result) {
  std::string out;
  Writer w(&out);
  w.Byte(kRecordFormat);
  w.Varint(result.job);
  w.Fixed64(result.at.value());
  w.Byte(result.more ? 1 : 0);
  return out;
}

absl::StatusOr<Result> DecodeResult(std::string_view bytes) {
  Reader r(bytes);
  Result result;
  uint8_t format = r.Byte();
  result.job = r.Id<JobId>();
  result.at = Timestamp(r.Fixed64());
  result.more = r.Byte() != 0;
  if (format != kRecordFormat || !r.Done()) {
    return absl::InvalidArgumentError("an answer of the jobs' coordinator is malformed");
  }
  return result;
}

}  // namespace kvd::jobs
