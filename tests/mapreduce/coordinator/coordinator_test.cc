// The leader's part and a store's part, step by step: who is given what, and when.
#include "mapreduce/coordinator/coordinator.h"

#include "gtest/gtest.h"
#include "mapreduce/coordinator/agent.h"
#include "tests/mapreduce/coordinator/lone_jobs.h"

namespace kvd::jobs {
namespace {

using std::chrono::seconds;

// Answers at once when it is let.
class TestPort : public Port {
 public:
  void Cut(JobId, const JobSpec&, Timestamp, Done<std::vector<Slice>> done) override {
    std::vector<Slice> slices;
    for (int i = 0; i < maps; ++i) {
      std::string end = i + 1 == maps ? "l" : "k" + std::to_string(i + 1);
      slices.push_back({{i == 0 ? "k" : "k" + std::to_string(i), end}, 100});
    }
    calls.push_back([done, slices] { done(slices); });
  }
  std::vector<StoreId> Holders(const Slice& slice) override {
    return {StoreId(slice.range.start == "k" ? 1 : 2)};
  }
  void Stage(JobId, const JobSpec&, const std::vector<Winner>&, Done<Staged> done) override {
    calls.push_back([done] { done(Staged()); });
  }
  void Publish(JobId, const JobSpec&, Done<Nothing> done) override {
    calls.push_back([done] { done(Nothing()); });
  }
  void Sweep(JobId, const JobSpec&, bool, Done<Nothing> done) override {
    calls.push_back([done] { done(Nothing()); });
  }

  int maps = 2;
  std::vector<std::function<void()>> calls;
};

class TestCatalog : public FunctionCatalog {
 public:
  absl::Status Check(Role, const Code& code) const override {
    if (code.text == "words") return absl::OkStatus();
    return absl::NotFoundError("map: there is no built-in function " + code.text);
  }
};

class CoordinatorTest : public testing::Test {
 protected:
  // Another leader, of the same state.
  void Lead() {
    coordinator_ = std::make_unique<Coordinator>(
        ++term_, now_, &jobs_.state(), &port_,
        [this](const Command& command, std::function<void(absl::StatusOr<Result>)> done) {
          port_.calls.push_back([this, command, done] { done(jobs_.Apply(command)); });
        },
        &catalog_,
        [](const std::vector<std::string>&, uint32_t) { return std::vector<std::string>(); },
        CoordinatorOptions());
  }
  // So long, with all that was asked for answered.
  void Pass(Duration duration) {
    for (MonotonicTime end = now_ + duration; now_ < end;) {
      now_ += milliseconds(100);
      coordinator_->Tick(now_, jobs_.now());
      while (!port_.calls.empty()) {
        auto calls = std::move(port_.calls);
        port_.calls.clear();
        for (const auto& call : calls) call();
        coordinator_->Tick(now_, jobs_.now());
      }
    }
  }
  void Submit(uint32_t priority = 0, uint32_t reducers = 1) {
    JobSpec spec;
    spec.name = "j";
    spec.inputs = {{"k", "l"}};
    spec.map = {CodeKind::kBuiltin, "words", {}};
    spec.aggregator = Aggregator::kSum;
    spec.reducers = reducers;
    spec.priority = priority;
    spec.limits.bad_records = 1;
    coordinator_->Submit(spec, ++nonce_, [](const absl::StatusOr<JobId>& id) {
      EXPECT_TRUE(id.ok()) << id.status();
    });
  }
  PollAnswer Ask(uint64_t store, uint32_t slots, std::vector<RunningAttempt> running = {},
                 std::vector<AttemptResult> finished = {}) {
    Poll poll;
    poll.store = StoreId(store);
    poll.incarnation = 1;
    poll.number = ++number_;
    poll.slots = slots;
    poll.running = std::move(running);
    for (const AttemptResult& result : finished) files_.insert(result.id);
    poll.files.emplace(files_.begin(), files_.end());
    poll.finished = std::move(finished);
    poll.jobs = {JobId(1)};
    poll.marks = marks_;
    return coordinator_->OnPoll(poll, now_).value();
  }
  static AttemptResult DoneOf(const AttemptId& id) {
    AttemptResult result;
    result.id = id;
    result.outcome = Outcome::kDone;
    result.output.bytes = 40;
    return result;
  }

