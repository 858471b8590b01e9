// What scripts can't do: each try ends the attempt with its reason, and nothing else.
#include <cstdio>

#include "gmock/gmock.h"
#include "mapreduce/bad_record.h"
#include "proto/bytes.h"
#include "tests/mapreduce/worker/worker_fixture.h"

namespace kvd::mapreduce {
namespace {

using ::testing::HasSubstr;

class LuaAttackTest : public WorkerTest {
 protected:
  // Runs the body of a map function on three records, of which it is wrong about the second.
  absl::Status Attack(const std::string& body, const GuestLimits& limits = {}) {
    GuestSpec spec =
        Lua("function map(key, value)\n if key ~= 'bad' then return end\n" + body + "\nend");
    spec.limits = limits;
    return Map(spec, {{"good", ""}, {"bad", std::string(100'000, 'a')}, {"last", ""}}).status;
  }
  static GuestLimits Hasty() {
    GuestLimits limits;
    limits.answer = std::chrono::milliseconds(400);
    return limits;
  }
  void TearDown() override { ExpectUnharmed(); }
};

TEST_F(LuaAttackTest, WhatIsNotPureIsNotThere) {
  for (const char* call :
       {"io.open('/etc/passwd')", "os.time()", "os.execute('true')", "require('os')",
        "package.loadlib('x', 'y')", "debug.getregistry()", "load('return 1')", "dofile('x')",
        "loadfile('x')", "collectgarbage()", "math.random()", "math.randomseed(1)",
        "string.dump(map)", "warn('x')", "loadstring('x')"})
    ExpectBadRecord(Attack(call), "bad", "script error at line 3: attempt to ");
}

TEST_F(LuaAttackTest, BytecodeIsRefused) {
  absl::Status status = Map(Lua("\x1bLua\x54"), {{"a", "b"}}).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("attempt to load a binary chunk"));
}

TEST_F(LuaAttackTest, Errors) {
  ExpectBadRecord(Attack("error('row is bad')"), "bad", "script error at line 3: row is bad");
  ExpectBadRecord(Attack("error({})"), "bad", "script error: error called with a table");
  ExpectBadRecord(Attack("local x = nil + 1"), "bad",
                  "script error at line 3: attempt to perform arithmetic on a nil value");
  ExpectBadRecord(Attack("error(('x'):rep(100000))"), "bad", "script error at line 3: xxx");
  ExpectBadRecord(Attack("emit({}, 1)"), "bad",
                  "script error at line 3: bad argument #1 to 'emit'");
  ExpectBadRecord(Attack("emit(('k'):rep(5000), 1)"), "bad",
                  "the emitted key is longer than 4096 B");
  ExpectBadRecord(Attack("emit('k', ('v'):rep(9000000))"), "bad",
                  "the emitted value is longer than 8 MiB");
  ExpectBadRecord(Attack("count('')"), "bad", "a counter's name is 1 to 64 B long");
  ExpectBadRecord(Attack("for i = 1, 300 do count('c' .. i) end"), "bad", "a task has at most 256");
}

TEST_F(LuaAttackTest, EndlessLoop) {
  ExpectBadRecord(Attack("while true do end", Hasty()), "bad",
                  "killed: no answer for 400 ms (it was at line 3)");
  // Errors that a script catches do not help it.
  ExpectBadRecord(Attack("while true do pcall(function() while true do end end) end", Hasty()),
                  "bad", "killed: no answer for 400 ms");
  ExpectBadRecord(Attack("local c = coroutine.wrap(function() while true do end end) c()", Hasty()),
                  "bad", "killed: no answer for 400 ms");
}

// No hook sees it: it is one call of a C function.
TEST_F(LuaAttackTest, CatastrophicPattern) {
  ExpectBadRecord(Attack("value:find(('a-'):rep(30) .. 'b')", Hasty()), "bad",
                  "killed: no answer for 400 ms");
}

TEST_F(LuaAttackTest, TooMuchMemory) {
  GuestLimits limits;
  limits.memory_bytes = 8 << 20;
  const char* reason = "killed: it used more than 8 MiB of memory";
  ExpectBadRecord(Attack("local s = ('x'):rep(1 << 30)", limits), "bad", reason);
  ExpectBadRecord(Attack("local t = {} for i = 1, 1 << 40 do t[i] = {} end", limits), "bad",
                  reason);
  ExpectBadRecord(Attack("local s = value while true do s = s .. s end", limits), "bad", reason);
  ExpectBadRecord(Attack("return ('%99d'):rep(100000):format(table.unpack({}, 1, 100000))", limits),
                  "bad", "");
}

TEST_F(LuaAttackTest, DeepRecursion) {
  GuestLimits limits;
  limits.memory_bytes = 256 << 20;
  ExpectBadRecord(Attack("local function f() return 1 + f() end f()", limits), "bad",
                  "stack overflow");
  ExpectBadRecord(Attack("local function f(x) return (x:gsub('a', f)) end f('a')"), "bad",
                  "stack overflow");
  ExpectBadRecord(Attack("local s = ('('):rep(1000) .. ('x'):rep(10) value:find(s)"), "bad",
                  "script error at line 3:");
}

TEST_F(LuaAttackTest, EndlessEmits) {
  GuestLimits limits;
  limits.output_bytes = 10 << 20;
  absl::Status status = Attack("while true do emit(key, value) end", limits);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(FromAbsl(status.message()),
            "job \"sales\", task map-3.1, record \"bad\": killed: it emitted more than 10485760 B");
  EXPECT_FALSE(BadRecordOf(status).has_value());
  EXPECT_EQ(Attack("while true do print(value) end", limits).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(LuaAttackTest, TooMuchCpuTime) {
  GuestLimits limits;
  limits.cpu_ms = 1000;
  absl::Status status = Attack("while true do end", limits);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(
      FromAbsl(status.message()),
      "job \"sales\", task map-3.1, record \"bad\": killed: it used more than 1 s of CPU time");
}

// A finalizer runs whenever Lua likes, also while the state is closed.
TEST_F(LuaAttackTest, Finalizers) {
  ExpectBadRecord(Attack("setmetatable({}, {__gc = function() while true do end end}) "
                         "local t = {} while true do t[#t + 1 & 255] = {} end",
                         Hasty()),
                  "bad", "killed: no answer for 400 ms");
}

TEST_F(LuaAttackTest, InFinishThereIsNoRecordToBlame) {
  absl::Status status =
      Map(Lua("function map() end function map_finish() error('late') end"), {{"a", "b"}}).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(FromAbsl(status.message()),
            "job \"sales\", task map-3.1, at no record: script error at line 1: late");
  EXPECT_FALSE(BadRecordOf(status).has_value());
}

TEST_F(LuaAttackTest, AReduceFailsAtItsKey) {
  auto reduce = GuestReduce::Start(host_, wire::Role::kReduce, Lua(R"(
    function reduce(key, values) for value in values do assert(value ~= "bad", "bad value") end end)"));
  ASSERT_TRUE(reduce.ok()) << reduce.status();
  Collector out;
  ValuesOf good({"1"});
  ASSERT_TRUE((*reduce)->Reduce("a", &good, &out).ok());
  // Beyond the first frame of its values.
  std::vector<std::string> many(1'000, std::string(1'000, 'v'));
  many.emplace_back("bad");
  ValuesOf bad(many);
  absl::Status status = (*reduce)->Reduce("b", &bad, &out);
  if (status.ok()) status = (*reduce)->Finish(&out);
  ExpectBadRecord(status, "b", "bad value");
  // The same again: the process is gone.
  EXPECT_EQ((*reduce)->Finish(&out), status);
}

TEST_F(LuaAttackTest, TheStoresOwnErrorsComeBack) {
  class Full : public Collector {
    absl::Status Emit(std::string_view, std::string_view) override {
      return absl::ResourceExhaustedError("the disk is full");
    }
  };
  auto map = GuestMap::Start(host_, Lua("function map(k, v) emit(k, v) end"));
  ASSERT_TRUE(map.ok()) << map.status();
  Full out;
  Record record{"a", "b"};
  EXPECT_EQ((*map)->Map({&record, 1}, &out).message(), "the disk is full");
  EXPECT_EQ((*map)->Finish(&out).message(), "the disk is full");
}

}  // namespace
}  // namespace kvd::mapreduce
