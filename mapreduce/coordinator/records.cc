#include "mapreduce/coordinator/records.h"

#include "mapreduce/coordinator/codec.h"

namespace kvd::jobs {
namespace {

// What is left of a value behind its format.
Reader Open(std::string_view bytes) {
  bool known = !bytes.empty() && static_cast<uint8_t>(bytes[0]) == kRecordFormat;
  Reader r(known ? bytes.substr(1) : std::string_view());
  if (!known) (void)r.Byte();  // fails
  return r;
}

template <class T>
std::optional<T> Checked(const Reader& r, bool valid, T value) {
  if (!valid || !r.Done()) return std::nullopt;
  return value;
}

}  // namespace

std::string RecordKey(Table table) {
  return std::string(1, kRecordPrefix) + static_cast<char>(table);
}

std::string RecordKey(Table table, JobId job) {
  std::string key = RecordKey(table);
  Writer(&key).Fixed64(job.value());
  return key;
}

std::string RecordKey(JobId job, const TaskId& task) {
  std::string key = RecordKey(Table::kTasks, job);
  Writer w(&key);
  w.Byte(static_cast<uint8_t>(task.phase));
  w.Fixed32(task.number);
  return key;
}

std::string RecordKey(std::string_view setting) {
  std::string key = RecordKey(Table::kSettings);
  key += setting;
  return key;
}

std::optional<RecordName> ParseRecordKey(std::string_view key) {
  Reader r(key);
  if (r.Byte() != kRecordPrefix) return std::nullopt;
  RecordName name;
  name.table = static_cast<Table>(r.Byte());
  switch (name.table) {
    case Table::kIds: break;
    case Table::kSettings: name.setting = r.Raw(r.rest().size()); break;
    case Table::kJobs:
    case Table::kSpecs:
    case Table::kResults: name.job = JobId(r.Fixed64()); break;
    case Table::kTasks:
      name.job = JobId(r.Fixed64());
      if (!DecodeEnum(r, Phase::kMap, Phase::kReduce, &name.task.phase)) return std::nullopt;
      name.task.number = r.Fixed32();
      break;
    default: return std::nullopt;
  }
  return Checked(r, true, std::move(name));
}

std::string Encode(const Ids& ids) {
  std::string out;
  Writer w(&out);
  w.Byte(kRecordFormat);
  w.Varint(ids.next_job);
  w.Fixed64(ids.granted.value());
  return out;
}

std::optional<Ids> DecodeIds(std::string_view bytes) {
  Reader r = Open(bytes);
  Ids ids;
  ids.next_job = r.Id<JobId>();
  ids.granted = Timestamp(r.Fixed64());
  return Checked(r, true, ids);
}

std::string Encode(const Job& job) {
  std::string out;
  Writer w(&out);
  w.Byte(kRecordFormat);
  w.Fixed64(job.nonce);
  w.Byte(static_cast<uint8_t>(job.state));
  w.Bytes(job.reason);
  for (Timestamp t : {job.submitted, job.started, job.ended, job.pin}) w.Fixed64(t.value());
  w.Byte(static_cast<uint8_t>(job.planned | job.split << 1 | job.clean << 2 | job.has_result << 3));
  w.Varint(job.maps);
  w.Varint(job.reducers);
  EncodeStrings(w, job.splitters);
  w.Varint(job.bad_count);
  EncodeCounters(w, job.counters);
  EncodeBadRecords(w, job.bad_records);
  for (uint64_t n : {job.input_bytes, job.map_bytes, job.output_records, job.output_bytes}) {
    w.Varint(n);
  }
  return out;
}

std::optional<Job> DecodeJob(std::string_view bytes) {
  Reader r = Open(bytes);
  Job job;
  job.nonce = r.Fixed64();
  bool valid = DecodeEnum(r, JobState::kPending, JobState::kCancelled, &job.state);
  job.reason = r.Bytes();
  for (Timestamp* t : {&job.submitted, &job.started, &job.ended, &job.pin}) {
    *t = Timestamp(r.Fixed64());
  }
  uint8_t flags = r.Byte();
  job.planned = flags & 1;
  job.split = flags & 2;
  job.clean = flags & 4;
  job.has_result = flags & 8;
  job.maps = static_cast<uint32_t>(r.Varint());
  job.reducers = static_cast<uint32_t>(r.Varint());
  job.splitters = DecodeStrings(r);
  job.bad_count = r.Varint();
  job.counters = DecodeCounters(r);
  job.bad_records = DecodeBadRecords(r);
  for (uint64_t* n : {&job.input_bytes, &job.map_bytes, &job.output_records, &job.output_bytes}) {
    *n = r.Varint();
  }
  return Checked(r, valid && flags < 16, std::move(job));
}

std::string Encode(const Task& task) {
  std::string out;
  Writer w(&out);
  w.Byte(kRecordFormat);
  EncodeSlice(w, task.slice);
  w.Byte(static_cast<uint8_t>(task.output.has_value() | task.available << 1));
  if (task.output) EncodeOutput(w, *task.output);
  w.Varint(task.over_upto);
  w.Varint(task.losses);
  EncodeBadRecords(w, task.skipped);
  return out;
}

std::optional<Task> DecodeTask(std::string_view bytes) {
  Reader r = Open(bytes);
  Task task;
  task.slice = DecodeSlice(r);
  uint8_t flags = r.Byte();
  if (flags & 1) task.output = DecodeOutput(r);
  task.available = flags & 2;
  task.over_upto = r.Varint();
  task.losses = static_cast<uint32_t>(r.Varint());
  task.skipped = DecodeBadRecords(r);
  return Checked(r, flags < 4, std::move(task));
}

std::string EncodeSpecRecord(const JobSpec& spec) {
  std::string out;
  Writer w(&out);
  w.Byte(kRecordFormat);
  EncodeSpec(w, spec);
  return out;
}

std::optional<JobSpec> DecodeSpecRecord(std::string_view bytes) {
  Reader r = Open(bytes);
  JobSpec spec;
  bool valid = DecodeSpec(r, &spec);
  return Checked(r, valid, std::move(spec));
}

std::string EncodeNumber(uint64_t number) {
  std::string out;
  Writer w(&out);
  w.Byte(kRecordFormat);
  w.Fixed64(number);
  return out;
}

std::optional<uint64_t> DecodeNumber(std::string_view bytes) {
  Reader r = Open(bytes);
  uint64_t number = r.Fixed64();
  return Checked(r, true, number);
}

}  // namespace kvd::jobs
