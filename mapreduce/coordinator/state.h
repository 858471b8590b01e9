// All jobs in memory, as the records of the group say them. Each change goes to memory and to a
// record. Pure but for the reader it is loaded from.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mapreduce/coordinator/records.h"
#include "mapreduce/coordinator/settings.h"
#include "server/storage/record_machine.h"

namespace kvd::jobs {

// One job. Tasks are there from its plan on until it is over and swept; of FILES those whose
// outputs are the job's stay.
struct Entry {
  std::shared_ptr<const JobSpec> spec;
  Job job;
  std::vector<Task> maps;
  std::vector<Task> reduces;
  uint32_t maps_available = 0;
  uint32_t reduces_available = 0;

  // Null if there is none.
  const Task* Find(const TaskId& task) const;
  // Whether what maps leave is the output.
  bool direct() const { return IsDirect(*spec); }
  // The tasks whose outputs are the job's.
  const std::vector<Task>& outputs() const { return direct() ? maps : reduces; }
  bool OutputsAvailable() const;
  // Whether anything that is to be done yet may read what the task has left.
  bool Needs(const TaskId& task) const;
  bool NeedsSplitters() const { return spec->order == Order::kTotal && job.reducers > 1; }
  // What is to be done next. Requires: it is running, publishing or done.
  Phase phase() const;
};

class State {
 public:
  const Ids& ids() const { return ids_; }
  const std::map<JobId, Entry>& jobs() const { return jobs_; }
  const Settings& settings() const { return settings_; }
  // Rises with each change. Says nothing to another replica.
  uint64_t version() const { return version_; }

  // Null if there is none.
  const Entry* Find(JobId id) const;
  // 0 if there is none of the nonce.
  JobId FindNonce(uint64_t nonce) const;
  size_t CountIn(JobState state) const;
  size_t CountOpen() const;
  // Safe points stay at or below this. kTimestampMax if nothing is pinned.
  Timestamp LowestPin() const;
  // Jobs that are over and swept and that settings let be forgotten by now, the oldest first.
  std::vector<JobId> Forgettable(Timestamp now) const;

  void Put(const Ids& ids, storage::RecordSink* records);
  void Insert(JobId id, const JobSpec& spec, const Job& job, storage::RecordSink* records);
  void Put(JobId id, const Job& job, storage::RecordSink* records);
  // One more, if its number is the next one.
  void Put(JobId id, const TaskId& task, const Task& value, storage::RecordSink* records);
  // Tasks of the phase from number `from` on.
  void EraseTasks(JobId id, Phase phase, size_t from, storage::RecordSink* records);
  void PutResult(JobId id, const std::string& result, storage::RecordSink* records);
  // Requires: it has no tasks any more.
  void Erase(JobId id, storage::RecordSink* records);
  void PutSetting(std::string_view name, uint64_t value, storage::RecordSink* records);

  // Replaces everything by what the records say as of `at`. DATA_LOSS if they are malformed.
  absl::Status Load(const storage::MvccReader& reader, Timestamp at);

  // Fails the process if what belongs together does not. Takes time by the number of tasks.
  void CheckState() const;

 private:
  bool Take(std::string_view key, std::string_view value);

  Ids ids_;
  std::map<JobId, Entry> jobs_;
  Settings settings_;
  uint64_t version_ = 1;
};

// The rows of an INLINE output, as its publisher encoded them. NOT_FOUND if there are none.
absl::StatusOr<std::string> ReadResult(const storage::MvccReader& reader, JobId job, Timestamp now);

// Whether the slices, one after the other, are exactly the inputs.
bool Covers(const std::vector<Task>& maps, const JobSpec& spec);

}  // namespace kvd::jobs