  LoneJobs jobs_;
  TestPort port_;
  TestCatalog catalog_;
  MonotonicTime now_{std::chrono::hours(1)};
  uint64_t term_ = 0, nonce_ = 0, number_ = 0;
  std::set<AttemptId> files_;
  std::vector<ProgressMark> marks_;
  std::unique_ptr<Coordinator> coordinator_;
};

TEST_F(CoordinatorTest, ANewLeaderWaitsForALeaseAndAdoptsWhatRuns) {
  Lead();
  Submit();
  Pass(seconds(4));
  EXPECT_TRUE(Ask(1, 2).start.empty());
  Pass(seconds(1));
  AttemptId first = Ask(1, 1).start.at(0).id;
  Lead();
  PollAnswer answer = Ask(1, 2, {{first, 30}});
  EXPECT_TRUE(answer.start.empty() && answer.cancel.empty());
  EXPECT_EQ(coordinator_->Status(JobId(1), now_)->phases[0].bytes_done, 30u);
  Pass(seconds(5));
  ASSERT_EQ(coordinator_->attempts().count(first), 0u) << "its store was silent for a lease";
  std::vector<Assignment> start = Ask(2, 2).start;
  ASSERT_EQ(start.size(), 1u) << "the other task's data is elsewhere";
  EXPECT_GT(start[0].id.number, first.number);
}

TEST_F(CoordinatorTest, AFunctionThatThereIsNotIsToldAtOnce) {
  Lead();
  JobSpec spec;
  spec.name = "j";
  spec.inputs = {{"k", "l"}};
  spec.map = {CodeKind::kBuiltin, "werds", {}};
  absl::Status told;
  coordinator_->Submit(spec, 1, [&](const absl::StatusOr<JobId>& id) { told = id.status(); });
  EXPECT_EQ(told.message(), "map: there is no built-in function werds");
  EXPECT_TRUE(port_.calls.empty());
}

TEST_F(CoordinatorTest, ABadRecordIsSkippedAfterTwoHits) {
  Lead();
  Submit();
  Pass(seconds(5));
  for (int i = 0; i < 2; ++i) {
    AttemptResult hit;
    Assignment a = Ask(1, 1).start.at(0);
    EXPECT_TRUE(a.skip.empty());
    hit.id = a.id;
    hit.outcome = Outcome::kBadRecord;
    hit.bad = {"k0", "no number"};
    Ask(1, 0, {}, {hit});
    Pass(milliseconds(600));
  }
  EXPECT_EQ(Ask(1, 1).start.at(0).skip, std::vector<std::string>{"k0"});
  EXPECT_EQ(coordinator_->Status(JobId(1), now_)->job.bad_records.size(), 1u);
}

TEST_F(CoordinatorTest, AMapWhoseOutputCantBeReadRunsAgainAndTheReduceIsNotBlamed) {
  port_.maps = 1;
  Lead();
  Submit();
  Pass(seconds(5));
  AttemptId map = Ask(1, 1).start.at(0).id;
  Ask(1, 0, {}, {DoneOf(map)});
  Pass(milliseconds(100));
  for (int i = 0; i < 2; ++i) {
    Assignment reduce = Ask(2, 1).start.at(0);
    ASSERT_EQ(reduce.sources.size(), 1u);
    EXPECT_EQ(reduce.sources[0].store, StoreId(1));
    AttemptResult failed;
    failed.id = reduce.id;
    failed.outcome = Outcome::kFetchFailed;
    failed.lost = {{0, map.number, false}};
    Ask(2, 0, {}, {failed});
    Pass(milliseconds(600));
    Ask(1, 0);
    EXPECT_EQ(jobs_.job(1).maps[0].losses, i == 1 ? 1u : 0u) << "one report may be a bad network";
  }
  EXPECT_TRUE(Ask(1, 1).start.empty()) << "not again where it could not be read";
  Pass(seconds(1));
  EXPECT_EQ(Ask(2, 1).start.at(0).id.task, map.task);
}

TEST_F(CoordinatorTest, AJobIsTakenToItsEnd) {
  Lead();
  Submit();
  Pass(seconds(5));
  for (uint64_t store : {1, 2, 1}) {
    AttemptId id = Ask(store, 1).start.at(0).id;
    Ask(store, 0, {}, {DoneOf(id)});
    Pass(milliseconds(200));
  }
  JobStatus status = *coordinator_->Status(JobId(1), now_);
  EXPECT_EQ(status.job.state, JobState::kDone);
  EXPECT_TRUE(status.job.clean);
  ASSERT_EQ(status.phases.size(), 2u);
  EXPECT_EQ(status.phases[0].bytes_done, 200u);
  EXPECT_EQ(status.phases[1].bytes_done, 80u);
}

// Nothing that was told is taken back, though the attempt and its leader are gone.
TEST_F(CoordinatorTest, ProgressDoesNotFall) {
  Lead();
  Submit();
  Pass(seconds(5));
  AttemptId id = Ask(1, 1).start.at(0).id;
  Ask(1, 1, {{id, 60}});
  EXPECT_EQ(coordinator_->Status(JobId(1), now_)->phases[0].bytes_done, 60u);
  Pass(seconds(2));
  EXPECT_EQ(coordinator_->Status(JobId(1), now_)->left_ms, 0u);
  PollAnswer answer = Ask(1, 1, {{id, 80}});
  JobStatus status = *coordinator_->Status(JobId(1), now_);
  EXPECT_EQ(status.phases[0].bytes, 200u);
  EXPECT_EQ(status.left_ms, 12'001u) << "20 B in 2 s, and 120 B are left";
  answer = Ask(1, 1, {{id, 80}});
  Ask(1, 1);
  EXPECT_EQ(coordinator_->Status(JobId(1), now_)->phases[0].bytes_done, 80u);
  Lead();
  marks_ = answer.marks;
  Ask(1, 1);
  EXPECT_EQ(coordinator_->Status(JobId(1), now_)->phases[0].bytes_done, 80u);
}

TEST_F(CoordinatorTest, ATaskIsDoneWhereItsDataIsOrAfterAWhileElsewhere) {
  Lead();
  Submit();
  Pass(seconds(5));
  std::vector<Assignment> start = Ask(1, 2).start;
  ASSERT_EQ(start.size(), 1u);
  EXPECT_EQ(start[0].slice.range.start, "k");
  Pass(seconds(1));
  EXPECT_EQ(Ask(1, 2, {{start[0].id, 0}}).start.size(), 1u);
}

TEST_F(CoordinatorTest, AResultIsSettledOnceItIsLogged) {
  Lead();
  Submit();
  Pass(seconds(5));
  AttemptId id = Ask(1, 1).start.at(0).id;
  EXPECT_TRUE(Ask(1, 0, {}, {DoneOf(id)}).settled.empty());
  EXPECT_TRUE(Ask(1, 0, {}, {DoneOf(id)}).settled.empty());
  Pass(milliseconds(100));
  EXPECT_EQ(Ask(1, 0, {}, {DoneOf(id)}).settled, std::vector<AttemptId>{id});
  EXPECT_EQ(jobs_.job(1).maps_available, 1u);
}

TEST_F(CoordinatorTest, OfEqualJobsTheOneWithLessGoesFirstAndUrgentOnesBefore) {
  port_.maps = 6;
  Lead();
  Submit();
  Submit();
  Submit(5);
  Pass(seconds(6));
  std::map<JobId, int> got;
  for (const Assignment& a : Ask(2, 9).start) ++got[a.id.job];
  EXPECT_EQ(got[JobId(3)], 5);
  EXPECT_EQ(got[JobId(1)], 2);
  EXPECT_EQ(got[JobId(2)], 2);
}

TEST_F(CoordinatorTest, ASlowAttemptGetsABackupElsewhere) {
  Lead();
  Submit();
  Pass(seconds(5));
  AttemptId quick = Ask(1, 1).start.at(0).id;
  AttemptId slow = Ask(2, 1).start.at(0).id;
  Pass(milliseconds(500));
  Ask(1, 1, {}, {DoneOf(quick)});
  Pass(milliseconds(100));
  EXPECT_TRUE(Ask(1, 1, {}, {DoneOf(quick)}).start.empty());
  Ask(2, 1, {{slow, 5}});
  Pass(seconds(2));
  Ask(2, 1, {{slow, 6}});
  std::vector<Assignment> backup = Ask(1, 1).start;
  ASSERT_EQ(backup.size(), 1u);
  EXPECT_EQ(backup[0].id.task, slow.task);
  EXPECT_EQ(coordinator_->Status(JobId(1), now_)->phases[0].backups, 1u);
  Ask(1, 1, {}, {DoneOf(backup[0].id)});
  Pass(milliseconds(100));
  EXPECT_EQ(Ask(2, 1, {{slow, 7}}).cancel, std::vector<AttemptId>{slow});
}

TEST_F(CoordinatorTest, ATaskThatFailsFourTimesFailsItsJob) {
  Lead();
  Submit();
  Pass(seconds(5));
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(jobs_.job(1).job.state, JobState::kRunning);
    AttemptResult failed;
    failed.id = Ask(1, 1).start.at(0).id;
    failed.reason = "out of memory";
    // Told twice, it counts once.
    EXPECT_EQ(Ask(1, 0, {}, {failed}).settled.size(), 1u);
    Ask(1, 0, {}, {failed});
    Pass(milliseconds(600));
  }
  EXPECT_EQ(jobs_.job(1).job.reason,
            "map-0 failed 4 times (limits.attempts is 4), the last time on store 1: out of memory");
  EXPECT_TRUE(jobs_.job(1).job.clean);
  EXPECT_EQ(Ask(1, 1).drop.at(0).job, JobId(1));
}

TEST_F(CoordinatorTest, WhatASilentStoreHasIsDoneAgain) {
  Lead();
  Submit();
  Pass(seconds(5));
  AttemptId id = Ask(1, 1).start.at(0).id;
  Ask(1, 0, {}, {DoneOf(id)});
  Pass(seconds(16));
  EXPECT_EQ(jobs_.job(1).maps[0].losses, 1u);
}

class TestRunner : public Runner {
 public:
  void Start(const Assignment& a) override { started.push_back(a.id); }
  void Cancel(const AttemptId& id) override { cancelled.push_back(id); }
  void Drop(JobId, const std::vector<AttemptId>&) override {}
  std::vector<AttemptId> Files() const override { return {}; }
  std::vector<AttemptId> started, cancelled;
};

class AgentTest : public testing::Test {
 protected:
  void Answer(uint64_t term, std::vector<AttemptId> start = {}) {
    PollAnswer answer;
    answer.term = term;
    answer.number = polls_.back().number;
    for (const AttemptId& id : start) {
      answer.start.emplace_back();
      answer.start.back().id = id;
    }
    agent_.OnAnswer(answer, now_);
  }
  void Pass(Duration duration) {
    for (MonotonicTime end = now_ + duration; now_ < end;) {
      now_ += milliseconds(100);
      agent_.Tick(now_);
    }
  }

