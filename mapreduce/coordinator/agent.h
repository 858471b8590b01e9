// A store's part of jobs: polls the coordinator, runs what it is given, and gives up by itself what
// nobody may be waiting for any more. Knows nothing of how attempts run or how polls travel.
// Reactive; lives on one loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "mapreduce/coordinator/protocol.h"
#include "raft/runtime/time.h"

namespace kvd::jobs {

// What runs attempts and keeps their files.
class Runner {
 public:
  virtual ~Runner() = default;
  // Runs it; tells the agent how far it is and how it ended (OnProgress, OnFinished), later.
  virtual void Start(const Assignment& assignment) = 0;
  // Nothing more is told of it, and what it leaves is removed.
  virtual void Cancel(const AttemptId& attempt) = 0;
  // Removes all files of the job but those.
  virtual void Drop(JobId job, const std::vector<AttemptId>& keep) = 0;
  // Whole files that are there, also from before the store's last start.
  virtual std::vector<AttemptId> Files() const = 0;
};

struct AgentOptions {
  uint32_t slots = 2;
  Duration poll_interval = std::chrono::seconds(1);
  // An answer that takes longer is not waited for.
  Duration poll_timeout = std::chrono::seconds(2);
  // As CoordinatorOptions has it.
  Duration lease = std::chrono::seconds(5);
};

class Agent {
 public:
  // Has a poll travel to whoever leads the controller, as far as is known; OnAnswer tells what came
  // of it, if anything does.
  using Send = std::function<void(const Poll&)>;

  // `runner` outlives it. `incarnation` is above those of all earlier starts of the store.
  Agent(StoreId store, uint64_t incarnation, Runner* runner, Send send, AgentOptions options)
      : store_(store),
        incarnation_(incarnation),
        runner_(runner),
        send_(std::move(send)),
        options_(options) {}

  // Time passes: each 100 ms or so.
  void Tick(MonotonicTime now);
  // Answers to anything but the last poll, and of leaders that are none any more, change nothing.
  void OnAnswer(const PollAnswer& answer, MonotonicTime now);
  // From the runner. Of an attempt that was cancelled nothing is heard.
  void OnProgress(const AttemptId& attempt, uint64_t bytes_done);
  void OnFinished(AttemptResult result, MonotonicTime now);

  const std::map<AttemptId, uint64_t>& running() const { return running_; }
  const std::map<AttemptId, AttemptResult>& finished() const { return finished_; }
  const std::vector<ProgressMark>& marks() const { return marks_; }

 private:
  void SendPoll(MonotonicTime now);
  void CheckLease(MonotonicTime now);
  void DropJob(const Drop& drop);

  const StoreId store_;
  const uint64_t incarnation_;
  Runner* const runner_;
  const Send send_;
  const AgentOptions options_;

  uint64_t term_ = 0;  // the highest that answered
  uint64_t number_ = 0;
  bool waiting_ = false;  // for the answer to poll number_
  bool again_ = false;    // something ended meanwhile
  bool tell_files_ = false;
  MonotonicTime sent_at_ = kLongAgo;
  // When the last poll that was answered was sent: attempts are let run for a lease from then on.
  MonotonicTime renewed_at_ = kLongAgo;
  std::map<AttemptId, uint64_t> running_;        // how many bytes each has done
  std::map<AttemptId, AttemptResult> finished_;  // and not settled yet
  std::vector<ProgressMark> marks_;
};

}  // namespace kvd::jobs
