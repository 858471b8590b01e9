#include "mapreduce/coordinator/state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"

namespace kvd::jobs {

const Task* Entry::Find(const TaskId& task) const {
  const std::vector<Task>& tasks = task.phase == Phase::kReduce ? reduces : maps;
  return task.number < tasks.size() ? &tasks[task.number] : nullptr;
}

bool Entry::OutputsAvailable() const {
  if (!job.planned) return false;
  return direct() ? maps_available == job.maps : reduces_available == job.reducers;
}

bool Entry::Needs(const TaskId& task) const {
  if (job.state != JobState::kRunning) return false;
  return task.phase == Phase::kReduce || direct() || !OutputsAvailable();
}

Phase Entry::phase() const {
  if (!job.planned) return Phase::kPlan;
  if (OutputsAvailable() || job.state >= JobState::kPublishing) return Phase::kPublish;
  if (NeedsSplitters() && !job.split) return Phase::kSample;
  return maps_available < job.maps ? Phase::kMap : Phase::kReduce;
}

const Entry* State::Find(JobId id) const {
  auto it = jobs_.find(id);
  return it == jobs_.end() ? nullptr : &it->second;
}

JobId State::FindNonce(uint64_t nonce) const {
  for (const auto& [id, entry] : jobs_) {
    if (entry.job.nonce == nonce) return id;
  }
  return JobId();
}

size_t State::CountIn(JobState state) const {
  return static_cast<size_t>(std::count_if(jobs_.begin(), jobs_.end(), [state](const auto& item) {
    return item.second.job.state == state;
  }));
}

size_t State::CountOpen() const {
  return CountIn(JobState::kPending) + CountIn(JobState::kRunning) + CountIn(JobState::kPublishing);
}

Timestamp State::LowestPin() const {
  Timestamp lowest = kTimestampMax;
  for (const auto& [id, entry] : jobs_) {
    const Job& job = entry.job;
    if (job.pin && !IsOver(job.state)) lowest = std::min(lowest, job.pin);
  }
  return lowest;
}

std::vector<JobId> State::Forgettable(Timestamp now) const {
  std::vector<JobId> ended;
  for (const auto& [id, entry] : jobs_) {
    if (entry.job.clean) ended.push_back(id);
  }
  uint64_t kept = settings_[Setting::kHistoryJobs];
  size_t too_many = ended.size() > kept ? ended.size() - kept : 0;
  uint64_t age_max = settings_[Setting::kHistorySeconds] * 1'000;
  std::vector<JobId> out;
  for (size_t i = 0; i < ended.size(); ++i) {
    bool old = MillisOf(jobs_.at(ended[i]).job.ended) + age_max < MillisOf(now);
    if (i < too_many || old) out.push_back(ended[i]);
  }
  return out;
}

void State::Put(const Ids& ids, storage::RecordSink* records) {
  ++version_;
  ids_ = ids;
  records->Put(RecordKey(Table::kIds), Encode(ids));
}

void State::Insert(JobId id, const JobSpec& spec, const Job& job, storage::RecordSink* records) {
  KVD_CHECK(jobs_.count(id) == 0);
  jobs_[id].spec = std::make_shared<const JobSpec>(spec);
  records->Put(RecordKey(Table::kSpecs, id), EncodeSpecRecord(spec));
  Put(id, job, records);
}

void State::Put(JobId id, const Job& job, storage::RecordSink* records) {
  ++version_;
  jobs_.at(id).job = job;
  records->Put(RecordKey(Table::kJobs, id), Encode(job));
}

void State::Put(JobId id, const TaskId& task, const Task& value, storage::RecordSink* records) {
  ++version_;
  Entry& entry = jobs_.at(id);
  bool reduce = task.phase == Phase::kReduce;
  std::vector<Task>& tasks = reduce ? entry.reduces : entry.maps;
  uint32_t& available = reduce ? entry.reduces_available : entry.maps_available;
  KVD_CHECK(task.number <= tasks.size());
  if (task.number == tasks.size()) tasks.emplace_back();
  available -= tasks[task.number].available;
  available += value.available;
  tasks[task.number] = value;
  records->Put(RecordKey(id, task), Encode(value));
}

void State::EraseTasks(JobId id, Phase phase, size_t from, storage::RecordSink* records) {
  ++version_;
  Entry& entry = jobs_.at(id);
  bool reduce = phase == Phase::kReduce;
  std::vector<Task>& tasks = reduce ? entry.reduces : entry.maps;
  uint32_t& available = reduce ? entry.reduces_available : entry.maps_available;
  for (; tasks.size() > from; tasks.pop_back()) {
    available -= tasks.back().available;
    records->Delete(RecordKey(id, {phase, static_cast<uint32_t>(tasks.size() - 1)}));
  }
}

void State::PutResult(JobId id, const std::string& result, storage::RecordSink* records) {
  ++version_;
  records->Put(RecordKey(Table::kResults, id), result);
}

void State::Erase(JobId id, storage::RecordSink* records) {
  ++version_;
  const Entry& entry = jobs_.at(id);
  KVD_CHECK(entry.maps.empty() && entry.reduces.empty());
  records->Delete(RecordKey(Table::kJobs, id));
  records->Delete(RecordKey(Table::kSpecs, id));
  if (entry.job.has_result) records->Delete(RecordKey(Table::kResults, id));
  jobs_.erase(id);
}

void State::PutSetting(std::string_view name, uint64_t value, storage::RecordSink* records) {
  ++version_;
  settings_.Set(name, value);
  records->Put(RecordKey(name), EncodeNumber(value));
}

// Records come in the order of their keys: a job before its spec, and that before its tasks.
bool State::Take(std::string_view key, std::string_view value) {
  auto name = ParseRecordKey(key);
  if (!name) return false;
  if (name->table == Table::kJobs) {
    auto job = DecodeJob(value);
    if (job) jobs_[name->job].job = *std::move(job);
    return job.has_value();
  }
  if (name->table == Table::kIds) {
    auto ids = DecodeIds(value);
    if (ids) ids_ = *ids;
    return ids.has_value();
  }
  if (name->table == Table::kSettings) {
    auto number = DecodeNumber(value);
    // One that only a later version knows says nothing here.
    if (number && Settings::Check(name->setting, *number).ok()) {
      settings_.Set(name->setting, *number);
    }
    return number.has_value();
  }
  auto it = jobs_.find(name->job);
  if (it == jobs_.end()) return false;
  Entry& entry = it->second;
  if (name->table == Table::kResults) return entry.job.has_result;
  if (name->table == Table::kSpecs) {
    auto spec = DecodeSpecRecord(value);
    if (spec) entry.spec = std::make_shared<const JobSpec>(*std::move(spec));
    return spec.has_value();
  }
  bool reduce = name->task.phase == Phase::kReduce;
  std::vector<Task>& tasks = reduce ? entry.reduces : entry.maps;
  auto task = DecodeTask(value);
  if (!task || name->task.number != tasks.size()) return false;
  (reduce ? entry.reduces_available : entry.maps_available) += task->available;
  tasks.push_back(*std::move(task));
  return true;
}

absl::Status State::Load(const storage::MvccReader& reader, Timestamp at) {
  // What was known at an earlier version is about another state.
  uint64_t version = version_ + 1;
  *this = State();
  version_ = version;
  storage::ScanOptions options;
  options.at = at;
  std::string prefix(1, kRecordPrefix);
  options.range = {prefix, PrefixEnd(prefix)};
  std::string bad;
  auto scanned =
      reader.Scan(options, [&](const std::string& key, Timestamp, const storage::Version& version) {
        if (!Take(key, version.value)) bad = key;
        return bad.empty();
      });
  if (!scanned.ok()) return scanned.status();
  for (const auto& [id, entry] : jobs_) {
    if (entry.spec == nullptr) bad = RecordKey(Table::kJobs, id);
  }
  if (bad.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the jobs' record ", Printable(bad), " is malformed"));
}

absl::StatusOr<std::string> ReadResult(const storage::MvccReader& reader, JobId job,
                                       Timestamp now) {
  auto found = reader.Get(RecordKey(Table::kResults, job), now);
  if (!found.ok()) return found.status();
  if (!found->has_value()) {
    return absl::NotFoundError(absl::StrCat("job ", job.value(), " has no result kept with it"));
  }
  return std::string((*found)->version.value);
}

bool Covers(const std::vector<Task>& maps, const JobSpec& spec) {
  size_t next = 0;
  for (const KeyRange& input : SortedInputs(spec)) {
    std::string at = input.start;
    while (true) {
      if (next == maps.size() || maps[next].slice.range.start != at) return false;
      const KeyRange& range = maps[next++].slice.range;
      if (range.Empty() || !input.Contains(range)) return false;
      if (range.end == input.end) break;
      at = range.end;
    }
  }
  return next == maps.size();
}

}  // namespace kvd::jobs
