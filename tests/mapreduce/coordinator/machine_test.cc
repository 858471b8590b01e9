// The jobs' state machine: what each command changes, and what it refuses and why.
#include "mapreduce/coordinator/machine.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/mapreduce/coordinator/lone_jobs.h"

namespace kvd::jobs {
namespace {

JobSpec WordCount() {
  JobSpec spec;
  spec.name = "words";
  spec.inputs = {{"k", "l"}};
  spec.map = {CodeKind::kBuiltin, "words", {}};
  spec.aggregator = Aggregator::kSum;
  spec.reducers = 2;
  spec.limits.bad_records = 1;
  return spec;
}

class MachineTest : public testing::Test {
 protected:
  Result Do(const Command& command) {
    auto result = jobs_.Apply(command);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(Result());
  }
  // Whether it is refused with a message that has `words`; and then nothing has changed.
  bool Refused(const Command& command, const char* words) {
    uint64_t version = jobs_.state().version();
    auto result = jobs_.Apply(command);
    EXPECT_FALSE(result.ok());
    EXPECT_EQ(jobs_.state().version(), version);
    bool says = absl::StrContains(result.status().message(), words);
    EXPECT_TRUE(says) << result.status();
    return says;
  }

  static Command Submission(const JobSpec& spec, uint64_t nonce = 7) {
    Command c;
    c.kind = CommandKind::kSubmit;
    c.spec = spec;
    c.nonce = nonce;
    return c;
  }
  static Command Of(CommandKind kind, uint64_t job = 1) {
    Command c;
    c.kind = kind;
    c.job = JobId(job);
    return c;
  }
  static Command GrantTo(Timestamp at) {
    Command c = Of(CommandKind::kGrant, 0);
    c.at = at;
    return c;
  }
  static Command PlanOf(uint32_t reducers) {
    Command c = Of(CommandKind::kPlan);
    c.slices = {{{"k", "k5"}, 10}, {{"k5", "l"}, 20}};
    c.final = true;
    c.reducers = reducers;
    return c;
  }
  static Command Completion(Phase phase, uint32_t number, uint64_t attempt, uint64_t hash = 1) {
    Command c = Of(CommandKind::kComplete);
    c.task = {phase, number};
    c.output.store = StoreId(3);
    c.output.attempt = attempt;
    c.output.hash = {hash, hash};
    c.output.records = 5;
    c.output.counters = {{"records", 10}};
    return c;
  }
  static Command LossOf(Phase phase, uint32_t number, uint64_t attempt) {
    Command c = Of(CommandKind::kLost);
    c.attempts = {{JobId(1), {phase, number}, attempt}};
    return c;
  }
  static Command SkipOf(uint32_t map, const std::string& key) {
    Command c = Of(CommandKind::kSkip);
    c.task = {Phase::kMap, map};
    c.bad = {key, "no number"};
    return c;
  }
  static Command EndAs(JobState state) {
    Command c = Of(CommandKind::kEnd);
    c.state = state;
    return c;
  }
  void Begin(const JobSpec& spec = WordCount()) {
    Do(Submission(spec));
    Do(Of(CommandKind::kStart));
    Do(PlanOf(IsDirect(spec) ? 0 : spec.reducers));
  }
  void DoAll(Phase phase) {
    for (uint32_t i = 0; i < 2; ++i) Do(Completion(phase, i, 100 + i));
  }

