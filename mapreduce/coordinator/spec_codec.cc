// How a job's spec is logged and kept:
//
//   spec  = name inputs timestamp (8 B) code (map) code (combine) code (reduce) code (partition)
//           aggregator (1 B) top order (1 B) reducers output (1 B) prefix limits priority
//           incremental (1 B) slice_bytes
//   code  = kind (1 B) text parameters
#include "mapreduce/coordinator/codec.h"
#include "mapreduce/coordinator/spec.h"

namespace kvd::jobs {
namespace {

void EncodeCode(Writer& w, const Code& code) {
  w.Byte(static_cast<uint8_t>(code.kind));
  w.Bytes(code.text);
  w.Varint(code.parameters.size());
  for (const auto& [name, value] : code.parameters) {
    w.Bytes(name);
    w.Bytes(value);
  }
}

bool DecodeCode(Reader& r, Code* code) {
  if (!DecodeEnum(r, CodeKind::kNone, CodeKind::kNative, &code->kind)) return false;
  code->text = r.Bytes();
  for (uint64_t n = r.Count(); n > 0; --n) {
    std::string name(r.Bytes());
    code->parameters[std::move(name)] = r.Bytes();
  }
  return r.ok();
}

void EncodeLimits(Writer& w, const JobLimits& limits) {
  w.Varint(limits.memory_bytes);
  w.Varint(limits.cpu_ms);
  w.Varint(limits.spill_bytes);
  w.Varint(limits.attempts);
  w.Varint(limits.bad_records);
  w.Varint(limits.deadline_ms);
  w.Varint(limits.output_bytes);
  w.Varint(limits.concurrency);
}

JobLimits DecodeLimits(Reader& r) {
  JobLimits limits;
  limits.memory_bytes = r.Varint();
  limits.cpu_ms = r.Varint();
  limits.spill_bytes = r.Varint();
  limits.attempts = static_cast<uint32_t>(r.Varint());
  limits.bad_records = r.Varint();
  limits.deadline_ms = r.Varint();
  limits.output_bytes = r.Varint();
  limits.concurrency = static_cast<uint32_t>(r.Varint());
  return limits;
}

}  // namespace

void EncodeSpec(Writer& w, const JobSpec& spec) {
  w.Bytes(spec.name);
  w.Varint(spec.inputs.size());
  for (const KeyRange& input : spec.inputs) EncodeRange(w, input);
  w.Fixed64(spec.timestamp.value());
  for (const Code* code : {&spec.map, &spec.combine, &spec.reduce, &spec.partition}) {
    EncodeCode(w, *code);
  }
  w.Byte(static_cast<uint8_t>(spec.aggregator));
  w.Varint(spec.top);
  w.Byte(static_cast<uint8_t>(spec.order));
  w.Varint(spec.reducers);
  w.Byte(static_cast<uint8_t>(spec.output.kind));
  w.Bytes(spec.output.prefix);
  EncodeLimits(w, spec.limits);
  w.Varint(spec.priority);
  w.Byte(spec.incremental ? 1 : 0);
  w.Varint(spec.slice_bytes);
}

bool DecodeSpec(Reader& r, JobSpec* spec) {
  spec->name = r.Bytes();
  spec->inputs.resize(r.Count());
  for (KeyRange& input : spec->inputs) input = DecodeRange(r);
  spec->timestamp = Timestamp(r.Fixed64());
  for (Code* code : {&spec->map, &spec->combine, &spec->reduce, &spec->partition}) {
    if (!DecodeCode(r, code)) return false;
  }
  if (!DecodeEnum(r, Aggregator::kNone, Aggregator::kHll, &spec->aggregator)) return false;
  spec->top = static_cast<uint32_t>(r.Varint());
  if (!DecodeEnum(r, Order::kNone, Order::kTotal, &spec->order)) return false;
  spec->reducers = static_cast<uint32_t>(r.Varint());
  if (!DecodeEnum(r, OutputKind::kReplace, OutputKind::kInline, &spec->output.kind)) return false;
  spec->output.prefix = r.Bytes();
  spec->limits = DecodeLimits(r);
  spec->priority = static_cast<uint32_t>(r.Varint());
  spec->incremental = r.Byte() != 0;
  spec->slice_bytes = r.Varint();
  return r.ok();
}

}  // namespace kvd::jobs
