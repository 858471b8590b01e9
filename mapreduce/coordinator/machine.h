// The state machine of jobs: what is submitted, planned, done and decided. The same commands give
// the same state on every replica. It decides nothing by itself: what runs where, and what is
// given up, is for the leader's Coordinator to say, in the next command; it refuses what would
// break an invariant. A member of the controller's group beside shardctrler's machine
// (storage::MachineSet).
#pragma once

#include "mapreduce/coordinator/command.h"
#include "mapreduce/coordinator/state.h"

namespace kvd::jobs {

class JobsMachine : public storage::RecordMachine {
 public:
  const State& state() const { return state_; }

  absl::Status Load(const storage::MvccReader& reader, Timestamp at) override;
  // The answer is an encoded Result.
  absl::StatusOr<std::string> Apply(std::string_view command, const Position& position,
                                    storage::RecordSink* records) override;

 private:
  // What a handler is given beside the command.
  struct Context {
    Timestamp now;
    storage::RecordSink* records;
  };

  absl::Status Handle(const Command& command, const Context& context, Result* result);
  absl::Status HandleJob(const Command& command, const Context& context, Result* result);

  absl::Status Submit(const Command& command, const Context& context, Result* result);
  absl::Status CheckSubmit(const JobSpec& spec, Timestamp now) const;
  absl::Status CheckPrefix(const JobSpec& spec) const;
  void Grant(const Command& command, const Context& context, Result* result);
  absl::Status Start(const Command& command, const Context& context, Result* result);
  absl::Status Decide(const Command& command, const Context& context);
  absl::Status EndJob(const Command& command, const Context& context);
  absl::Status Swept(const Command& command, const Context& context, Result* result);
  void Forget(const Context& context);
  void Finish(JobId id, JobState state, const std::string& reason, const Context& context);

  // machine_tasks.cc
  absl::Status Plan(const Command& command, const Context& context);
  absl::Status FinishPlan(const Command& command, const Context& context);
  absl::Status Splitters(const Command& command, const Context& context);
  absl::Status Complete(const Command& command, const Context& context);
  absl::Status CheckComplete(const Entry& entry, const Command& command) const;
  absl::Status Lost(const Command& command, const Context& context);
  absl::Status Skip(const Command& command, const Context& context);
  // The job, if it runs and is planned, and the task is one of it.
  absl::StatusOr<const Entry*> Running(JobId id, const TaskId& task) const;

  State state_;
};

}  // namespace kvd::jobs