  LoneJobs jobs_;
};

TEST_F(MachineTest, AJobGoesFromSubmissionToItsEndAndIsForgotten) {
  EXPECT_EQ(Do(Submission(WordCount())).job, JobId(1));
  EXPECT_EQ(jobs_.job(1).job.state, JobState::kPending);
  EXPECT_TRUE(Do(Of(CommandKind::kStart)).at);
  EXPECT_EQ(jobs_.job(1).phase(), Phase::kPlan);
  Do(PlanOf(2));
  EXPECT_EQ(jobs_.job(1).phase(), Phase::kMap);
  DoAll(Phase::kMap);
  EXPECT_EQ(jobs_.job(1).phase(), Phase::kReduce);
  Refused(Of(CommandKind::kDecide), "it has not all of its output");
  DoAll(Phase::kReduce);
  Command decide = Of(CommandKind::kDecide);
  decide.text = "rows";
  Do(decide);
  Refused(EndAs(JobState::kCancelled), "is publishing: it can't become cancelled");
  Do(EndAs(JobState::kDone));
  EXPECT_EQ(jobs_.job(1).job.counters.at("records"), 40);
  EXPECT_EQ(jobs_.job(1).job.output_records, 10u);
  ASSERT_TRUE(jobs_.Restart().ok());
  EXPECT_EQ(*ReadResult(jobs_.reader(), JobId(1), jobs_.now()), "rows");
  EXPECT_FALSE(Do(Of(CommandKind::kSwept)).more);
  EXPECT_TRUE(jobs_.job(1).job.clean);
  Do(Of(CommandKind::kForget));
  EXPECT_NE(jobs_.state().Find(JobId(1)), nullptr);
  jobs_.Pass(uint64_t{8} * 86'400'000);
  Do(Of(CommandKind::kForget));
  EXPECT_EQ(jobs_.state().Find(JobId(1)), nullptr);
  ASSERT_TRUE(jobs_.Restart().ok());
  EXPECT_TRUE(jobs_.state().jobs().empty());
}

TEST_F(MachineTest, ANonceIsOneJobs) {
  EXPECT_EQ(Do(Submission(WordCount(), 7)).job, JobId(1));
  EXPECT_EQ(Do(Submission(WordCount(), 7)).job, JobId(1));
  EXPECT_EQ(Do(Submission(WordCount(), 8)).job, JobId(2));
}

TEST_F(MachineTest, APinHoldsGrantsBackUntilItsJobIsOver) {
  Do(GrantTo(jobs_.now()));
  Timestamp before = jobs_.now();
  JobSpec past = WordCount();
  past.timestamp = before - 5'000;
  Refused(Submission(past), "history is kept from");
  past.timestamp = before + 100;
  Do(Submission(past));
  jobs_.Pass(1'000);
  EXPECT_EQ(Do(GrantTo(jobs_.now())).at, past.timestamp);
  Do(EndAs(JobState::kCancelled));
  Timestamp later = jobs_.now();
  EXPECT_EQ(Do(GrantTo(later)).at, later);
}

TEST_F(MachineTest, OneOutputOfATaskCounts) {
  Begin();
  Do(Completion(Phase::kMap, 0, 100));
  Do(Completion(Phase::kMap, 0, 100));
  Refused(Completion(Phase::kMap, 0, 101), "map-0 of job 1 is done");
  EXPECT_EQ(jobs_.job(1).maps[0].output->attempt, 100u);
}

TEST_F(MachineTest, AfterALossEarlierAttemptsAreOver) {
  Begin();
  Do(Completion(Phase::kMap, 0, 100));
  Do(LossOf(Phase::kMap, 0, 99));
  EXPECT_TRUE(jobs_.job(1).maps[0].available);
  Do(LossOf(Phase::kMap, 0, 100));
  EXPECT_FALSE(jobs_.job(1).maps[0].available);
  Refused(Completion(Phase::kMap, 0, 100), "its output was lost");
  Refused(Completion(Phase::kMap, 0, 99), "its output was lost");
  Do(Completion(Phase::kMap, 0, 101));
  ASSERT_TRUE(jobs_.Restart().ok());
  EXPECT_EQ(jobs_.job(1).maps[0].losses, 1u);
}

TEST_F(MachineTest, ARerunThatLeavesOtherBytesFailsTheJob) {
  Begin();
  Do(Completion(Phase::kMap, 0, 100));
  Do(LossOf(Phase::kMap, 0, 100));
  Do(Completion(Phase::kMap, 0, 101, 2));
  EXPECT_EQ(jobs_.job(1).job.state, JobState::kFailed);
  EXPECT_TRUE(absl::StrContains(jobs_.job(1).job.reason, "not pure"));
}

TEST_F(MachineTest, CountersOfALostOutputCountOnce) {
  Begin();
  DoAll(Phase::kMap);
  Do(LossOf(Phase::kMap, 0, 100));
  Do(Completion(Phase::kMap, 0, 105));
  Do(LossOf(Phase::kMap, 1, 101));
  // Its reader had read it.
  DoAll(Phase::kReduce);
  Do(Of(CommandKind::kDecide));
  Do(EndAs(JobState::kDone));
  EXPECT_EQ(jobs_.job(1).job.counters.at("records"), 40);
}

TEST_F(MachineTest, ATaskThatLosesItsOutputTooOftenFailsTheJob) {
  Begin();
  for (uint64_t attempt = 1; attempt <= kLossesMax + 1; ++attempt) {
    ASSERT_EQ(jobs_.job(1).job.state, JobState::kRunning);
    Do(Completion(Phase::kMap, 1, attempt));
    Do(LossOf(Phase::kMap, 1, attempt));
  }
  EXPECT_EQ(jobs_.job(1).job.reason, "the output of map-1 was lost 21 times");
}

TEST_F(MachineTest, BadRecordsCountOnceAndUpToALimit) {
  Begin();
  Do(SkipOf(0, "k1"));
  Do(SkipOf(0, "k1"));
  EXPECT_EQ(jobs_.job(1).job.bad_count, 1u);
  Refused(Completion(Phase::kMap, 0, 100), "skips 1 records, the attempt skipped 0");
  Do(SkipOf(1, "k7"));
  EXPECT_EQ(jobs_.job(1).job.state, JobState::kFailed);
  EXPECT_TRUE(absl::StrContains(jobs_.job(1).job.reason, "2 bad records, the limit is 1"));
}

TEST_F(MachineTest, APlanIsExactlyTheInputs) {
  Do(Submission(WordCount()));
  Do(Of(CommandKind::kStart));
  Command part = PlanOf(2);
  part.final = false;
  part.slices.pop_back();
  Do(part);
  // Another leader begins anew.
  Do(part);
  Command late = part;
  late.first = 3;
  Refused(late, "slices from 3 on, after 1");
  Command gap = part;
  gap.first = 1;
  gap.final = true;
  gap.reducers = 2;
  gap.slices = {{{"k6", "l"}, 1}};
  Do(gap);
  EXPECT_EQ(jobs_.job(1).job.state, JobState::kFailed);
}

TEST_F(MachineTest, TwoJobsDoNotWriteUnderOnePrefix) {
  JobSpec spec = WordCount();
  spec.output = {OutputKind::kMerge, "out/a"};
  Do(Submission(spec, 1));
  spec.output = {OutputKind::kReplace, "out/"};
  Refused(Submission(spec, 2), "is in use by job 1");
  Do(EndAs(JobState::kCancelled));
  Do(Submission(spec, 2));
}

TEST_F(MachineTest, SplittersRiseAndTheFirstOnesStay) {
  JobSpec spec = WordCount();
  spec.order = Order::kTotal;
  Begin(spec);
  EXPECT_EQ(jobs_.job(1).phase(), Phase::kSample);
  Refused(Completion(Phase::kMap, 0, 100), "are not chosen yet");
  Command split = Of(CommandKind::kSplitters);
  split.strings = {"m", "f"};
  Refused(split, "that don't rise, or too many");
  split.strings = {"m"};
  Do(split);
  split.strings = {"q"};
  Do(split);
  EXPECT_EQ(jobs_.job(1).job.splitters, std::vector<std::string>{"m"});
}

TEST_F(MachineTest, QuotasHold) {
  Command set;
  set.kind = CommandKind::kSet;
  set.text = "jobs-open-max";
  set.value = 2;
  Do(set);
  set.text = "jobs-at-once";
  set.value = 1;
  Do(set);
  set.text = "speed";
  Refused(set, "there is no setting of jobs \"speed\"");
  Do(Submission(WordCount(), 1));
  Do(Submission(WordCount(), 2));
  Refused(Submission(WordCount(), 3), "the limit (jobs-open-max) is 2");
  Do(Of(CommandKind::kStart, 1));
  Refused(Of(CommandKind::kStart, 2), "1 jobs run (jobs-at-once)");
}

// Of FILES the tasks whose files are the output stay.
TEST_F(MachineTest, SweepingKeepsWhereFilesAre) {
  JobSpec spec = WordCount();
  spec.output.kind = OutputKind::kJsonLines;
  Begin(spec);
  DoAll(Phase::kMap);
  DoAll(Phase::kReduce);
  Do(Of(CommandKind::kDecide));
  Do(EndAs(JobState::kDone));
  Do(Of(CommandKind::kSwept));
  EXPECT_TRUE(jobs_.job(1).maps.empty());
  EXPECT_EQ(jobs_.job(1).reduces.size(), 2u);
  ASSERT_TRUE(jobs_.Restart().ok());
  EXPECT_EQ(jobs_.job(1).reduces.size(), 2u);
}

TEST_F(MachineTest, WhatIsWrongIsNamed) {
  JobSpec spec = WordCount();
  spec.slice_bytes = 1'000;
  Refused(Submission(spec), "slice_bytes is 1000 bytes");
  spec = WordCount();
  spec.inputs = {{"a", "c"}, {"b", "d"}};
  Refused(Submission(spec), "inputs[1] overlaps inputs[0]");
  spec = WordCount();
  spec.output = {OutputKind::kReplace, "k1"};
  Refused(Submission(spec), "output.prefix \"k1\" overlaps inputs[0]");
  spec.inputs = {{"k1/a", "k1/b"}};
  Refused(Submission(spec), "output.prefix \"k1\" overlaps inputs[0]");
  spec = WordCount();
  spec.combine = {CodeKind::kBuiltin, "distinct", {}};
  Refused(Submission(spec), "combine is given beside an aggregator");
  spec = WordCount();
  spec.reducers = 1'001;
  Refused(Submission(spec), "reducers is 1001");
  spec = WordCount();
  spec.order = Order::kTotal;
  spec.partition = {CodeKind::kLua, "return 1", {}};
  Refused(Submission(spec), "partition is given, but with order TOTAL");
  spec = WordCount();
  spec.limits.memory_bytes = uint64_t{2} << 30;
  Refused(Submission(spec), "limits.memory_bytes is 2147483648 bytes");
  spec = WordCount();
  spec.incremental = true;
  Refused(Submission(spec), "incremental is true");
  spec = WordCount();
  spec.timestamp = jobs_.now() + 5'000'000;
  Refused(Submission(spec), "timestamp is");
}

TEST_F(MachineTest, CommandsAndRecordsSurviveTheirEncoding) {
  JobSpec spec = WordCount();
  spec.map.parameters = {{"lower", "1"}};
  spec.output = {OutputKind::kMerge, "out"};
  spec.timestamp = Timestamp(99);
  for (const Command& c :
       {Submission(spec), GrantTo(Timestamp(5)), PlanOf(2), Completion(Phase::kReduce, 3, 77),
        LossOf(Phase::kMap, 1, 5), SkipOf(1, "k"), EndAs(JobState::kFailed)}) {
    std::string bytes = Encode(c);
    auto again = DecodeCommand(bytes);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(*again, c);
    for (size_t n = 0; n < bytes.size(); ++n) {
      EXPECT_FALSE(DecodeCommand(bytes.substr(0, n)).ok());
    }
  }
}

class Numbers : public storage::RecordMachine {
 public:
  absl::Status Load(const storage::MvccReader&, Timestamp) override { return absl::OkStatus(); }
  absl::StatusOr<std::string> Apply(std::string_view command, const Position&,
                                    storage::RecordSink* records) override {
    records->Put(command.substr(1), "1");
    return std::string("numbers");
  }
};

TEST(MachineSetTest, EachHasItsOwnCommandsAndRecords) {
  class Sink : public storage::RecordSink {
   public:
    void Put(std::string_view key, std::string_view) override { keys += key; }
    void Delete(std::string_view) override {}
    std::string keys;
  };
  Numbers numbers;
  JobsMachine jobs;
  storage::MachineSet set;
  set.Add('n', "xy", &numbers);
  set.Add(kCommandFormat, "j", &jobs);
  Sink sink;
  EXPECT_EQ(*set.Apply("nx1", {}, &sink), "numbers");
  EXPECT_EQ(sink.keys, "x1");
  EXPECT_EQ(set.Apply("q", {}, &sink).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(set.Apply("", {}, &sink).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(set.Apply("j", {}, &sink).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_DEATH((void)set.Apply("nj1", {}, &sink), "j1");
}

}  // namespace
}  // namespace kvd::jobs
