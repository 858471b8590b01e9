// The leader's part of the jobs' coordinator: says which store runs what, and takes every job from
// submission to its end, in steps that are logged before they count. Reactive: it does something
// only when time passes (Tick), when a store polls (OnPoll), or when a call or proposal ends. One
// object for one term: made when this store begins to lead the controller with all that was
// committed before applied, destroyed when it leads no more. Lives on the controller's loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mapreduce/coordinator/command.h"
#include "mapreduce/coordinator/job_run.h"
#include "mapreduce/coordinator/port.h"
#include "mapreduce/coordinator/protocol.h"
#include "mapreduce/coordinator/state.h"
#include "mapreduce/coordinator/status.h"

namespace kvd::jobs {

struct CoordinatorOptions {
  // An attempt whose store is silent for so long is given to another one. A store counts from the
  // sending of its last poll that was answered, so it has given up by then.
  Duration lease = std::chrono::seconds(5);
  // What a store has that is silent for so long is taken for lost.
  Duration gone_after = std::chrono::seconds(15);
  // How long a task waits for a store that has its data.
  Duration locality_wait = std::chrono::seconds(1);
  // How long a task rests that has failed.
  Duration task_pause = milliseconds(500);
  Duration retry_after_min = milliseconds(50);
  Duration retry_after_max = milliseconds(2'000);
  // Before that an attempt is not called slow.
  Duration backup_after = std::chrono::seconds(2);
  uint32_t bad_hits = 2;
  uint32_t unreachable_hits = 2;
  uint32_t samples_max = 10;
  uint64_t sample_bytes = 1 << 20;
  // What a reduce task gets if the job does not say how many there are.
  uint64_t reduce_bytes = 64 << 20;
};

class Coordinator {
 public:
  // Has the controller's log take a command; calls back once it is applied, or why it is not. If
  // that is not known, it may be applied later.
  // Never before it has returned.
  using Propose = std::function<void(const Command&, std::function<void(absl::StatusOr<Result>)>)>;
  // Rising splitters, at most `partitions` - 1, that cut keys like these, which are sorted.
  using ChooseSplitters =
      std::function<std::vector<std::string>(const std::vector<std::string>&, uint32_t)>;

  // All given outlive it; the port does not call back before a call has returned either. `term` is
  // the leader's, and above all before.
  Coordinator(uint64_t term, MonotonicTime now, const State* state, Port* port, Propose propose,
              const FunctionCatalog* catalog, ChooseSplitters choose_splitters,
              CoordinatorOptions options);
  // Answers that come later change nothing.
  ~Coordinator() { *alive_ = false; }
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  // Time passes: each 100 ms or so, and when the state has changed. `clock` is the group's.
  void Tick(MonotonicTime now, Timestamp clock);
  // Nothing: the poll is older than one that was answered, or of an earlier incarnation; it gets no
  // answer.
  std::optional<PollAnswer> OnPoll(const Poll& poll, MonotonicTime now);

  // INVALID_ARGUMENT at once for what can be told to be wrong.
  void Submit(const JobSpec& spec, uint64_t nonce, std::function<void(absl::StatusOr<JobId>)> done);
  // FAILED_PRECONDITION if it is over, or can only be finished any more.
  void Cancel(JobId job, const std::string& reason, std::function<void(absl::Status)> done);
  // NOT_FOUND if there is none, or it is forgotten.
  absl::StatusOr<JobStatus> Status(JobId job, MonotonicTime now);

  // Whether it still waits for stores to tell what they run.
  bool Waits(MonotonicTime now) const { return now < began_ + options_.lease; }
  const std::map<AttemptId, Attempt>& attempts() const { return attempts_; }

 private:
  struct Worker {
    uint64_t incarnation = 0;
    uint64_t number = 0;
    MonotonicTime heard = kLongAgo;
    uint32_t slots = 0;
    bool told_files = false;
  };

