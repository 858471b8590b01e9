// What scripts can do.
#include "gmock/gmock.h"
#include "tests/mapreduce/worker/worker_fixture.h"

namespace kvd::mapreduce {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

class LuaTest : public WorkerTest {};

TEST_F(LuaTest, MapsRecords) {
  auto outcome = Map(Lua(R"(
    function map(key, value)
      for word in value:gmatch("%a+") do emit(word, 1) end
      count("lines")
      count("bytes", #value)
    end)"),
                     {{"1", "to be or"}, {"2", "not to be"}});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.out.pairs,
            (Pairs{{"to", "1"}, {"be", "1"}, {"or", "1"}, {"not", "1"}, {"to", "1"}, {"be", "1"}}));
  EXPECT_THAT(outcome.out.counts, ElementsAre(Pair("bytes", 17), Pair("lines", 2)));
}

TEST_F(LuaTest, MapsByBatchAndFinishes) {
  auto outcome = Map(Lua(R"(
    local bytes, batches, kept = 0, 0, nil
    function map_batch(records)
      batches = batches + 1
      for key, value in records do bytes = bytes + #value end
      kept = kept or records
      assert(kept() == nil)
    end
    function map_finish()
      assert(kept() == nil)
      emit("bytes", bytes)
      emit("batches", batches)
    end)"),
                     {{"1", std::string(300'000, 'x')}, {"2", std::string(300'000, 'y')}});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.out.pairs, (Pairs{{"bytes", "600000"}, {"batches", "2"}}));
}

TEST_F(LuaTest, PassesAnyBytesThrough) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  std::string large(kValueBytesMax, '\0');
  Pairs records = {{"", bytes}, {bytes, ""}, {std::string(kKeyBytesMax, 'k'), large}};
  auto outcome = Map(Lua("function map(k, v) emit(k, v) end"), records);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.out.pairs, records);
}

TEST_F(LuaTest, HasParametersAndALog) {
  GuestSpec spec =
      Lua("print('start', 1, nil, {} ~= nil) function map(k, v) print(params.greeting, k) end");
  spec.parameters = {{"greeting", "hello"}};
  auto outcome = Map(spec, {{"world", ""}});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.log, ElementsAre("start\t1\tnil\ttrue", "hello\tworld"));
}

