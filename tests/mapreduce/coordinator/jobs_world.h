// Jobs in virtual time under one seed: replicas of the controller of which one leads and others
// may still think that they do, a log whose proposals are lost or carried out unheard of, stores
// that are killed, cut off and slow, a bad network between them, and data that changes while jobs
// read it. Attempts really compute. What is DONE must be what the same job gives in one go, and
// nothing may be left behind.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mapreduce/coordinator/agent.h"
#include "mapreduce/coordinator/coordinator.h"
#include "mapreduce/coordinator/machine.h"
#include "server/storage/memory_engine.h"
#include "tests/mapreduce/coordinator/model.h"
#include "tests/sim/scheduler.h"

namespace kvd::jobs {

// How often each thing happened.
struct JobsReport {
  uint64_t done = 0, failed = 0, cancelled = 0, leaders = 0, stale_leaders = 0, restarts = 0;
  uint64_t polls = 0, lost = 0, doubled = 0, unheard = 0, dropped_proposals = 0;
  uint64_t kills = 0, disks_lost = 0, cuts = 0, slow = 0, damaged = 0, injected = 0, moves = 0;
  uint64_t attempts = 0, losses = 0, backups = 0, fetch_failures = 0, skipped = 0, adopted = 0;
  uint64_t deadlines = 0, bad_jobs = 0, resubmitted = 0, given_up = 0;

  JobsReport& operator+=(const JobsReport& other);
  std::string ToString() const;
  // What never happened; empty: everything did.
  std::string Missing() const;
};

class JobsWorld {
 public:
  explicit JobsWorld(uint64_t seed, bool verbose = false);
  ~JobsWorld();
  // Jobs and faults for so long; then no faults until all is over; then all must be right.
  JobsReport Run(Duration duration);

 private:
  class WorldPort;
  class WorldRunner;
  friend class WorldPort;
  friend class WorldRunner;

  class Records : public storage::RecordSink {
   public:
    void Begin(Timestamp at) {
      at_ = at;
      batch_ = engine_.NewBatch();
    }
    void End() { (void)engine_.Write(*batch_); }
    void Put(std::string_view key, std::string_view value) override;
    void Delete(std::string_view key) override;
    const storage::Engine& engine() const { return engine_; }

   private:
    storage::MemoryEngine engine_;
    Timestamp at_;
    std::unique_ptr<storage::WriteBatch> batch_;
  };
  // A replica of the controller.
  struct Replica {
    std::unique_ptr<Records> records = std::make_unique<Records>();
    std::unique_ptr<JobsMachine> machine = std::make_unique<JobsMachine>();
    size_t applied = 0;
    std::unique_ptr<WorldPort> port;
    std::unique_ptr<Coordinator> coordinator;  // while it thinks that it leads
    uint64_t term = 0;
    MonotonicTime began;
    std::map<std::pair<JobId, Phase>, uint64_t> progress;  // the last that it told
  };
  struct LogEntry {
    std::string command;
    Timestamp at;
    absl::StatusOr<std::string> answer = absl::UnknownError("");
  };
  struct Store {
    StoreId id;
    bool up = false;
    bool cut = false;
    double pace = 1;
    uint64_t incarnation = 0;
    MonotonicTime heard;  // an answer came
    size_t believes = 0;  // which replica leads
    bool hinted = false;  // by one that does not
    uint64_t asked = 0;
    uint64_t answered = 0;
    std::map<AttemptId, ModelFile> files;
    std::unique_ptr<WorldRunner> runner;
    std::unique_ptr<Agent> agent;
  };
  struct Client {
    JobSpec spec;
    uint64_t nonce = 0;
    JobId job;
    bool cancels = false;
    bool gave_up = false;  // refused for good
  };

  // jobs_world.cc
  void Later(Duration mean, std::function<void()> f);
  void Repeat(Duration mean, void (JobsWorld::*what)());
  // Whether a message arrives; and perhaps twice.
  void Carry(const std::function<void()>& f);
  Timestamp Clock() const;
  void Propose(size_t replica, uint64_t term, const Command& command,
               std::function<void(absl::StatusOr<Result>)> done);
  void Append(size_t replica, const std::string& command);
  void Apply(size_t replica, size_t upto);
  void Observe(const Command& command, const absl::StatusOr<std::string>& answer);
  void Elect();
  void MakeCoordinator(size_t replica);
  void TickAll();
  void SendPoll(size_t store, const Poll& poll);
  void Receive(size_t store, size_t replica, const Poll& poll);
  const State& state() const { return replicas_[leader_].machine->state(); }

  // jobs_world_faults.cc
  void StartStore(size_t store);
  void KillStore(size_t store);
  void Fault();
  void Write();
  void GrantSafePoint();
  void MoveShard();
  void Heal();
  void SubmitOne();
  void SubmitTo(size_t client, int tries);
  JobSpec RandomSpec();
  void CancelOne();

  // jobs_world_checks.cc
  void CheckAlways();
  void CheckProgress();
  void CheckMarks(size_t replica, const Poll& poll);
  void CheckRunning();
  bool AllOver() const;
  void CheckEnd();
  void CheckDone(JobId id, const Entry& entry);
  void CheckFailed(JobId id, const Entry& entry);
  std::string LeftAtStores() const;
  [[noreturn]] void Fail(const std::string& what) const;

  const uint64_t seed_;
  const bool verbose_;
  sim::Scheduler scheduler_;
  Random random_;
  bool faulting_ = true;
  double loss_ = 0, doubling_ = 0, unheard_ = 0, failing_ = 0, trouble_ = 0;
  Duration late_max_;
  std::vector<Replica> replicas_;
  size_t leader_ = 0;
  uint64_t term_ = 0;
  std::vector<LogEntry> log_;
  std::vector<Store> stores_;
  std::vector<Client> clients_;
  std::map<uint64_t, JobId> by_nonce_;

  ModelData data_;
  Timestamp data_clock_;
  std::map<std::string, std::set<StoreId>> shards_;  // by start key

  std::map<JobId, Pairs> inputs_;  // what a job's input was when it was cut
  std::map<JobId, Pairs> staged_;
  std::map<JobId, Pairs> shown_;
  std::set<JobId> swept_;
  std::map<std::pair<JobId, TaskId>, uint64_t> accepted_;  // the attempt whose output counts
  std::map<std::pair<JobId, TaskId>, Hash> hashes_;
  std::map<std::pair<JobId, TaskId>, uint64_t> injected_;
  std::set<JobId> cancelled_;
  std::map<JobId, MonotonicTime> over_since_;
  JobsReport report_;
};

}  // namespace kvd::jobs