  // coordinator_steps.cc: what a job needs next.
  void Drive(JobId id, const Entry& entry);
  void StartJobs();
  void Plan(JobId id, const Entry& entry);
  void PlanPart(JobId id, std::shared_ptr<std::vector<Slice>> slices, size_t first);
  uint32_t ReducersFor(const Entry& entry, const std::vector<Slice>& slices) const;
  void ChooseSplit(JobId id, const Entry& entry);
  void Stage(JobId id, const Entry& entry);
  void Publish(JobId id, const Entry& entry);
  void Sweep(JobId id, const Entry& entry);
  void SweepTasks(JobId id);
  void EndJob(JobId id, JobState state, const std::string& reason);
  void CheckDeadline(JobId id, const Entry& entry);
  void LoseSilent(JobId id, const Entry& entry);
  void Lose(JobId id, std::vector<AttemptId> attempts);
  Command JobCommand(CommandKind kind, JobId id) const;
  // A step of the job begins: what it waits for is wrapped, so that a failure is tried again.
  template <class T>
  std::function<void(absl::StatusOr<T>)> Then(JobId id, std::function<void(const T&)> next);
  void ProposeStep(const Command& command, std::function<void(const Result&)> next);

  // coordinator_poll.cc: what stores say.
  Worker* Hear(const Poll& poll);
  void TakeFiles(StoreId store, const std::vector<AttemptId>& files);
  void TakeRunning(const Poll& poll, PollAnswer* answer);
  void TakeResult(StoreId store, const AttemptResult& result, PollAnswer* answer);
  // Whether the result is settled: it need not be told again.
  bool TakeDone(StoreId store, const Entry& entry, const AttemptResult& result);
  void TakeFailure(StoreId store, const Entry& entry, const AttemptResult& result);
  void TakeBadRecord(const Entry& entry, const AttemptResult& result);
  bool TakeLostSources(const Entry& entry, const AttemptResult& result);
  void CountFailure(StoreId store, const Entry& entry, const AttemptResult& result);
  void TellDrops(const Poll& poll, PollAnswer* answer) const;
  bool IsWanted(const AttemptId& id, const Attempt& attempt) const;
  void Remove(std::map<AttemptId, Attempt>::iterator it);
  void RemoveOf(StoreId store);
  bool IsSilent(StoreId store, Duration silence) const;

  // coordinator_assign.cc: who does what.
  void Assign(const Poll& poll, PollAnswer* answer);
  JobId NextJob(const std::set<JobId>& without) const;
  std::optional<TaskId> NextTask(JobId id, const Entry& entry, StoreId store);
  std::optional<TaskId> NextBackup(JobId id, const Entry& entry, StoreId store);
  void FillWaiting(JobId id, const Entry& entry, JobRun* run);
  bool IsWaiting(JobId id, const Entry& entry, const TaskId& task) const;
  bool MayRunHere(const TaskRun* known, StoreId store) const;
  bool IsNear(const Entry& entry, const TaskId& task, StoreId store) const;
  Assignment Begin(JobId id, const Entry& entry, const TaskId& task, StoreId store, bool backup);
  std::vector<uint32_t> SampleTasks(const Entry& entry) const;
  // The attempts of a task are [first, last).
  std::map<AttemptId, Attempt>::const_iterator First(JobId id, const TaskId& task) const;
  bool HasAttempt(JobId id, const TaskId& task) const;

  // coordinator_status.cc
  uint64_t TaskBytes(const Entry& entry, const TaskId& task) const;
  PhaseStatus StatusOf(JobId id, const Entry& entry, Phase phase);
  uint64_t LeftMillis(JobId id, const Entry& entry, const JobStatus& status);
  void TellMarks(const Poll& poll, PollAnswer* answer);
  void TakeMarks(const Poll& poll);

  const uint64_t term_;
  const MonotonicTime began_;
  const State* const state_;
  Port* const port_;
  const Propose propose_;
  const FunctionCatalog* const catalog_;
  const ChooseSplitters choose_splitters_;
  const CoordinatorOptions options_;

  MonotonicTime now_;
  Timestamp clock_;
  uint64_t next_attempt_ = 1;
  std::map<StoreId, Worker> workers_;
  std::map<AttemptId, Attempt> attempts_;
  std::map<JobId, JobRun> runs_;
  std::set<AttemptId> proposed_;  // completions on their way
  bool starting_ = false;
  MonotonicTime forget_at_ = kLongAgo;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::jobs