TEST_F(LuaTest, LongAndManyLinesOfLogAreCut) {
  GuestSpec spec = Lua("function map(k, v) print(v) for i = 1, 100000 do print(i) end end");
  spec.limits.log_bytes = 2000;
  auto outcome = Map(spec, {{"a", std::string(10'000, 'x')}});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_FALSE(outcome.log.empty());
  EXPECT_EQ(outcome.log[0].size(), wire::kLogLineBytesMax);
  size_t bytes = 0;
  for (const std::string& line : outcome.log) bytes += line.size() + 1;
  EXPECT_LE(bytes, 2000u);
  EXPECT_GT(bytes, 1900u);
}

constexpr char kSum[] = R"(
  local function add(key, values)
    local sum = 0
    for value in values do sum = sum + tonumber(value) end
    emit(key, sum)
  end
  reduce = add
  combine = add
  function reduce_finish() emit("end", "reduce") end)";

TEST_F(LuaTest, ReducesAndCombines) {
  for (wire::Role role : {wire::Role::kReduce, wire::Role::kCombine}) {
    auto reduce = GuestReduce::Start(host_, role, Lua(kSum));
    ASSERT_TRUE(reduce.ok()) << reduce.status();
    Collector out;
    ValuesOf a({"1", "2", "3"});
    ValuesOf none({});
    ASSERT_TRUE((*reduce)->Reduce("a", &a, &out).ok());
    ASSERT_TRUE((*reduce)->Reduce("b", &none, &out).ok());
    // Held back: few values are worth no message.
    EXPECT_TRUE(out.pairs.empty());
    ASSERT_TRUE((*reduce)->Flush(&out).ok());
    EXPECT_EQ(out.pairs, (Pairs{{"a", "6"}, {"b", "0"}}));
    ASSERT_TRUE((*reduce)->Finish(&out).ok());
    EXPECT_EQ(out.pairs.size(), role == wire::Role::kReduce ? 3u : 2u);
  }
}

TEST_F(LuaTest, ReducesMoreValuesThanFitsIntoItsMemory) {
  GuestSpec spec = Lua(R"(function reduce(key, values)
      local bytes = 0
      for value in values do bytes = bytes + #value end
      emit(key, bytes)
    end)");
  spec.limits.memory_bytes = 2 << 20;
  auto reduce = GuestReduce::Start(host_, wire::Role::kReduce, spec);
  ASSERT_TRUE(reduce.ok()) << reduce.status();
  Collector out;
  ValuesOf small({"xx"});
  ValuesOf large(std::vector<std::string>(10'000, std::string(1'000, 'v')));
  ASSERT_TRUE((*reduce)->Reduce("a", &small, &out).ok());
  ASSERT_TRUE((*reduce)->Reduce("b", &large, &out).ok());
  EXPECT_EQ(out.pairs, (Pairs{{"a", "2"}, {"b", "10000000"}}));
  ASSERT_TRUE((*reduce)->Reduce("c", &small, &out).ok());
  ASSERT_TRUE((*reduce)->Finish(&out).ok());
  EXPECT_EQ(out.pairs.back(), (std::pair<std::string, std::string>{"c", "0"}));
}

TEST_F(LuaTest, ReduceNeedNotTakeAllValues) {
  auto reduce = GuestReduce::Start(host_, wire::Role::kReduce, Lua(R"(
    local old
    function reduce(key, values)
      emit(key, values() or "nothing")
      -- An iterator of another key gives nothing of this one.
      if old then assert(old() == nil) end
      old = values
    end)"));
  ASSERT_TRUE(reduce.ok()) << reduce.status();
  Collector out;
  ValuesOf large(std::vector<std::string>(100'000, std::string(100, 'v')));
  ASSERT_TRUE((*reduce)->Reduce("a", &large, &out).ok());
  EXPECT_LT(large.taken(), 100'000u);
  ValuesOf two({"1", "2"});
  ValuesOf one({"3"});
  ASSERT_TRUE((*reduce)->Reduce("b", &two, &out).ok());
  ASSERT_TRUE((*reduce)->Reduce("c", &one, &out).ok());
  ASSERT_TRUE((*reduce)->Finish(&out).ok());
  EXPECT_EQ(out.pairs, (Pairs{{"a", std::string(100, 'v')}, {"b", "1"}, {"c", "3"}}));
}

TEST_F(LuaTest, Partitions) {
  auto partitioner =
      GuestPartitioner::Start(host_, Lua("function partition(key, n) return #key % n end"));
  ASSERT_TRUE(partitioner.ok()) << partitioner.status();
  EXPECT_EQ((*partitioner)->PartitionOf("abcd", 3), 1u);
  std::vector<std::string> names(100'000, "abcde");
  std::vector<std::string_view> keys(names.begin(), names.end());
  keys.emplace_back("");
  std::vector<uint32_t> to(keys.size(), 99);
  ASSERT_TRUE((*partitioner)->PartitionsOf(keys, 4, to.data()).ok());
  for (size_t i = 0; i < names.size(); ++i) ASSERT_EQ(to[i], 1u);
  EXPECT_EQ(to.back(), 0u);
}

TEST_F(LuaTest, PartitionsOutOfRangeAreErrors) {
  auto partitioner = GuestPartitioner::Start(host_, Lua("function partition(key, n) return n end"));
  ASSERT_TRUE(partitioner.ok()) << partitioner.status();
  EXPECT_EQ((*partitioner)->PartitionOf("k", 8), 0u);
  ExpectBadRecord((*partitioner)->status(), "k", "partition gave 8, it must be from 0 to 7");
}

TEST_F(LuaTest, ThereIsNothingToEmitToButInputsOutput) {
  for (const char* script : {"emit('a', 1) function map() end", "count('a') function map() end"}) {
    absl::Status status = CheckCode(host_, Lua(script));
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("script error at line 1: only functions that map, combine or reduce"));
  }
  auto partitioner =
      GuestPartitioner::Start(host_, Lua("function partition(k, n) emit(k, n) return 0 end"));
  ASSERT_TRUE(partitioner.ok()) << partitioner.status();
  EXPECT_EQ((*partitioner)->PartitionOf("k", 8), 0u);
  ExpectBadRecord((*partitioner)->status(), "k", "can emit or count");
}

// Every process orders tables alike: a task that runs again gives the same pairs in the same order.
TEST_F(LuaTest, IsTheSameInEveryProcess) {
  if (Sanitized()) GTEST_SKIP() << "a sanitizer places memory as it likes";
  std::string script = R"(
    function map(key, value)
      local t = {}
      for i = 1, 200 do t["key" .. i] = i end
      for i = 1, 20 do t[{}] = i; t[function() return i end] = i end
      for k, v in pairs(t) do emit(type(k) == "string" and k or tostring(k), v) end
      emit(tostring(print), string.format("%p", t))
    end)";
  Pairs records = {{"a", "b"}, {"c", "d"}};
  auto first = Map(Lua(script), records);
  ASSERT_TRUE(first.status.ok()) << first.status;
  ASSERT_EQ(first.out.pairs.size(), 2 * 241u);
  for (int i = 0; i < 5; ++i) {
    GuestSpec spec = Lua(script);
    spec.task = "map-" + std::to_string(i * 1'000'000);
    EXPECT_EQ(Map(spec, records).out.pairs, first.out.pairs);
  }
}

TEST_F(LuaTest, NothingIsLeftForTheNextTask) {
  std::string script = R"(
    counter = (counter or 0) + 1
    string.mark = (string.mark or 0) + 1
    function map(key, value)
      getmetatable("").__index.mark = string.mark + 1
      emit(counter, string.mark)
    end)";
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(Map(Lua(script), {{"a", ""}}).out.pairs, (Pairs{{"1", "2"}}));
}

TEST_F(LuaTest, CodeIsCheckedWithoutARun) {
  auto check = [&](const std::string& source) {
    return std::string(CheckCode(host_, Lua(source)).message());
  };
  EXPECT_EQ(check("function map(k, v) end"), "");
  EXPECT_THAT(
      check("function map(k, v)\n  local x = = 1\nend"),
      HasSubstr("job \"sales\", task map-3.1: syntax error at line 2, column 13: unexpected "
                "symbol near '='"));
  // Of two words that read the same the second one is wrong.
  EXPECT_THAT(check("local a = 1 local b = a a = end"), HasSubstr("line 1, column 29:"));
  EXPECT_THAT(check("function map(k, v)"),
              HasSubstr("syntax error at line 1: 'end' expected near <eof>"));
  EXPECT_THAT(check("x = 'abc\n"),
              HasSubstr("syntax error at line 1, column 5: unfinished string"));
  EXPECT_THAT(check("function reduce(k, v) end"), HasSubstr("the script defines no function map"));
  EXPECT_THAT(check("error('no luck')"), HasSubstr("script error at line 1: no luck"));
  EXPECT_THAT(check("setmetatable(_G, {__index = function() while true do end end})"),
              HasSubstr("the script defines no function map"));
  GuestSpec endless = Lua("while true do end");
  endless.limits.answer = std::chrono::milliseconds(300);
  absl::Status status = CheckCode(host_, endless);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("at no record: killed: no answer for 300 ms (it was at line 1)"));
}

TEST_F(LuaTest, WhatIsBeyondItsLimitIsRefused) {
  auto check = [&](const GuestSpec& spec) {
    absl::Status status = CheckCode(host_, spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    return std::string(status.message());
  };
  GuestSpec spec = Lua("function map() end");
  EXPECT_TRUE(CheckCode(host_, spec).ok());
  spec.limits.memory_bytes = 1000;
  EXPECT_EQ(check(spec), "the memory limit is 1000 B, it must be from 1048576 to 68719476736");
  spec.limits.memory_bytes = kMemoryBytesMax;
  EXPECT_TRUE(CheckCode(host_, spec).ok());
  spec.limits.memory_bytes = kMemoryBytesMin;
  EXPECT_TRUE(CheckCode(host_, spec).ok());
  spec.limits.cpu_ms = 0;
  EXPECT_EQ(check(spec), "the limit of CPU time is 0 ms, it must be at least 1");
  spec.native = "both";
  EXPECT_THAT(check(spec), HasSubstr("either a script or the name of a native worker"));
  EXPECT_THAT(check(Lua(std::string(wire::kScriptBytesMax + 1, ' '))),
              HasSubstr("the script has 1048577 B, the limit is 1048576"));
  GuestSpec many = Lua("function map() end");
  many.parameters.assign(33, {"a", "b"});
  EXPECT_THAT(check(many), HasSubstr("the code has 33 parameters, the limit is 32"));
  many.parameters = {{"name", std::string(5000, 'v')}};
  EXPECT_THAT(check(many), HasSubstr("parameter \"name\" has a name of 4 B and a value of 5000 B"));
}

}  // namespace
}  // namespace kvd::mapreduce
