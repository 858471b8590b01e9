// Programs that do not keep to the protocol: the store's side stays as it is, and within its time.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "gmock/gmock.h"
#include "mapreduce/bad_record.h"
#include "proto/bytes.h"
#include "tests/mapreduce/worker/worker_fixture.h"

namespace kvd::mapreduce {
namespace {

using ::testing::HasSubstr;

class HostileTest : public WorkerTest {
 protected:
  Outcome Run(const std::string& how, const GuestLimits& limits = Hasty()) {
    GuestSpec spec = Hostile(how);
    spec.limits = limits;
    return Map(spec, {{"first", "1"}, {"second", "2"}});
  }
  static GuestLimits Hasty() {
    GuestLimits limits;
    limits.answer = std::chrono::milliseconds(500);
    limits.output_bytes = 1 << 20;
    return limits;
  }
  static void Expect(const Outcome& outcome, absl::StatusCode code, const std::string& words) {
    EXPECT_EQ(outcome.status.code(), code) << outcome.status;
    EXPECT_THAT(std::string(outcome.status.message()), HasSubstr(words));
    EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("job \"sales\", task map-3.1"));
    EXPECT_FALSE(BadRecordOf(outcome.status).has_value());
  }
  void TearDown() override { ExpectUnharmed(); }
};

constexpr auto kCode = absl::StatusCode::kFailedPrecondition;
constexpr auto kNonsense = absl::StatusCode::kInternal;

TEST_F(HostileTest, Greetings) {
  GuestLimits limits = Hasty();
  limits.start = std::chrono::milliseconds(300);
  Expect(Run("silent", limits), kCode, "killed: no answer for 300 ms");
  Expect(Run("garbage"), kNonsense, "it sent a frame longer than 10485760 B");
  Expect(Run("wrong-magic"), kNonsense, "its first frame is no greeting");
  Expect(Run("next-version"), kCode,
         "worker \"next-version\" speaks version 7 of the workers' protocol, this store speaks "
         "version 1");
}

TEST_F(HostileTest, Endings) {
  Expect(Run("closes"), kCode, "at no record: the worker ended by itself, with exit code 0");
  Expect(Run("exits"), kCode, "at no record: the worker ended by itself, with exit code 9");
  Expect(Run("closes-and-stays"), kNonsense, "it closed its socket");
  // A place in the slot that the request does not have names no record.
  if (!Sanitized()) Expect(Run("lies-in-slot"), kCode, "at no record: crashed: signal 11");
}

TEST_F(HostileTest, Frames) {
  Expect(Run("huge-frame"), kNonsense, "it sent a frame longer than 10485760 B");
  Expect(Run("bad-emits"), kNonsense, "what it emits is malformed or too long");
  Expect(Run("bad-counts"), kNonsense, "a count is malformed");
  Expect(Run("many-counters"), kNonsense, "it has too many counters");
  Expect(Run("bad-failure"), kNonsense, "the failure that it tells is malformed");
  Expect(Run("wrong-answer"), kNonsense, "it ended its answer in a wrong way");
  Expect(Run("bad-partition"), kNonsense, "it ended its answer in a wrong way");
}

TEST_F(HostileTest, FramesWithoutEnd) {
  for (const char* how : {"endless-frames", "endless-empty", "endless-log"}) {
    auto outcome = Run(how);
    Expect(outcome, absl::StatusCode::kResourceExhausted, "killed: it emitted more than 1048576 B");
    EXPECT_TRUE(outcome.log.size() <= 64);
  }
}

TEST_F(HostileTest, Silence) {
  Expect(Run("slow-frame"), kCode, "killed: no answer for 500 ms");
  Expect(Run("trickles"), kCode, "killed: no answer for 500 ms");
  GuestSpec spec = Hostile("deaf");
  spec.limits = Hasty();
  auto map = GuestMap::Start(host_, spec);
  ASSERT_TRUE(map.ok()) << map.status();
  // More than the socket holds, so that sending waits.
  std::string large(8 << 20, 'x');
  Record record{"key", large};
  Collector out;
  EXPECT_THAT(std::string((*map)->Map({&record, 1}, &out).message()),
              HasSubstr("killed: no answer for 500 ms"));
}

TEST_F(HostileTest, CpuTime) {
  GuestLimits limits = Hasty();
  limits.answer = std::chrono::milliseconds(60'000);
  limits.cpu_ms = 1000;
  Expect(Run("ignores-xcpu", limits), absl::StatusCode::kResourceExhausted,
         "killed: it used more than 1 s of CPU time");
}

// What is shared can't be taken away from under the store.
TEST_F(HostileTest, TheSlotKeepsItsSize) {
  auto outcome = Run("shrinks-slot");
  EXPECT_EQ(outcome.out.pairs, (Pairs{{"shrunk", "no"}}));
}

// What the store alone, without the SDK's sandbox, holds a program to.
TEST_F(HostileTest, LaunchedPrograms) {
  // Files of the store's that were not marked to be closed on exec.
  int leaked[] = {open("/etc/passwd", O_RDONLY), dup2(open("/etc/passwd", O_RDONLY), 1000)};
  setenv("KVD_TEST_SECRET", "x", 1);
  auto outcome = Run("tries-all");
  ASSERT_TRUE(outcome.status.code() == absl::StatusCode::kFailedPrecondition) << outcome.status;
  EXPECT_EQ(outcome.out.pairs, (Pairs{{"done", ""}}));
  for (int fd : leaked) close(fd);
}

class LaunchTest : public WorkerTest {};

std::string FileOf(pid_t pid, const std::string& name) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/" + name);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

TEST_F(LaunchTest, ProcessesRunAtIdlePriorityAndEndWithTheirSession) {
  GuestSpec spec = Lua("function map(k, v) end");
  auto session = GuestSession::Start(host_, spec);
  ASSERT_TRUE(session.ok()) << session.status();
  pid_t pid = (*session)->pid();
  EXPECT_EQ(getsid(pid), pid);
  EXPECT_EQ(sched_getscheduler(pid), SCHED_IDLE);
  EXPECT_EQ(FileOf(pid, "oom_score_adj"), "1000\n");
  EXPECT_THAT(FileOf(pid, "status"), HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(FileOf(pid, "status"), HasSubstr("Seccomp:\t2"));
  EXPECT_THAT(FileOf(pid, "status"), HasSubstr("SigIgn:\t0000000000000000"));
  session->reset();
  EXPECT_NE(kill(pid, 0), 0);
}

TEST_F(LaunchTest, AnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can run workers as somebody else";
  auto user = FindUser("nobody");
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_THAT(std::string(FindUser("no-such-user-here").status().message()),
              HasSubstr("there is no user no-such-user-here to run workers as"));
  host_.user = *user;
  host_.directory = "/proc/self";  // the scratch directory is ours alone
  auto session = GuestSession::Start(host_, Lua("function map(k, v) end"));
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_THAT(FileOf((*session)->pid(), "status"),
              HasSubstr("Uid:\t" + std::to_string(user->user) + "\t" + std::to_string(user->user)));
  EXPECT_THAT(FileOf((*session)->pid(), "status"), HasSubstr("Groups:\t \n"));
}

TEST_F(LaunchTest, WhatCanNotBeStartedIsTheEnvironmentsFault) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "TSan makes vfork a fork, whose child can't tell what was wrong";
#endif
  host_.directory = "/no/such/directory";
  absl::Status status = GuestSession::Start(host_, Lua("function map() end")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(FromAbsl(status.message()),
            "worker process kvd-worker can't be started: chdir: No such file or directory");
  host_.worker_program = "/no/such/program";
  EXPECT_EQ(GuestSession::Start(host_, Lua("function map() end")).status().code(),
            absl::StatusCode::kUnavailable);
}

// Ignored signals are handed on by exec, so a store may have been started so.
TEST_F(LaunchTest, WorksWhereEndedChildrenAreNotKept) {
  auto before = signal(SIGCHLD, SIG_IGN);
  absl::Status status = Map(Native("exit"), {{"bad", ""}}).status;
  auto good = Map(Native("echo"), {{"a", "b"}});
  signal(SIGCHLD, before);
  ExpectBadRecord(status, "bad", "the worker ended by itself");
  EXPECT_TRUE(good.status.ok()) << good.status;
}

TEST_F(LaunchTest, WhoeverIsKilledFromOutsideIsNotToBlame) {
  auto session = GuestSession::Start(host_, Lua("function map() end"));
  ASSERT_TRUE(session.ok()) << session.status();
  kill((*session)->pid(), SIGKILL);
  auto type = (*session)->Ask(
      "", [](uint64_t) { return std::nullopt; }, nullptr);
  EXPECT_EQ(type.status().code(), absl::StatusCode::kUnavailable) << type.status();
}

}  // namespace
}  // namespace kvd::mapreduce
