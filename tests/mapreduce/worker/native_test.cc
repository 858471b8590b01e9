// Workers made with the SDK: what they can do, and what they can't.
#include "gmock/gmock.h"
#include "mapreduce/bad_record.h"
#include "tests/mapreduce/worker/worker_fixture.h"

namespace kvd::mapreduce {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class NativeTest : public WorkerTest {
 protected:
  Outcome Run(GuestSpec spec) {
    return Map(std::move(spec), {{"good", "1"}, {"bad", "2"}, {"last", "3"}});
  }
  void TearDown() override { ExpectUnharmed(); }
};

TEST_F(NativeTest, Maps) {
  auto outcome = Run(Native("echo"));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.out.pairs, (Pairs{{"good", "1"}, {"bad", "2"}, {"last", "3"}, {"end", "map"}}));
  EXPECT_THAT(outcome.out.counts, ElementsAre(Pair("records", 3)));
  EXPECT_THAT(Run(Native("log")).log, ElementsAre("a line"));
}

TEST_F(NativeTest, Reduces) {
  auto reduce = GuestReduce::Start(host_, wire::Role::kReduce, Native("count"));
  ASSERT_TRUE(reduce.ok()) << reduce.status();
  Collector out;
  ValuesOf many(std::vector<std::string>(100'000, "value"));
  ValuesOf one({"1"});
  ASSERT_TRUE((*reduce)->Reduce("a", &many, &out).ok());
  ASSERT_TRUE((*reduce)->Reduce("b", &one, &out).ok());
  ASSERT_TRUE((*reduce)->Finish(&out).ok());
  EXPECT_EQ(out.pairs, (Pairs{{"a", "100000"}, {"b", "1"}}));
}

TEST_F(NativeTest, LacksWhatItDoesNotDefine) {
  auto combine = GuestReduce::Start(host_, wire::Role::kCombine, Native("count"));
  EXPECT_EQ(combine.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(combine.status().message()),
              HasSubstr("the worker has no function for combine"));
  GuestSpec spec = Native("echo");
  spec.native = "unknown";
  EXPECT_THAT(std::string(Run(spec).status.message()),
              HasSubstr("native worker \"unknown\" is not in this store's list"));
}

TEST_F(NativeTest, DoesWhatNeedsNoPermission) {
  auto outcome = Run(Native("harmless"));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.out.pairs, (Pairs{{"environment", "empty"}, {"text", "1.500"}}));
}

TEST_F(NativeTest, ExceptionsAreTheRecordsFault) {
  ExpectBadRecord(Run(Native("throw")).status, "bad", "exception: row is bad");
  ExpectBadRecord(Run(Native("throw-int")).status, "bad", "exception of an unknown type");
  ExpectBadRecord(Run(Native("long-key")).status, "bad", "the emitted key is longer than 4096 B");
  ExpectBadRecord(Run(Native("counters")).status, "bad", "a task has at most 256");
  absl::Status status = Run(Native("throw-at-start")).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("exception: no such column"));
}

TEST_F(NativeTest, CrashesAreTheRecordsFault) {
  ExpectBadRecord(Run(Native("exit")).status, "bad",
                  "the worker ended by itself, with exit code 3");
  if (Sanitized()) GTEST_SKIP() << "a sanitizer ends the process itself";
  ExpectBadRecord(Run(Native("null")).status, "bad", "crashed: signal 11 (Segmentation fault)");
  ExpectBadRecord(Run(Native("abort")).status, "bad", "crashed: signal 6 (Aborted)");
  ExpectBadRecord(Run(Native("recurse")).status, "bad", "crashed: signal 11");
}

TEST_F(NativeTest, NoAnswer) {
  for (const char* what : {"loop", "stop"}) {
    GuestSpec spec = Native(what);
    spec.limits.answer = std::chrono::milliseconds(300);
    ExpectBadRecord(Run(spec).status, "bad", "killed: no answer for 300 ms");
  }
}

TEST_F(NativeTest, TooMuchMemory) {
  if (Sanitized()) GTEST_SKIP() << "address space is not limited";
  for (const char* what : {"allocate", "allocate-little"})
    ExpectBadRecord(Run(Native(what)).status, "bad", "killed: it used more than 64 MiB of memory");
}

TEST_F(NativeTest, TooMuchOutput) {
  GuestSpec spec = Native("emit");
  spec.limits.output_bytes = 1 << 20;
  absl::Status status = Run(spec).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("record \"bad\": killed: it emitted more than 1048576 B"));
}

TEST_F(NativeTest, ForbiddenSystemCalls) {
  if (Sanitized()) GTEST_SKIP() << "a sanitizer's interceptors make other calls";
  const std::pair<const char*, const char*> calls[] = {
      {"open", "the system call openat"},
      {"create", "the system call openat"},
      {"socket", "the system call socket"},
      {"fork", "the system call clone"},
      {"exec", "the system call execve"},
      {"kill-parent", "the system call "},
      {"kill-all", "the system call kill"},
      {"ptrace", "the system call ptrace"},
      {"executable-memory", "the system call mmap"},
      {"ignore-sigsys", "the system call openat"},
      {"read-other", "the system call read"},
      {"sleep", "the system call clock_nanosleep"},
      {"pause", "the system call pause"},
      {"clock-call", "the system call clock_gettime"},
      // These hold back all signals first.
      {"thread", "a system call that"},
      {"spawn", "a system call that"},
  };
  for (auto [what, call] : calls) {
    SCOPED_TRACE(what);
    ExpectBadRecord(Run(Native(what)).status, "bad", "killed: it made " + std::string(call));
  }
}

TEST_F(NativeTest, TheClockCanNotBeRead) {
#if defined(__x86_64__)
  if (Sanitized()) GTEST_SKIP() << "a sanitizer's runtime needs the clock";
  for (const char* what : {"clock", "time", "rdtsc"}) {
    SCOPED_TRACE(what);
    ExpectBadRecord(Run(Native(what)).status, "bad", "killed: it read the clock");
  }
#endif
}

}  // namespace
}  // namespace kvd::mapreduce