  const AttemptId id_{JobId(1), {Phase::kMap, 3}, 77};
  TestRunner runner_;
  std::vector<Poll> polls_;
  MonotonicTime now_{std::chrono::hours(1)};
  Agent agent_{StoreId(1), 1, &runner_, [this](const Poll& poll) { polls_.push_back(poll); },
               AgentOptions()};
};

TEST_F(AgentTest, AnAttemptThatNobodyKnowsOfAnyMoreEndsAfterALease) {
  Pass(milliseconds(100));
  Answer(1, {id_});
  EXPECT_EQ(runner_.started.size(), 1u);
  Pass(milliseconds(4'900));
  EXPECT_TRUE(runner_.cancelled.empty());
  Pass(milliseconds(200));
  EXPECT_EQ(runner_.cancelled, std::vector<AttemptId>{id_});
  EXPECT_TRUE(agent_.running().empty());
}

TEST_F(AgentTest, AResultIsToldUntilItIsSettledAndAtOnceFirst) {
  Pass(milliseconds(100));
  Answer(1, {id_});
  size_t before = polls_.size();
  AttemptResult result;
  result.id = id_;
  agent_.OnFinished(result, now_);
  ASSERT_EQ(polls_.size(), before + 1);
  EXPECT_EQ(polls_.back().finished.size(), 1u);
  Answer(1);
  Pass(seconds(1));
  EXPECT_EQ(polls_.back().finished.size(), 1u);
  PollAnswer answer;
  answer.term = 1;
  answer.number = polls_.back().number;
  answer.settled = {id_};
  agent_.OnAnswer(answer, now_);
  Pass(seconds(1));
  EXPECT_TRUE(polls_.back().finished.empty());
}

TEST_F(AgentTest, AnswersOfFormerLeadersAndToFormerPollsAreNotHeard) {
  Pass(milliseconds(100));
  Answer(5);
  Pass(seconds(1));
  Answer(4, {id_});
  EXPECT_TRUE(runner_.started.empty());
  uint64_t old = polls_.back().number;
  Pass(milliseconds(2'100));
  ASSERT_GT(polls_.back().number, old);
  PollAnswer late;
  late.term = 5;
  late.number = old;
  late.start.emplace_back();
  agent_.OnAnswer(late, now_);
  EXPECT_TRUE(runner_.started.empty());
}

}  // namespace
}  // namespace kvd::jobs
