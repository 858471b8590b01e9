#include "mapreduce/dataflow/reduce_task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "mapreduce/dataflow/map_output.h"
#include "mapreduce/dataflow/shuffle_file.h"
#include "tests/mapreduce/local_job.h"
#include "tests/scratch_directory.h"

namespace kvd::mapreduce {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using Pairs = std::vector<std::pair<std::string, std::string>>;

// Joins the values of a key, and may rename it.
class JoinValues final : public ReduceFunction {
 public:
  explicit JoinValues(bool reverse_key = false, size_t values_max = SIZE_MAX)
      : reverse_key_(reverse_key), values_max_(values_max) {}
  absl::Status Reduce(std::string_view key, Values* values, Emitter* out) override {
    std::string joined;
    std::string_view value;
    for (size_t i = 0; i < values_max_ && values->Next(&value); ++i) {
      absl::StrAppend(&joined, i == 0 ? "" : ",", std::string(value));
    }
    std::string name(key);
    if (reverse_key_) std::reverse(name.begin(), name.end());
    out->Count("groups", 1);
    return out->Emit(name, joined);
  }
  absl::Status Finish(Emitter* out) override { return out->Emit("\xff\xff end", ""); }

 private:
  const bool reverse_key_;
  const size_t values_max_;
};

class ReduceTaskTest : public ::testing::Test {
 protected:
  ReduceTaskTest() {
    options_.directory = scratch_.path();
    options_.path = scratch_.path() + "/out";
    options_.sync = false;
  }

  // The output of map task `number`.
  void MapTask(int number, const Pairs& pairs) {
    MapOutputOptions options;
    options.directory = scratch_.path();
    options.path = absl::StrCat(scratch_.path(), "/map-", number);
    options.aggregator = options_.aggregator;
    auto output = *MapOutput::Create(options);
    for (const auto& [key, value] : pairs) ASSERT_TRUE(output->Emit(key, value).ok());
    auto info = output->Finish();
    ASSERT_TRUE(info.ok()) << info.status();
    maps_.push_back({options.path, info->block_bytes_max});
  }
  absl::StatusOr<ReduceTaskResult> Reduce() {
    std::vector<std::unique_ptr<BlockSource>> sources;
    for (const auto& [path, bytes] : maps_) sources.push_back(LocalPartition(path, 0, bytes));
    return RunReduceTask(std::move(sources), options_);
  }
  Pairs Output() { return *ReadPairs(options_.path); }
  size_t Files() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(scratch_.path()), {}));
  }

  ScratchDirectory scratch_;
  ReduceTaskOptions options_;
  std::vector<std::pair<std::string, uint64_t>> maps_;
};

TEST_F(ReduceTaskTest, ValuesComeByTaskThenAsEmitted) {
  MapTask(0, {{"b", "0b1"}, {"a", "0a1"}, {"b", "0b2"}});
  MapTask(1, {{"b", "1b1"}, {"c", "1c1"}, {"b", "1b0"}});
  MapTask(2, {});
  JoinValues join;
  options_.reduce = &join;
  auto result = Reduce();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(Output(), ElementsAre(Pair("a", "0a1"), Pair("b", "0b1,0b2,1b1,1b0"),
                                    Pair("c", "1c1"), Pair("\xff\xff end", "")));
  EXPECT_EQ(result->counters, (Counters{{"groups", 3}}));
}

TEST_F(ReduceTaskTest, AFunctionNeedNotTakeAllValues) {
  MapTask(0, {{"a", "1"}, {"a", "2"}, {"b", "3"}, {"c", "4"}, {"c", "5"}});
  for (size_t taken : {0, 1}) {
    JoinValues join(false, taken);
    options_.reduce = &join;
    ASSERT_TRUE(Reduce().ok());
    Pairs output = Output();
    ASSERT_EQ(output.size(), 4u);
    EXPECT_EQ(output[2], std::pair(std::string("c"), std::string(taken == 0 ? "" : "4")));
  }
}

TEST_F(ReduceTaskTest, NoSources) {
  auto result = Reduce();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(Output().empty());
}

TEST_F(ReduceTaskTest, ManySourcesAreMergedInStepsToTheSameBytes) {
  std::mt19937_64 random(6);
  Pairs expected;
  for (int task = 0; task < 150; ++task) {
    Pairs pairs;
    for (int i = 0; i < 60; ++i) {
      pairs.emplace_back(absl::StrCat(random() % 400), absl::StrCat(task, ".", i));
    }
    MapTask(task, pairs);
    expected.insert(expected.end(), pairs.begin(), pairs.end());
  }
  std::stable_sort(expected.begin(), expected.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  auto whole = Reduce();
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(Output(), expected);
  // Two at a time.
  options_.memory_bytes = 0;
  auto stepwise = Reduce();
  ASSERT_TRUE(stepwise.ok()) << stepwise.status();
  EXPECT_EQ(stepwise->info.hash, whole->info.hash);
  EXPECT_EQ(Files(), 302u);
}

// What was merged once more takes no place any more: a merge in many steps needs at most the runs
// of two of them, and the output.
TEST_F(ReduceTaskTest, RunsThatWereReadGiveTheirPlaceBack) {
  uint64_t bytes = 0;
  std::mt19937_64 random(7);
  for (int task = 0; task < 64; ++task) {
    Pairs pairs;
    for (int i = 0; i < 40; ++i) {
      std::string noise(300, '\0');
      for (char& c : noise) c = static_cast<char>(random());
      bytes += noise.size() + 10;
      pairs.emplace_back(absl::StrCat(random()), noise);
    }
    MapTask(task, pairs);
  }
  // Two at a time: six steps.
  options_.memory_bytes = 0;
  options_.spill_bytes = 3 * bytes;
  auto result = Reduce();
  EXPECT_TRUE(result.ok()) << result.status();
  options_.spill_bytes = bytes;
  EXPECT_EQ(Reduce().status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ReduceTaskTest, AggregatesOfManySources) {
  options_.aggregator = AggregatorSpec{AggregatorKind::kSum};
  std::map<std::string, int64_t> expected;
  for (int task = 0; task < 100; ++task) {
    Pairs pairs;
    for (int i = 0; i < 50; ++i) {
      pairs.emplace_back(absl::StrCat(i * task % 90), absl::StrCat(i));
      expected[pairs.back().first] += i;
    }
    MapTask(task, pairs);
  }
  for (uint64_t memory : {64 << 20, 0}) {
    options_.memory_bytes = memory;
    ASSERT_TRUE(Reduce().ok());
    Pairs output = Output();
    ASSERT_EQ(output.size(), expected.size());
    for (const auto& [key, value] : output) EXPECT_EQ(value, absl::StrCat(expected[key]));
  }
  // A reduce function gets the final value of each key.
  JoinValues join;
  options_.reduce = &join;
  ASSERT_TRUE(Reduce().ok());
  EXPECT_EQ(Output().size(), expected.size() + 1);
  EXPECT_EQ(Output()[0].second, absl::StrCat(expected["0"]));
}

TEST_F(ReduceTaskTest, OtherKeysAreSortedOnceMore) {
  Pairs pairs;
  for (int i = 0; i < 30'000; ++i) pairs.emplace_back(absl::StrCat(i), "v");
  MapTask(0, pairs);
  JoinValues join(true);
  options_.reduce = &join;
  options_.reduce_keeps_order = false;
  auto whole = Reduce();
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->counters, (Counters{{"groups", 30'000}}));
  Pairs output = Output();
  ASSERT_EQ(output.size(), 30'001u);
  EXPECT_TRUE(std::is_sorted(output.begin(), output.end()));
  EXPECT_EQ(output[0].first, "0");
  EXPECT_EQ(output[1].first, "00001");
  options_.memory_bytes = 2 * kTaskMemoryMin;
  EXPECT_EQ(Reduce()->info.hash, whole->info.hash);
  // Without saying so it is an error that names the keys.
  options_.reduce_keeps_order = true;
  auto refused = Reduce();
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("keys must not fall"));
}

TEST_F(ReduceTaskTest, LimitsAreNamedAndNothingIsLeft) {
  Pairs pairs;
  for (int i = 0; i < 1'000; ++i) pairs.emplace_back(absl::StrCat(i), std::string(500, 'v'));
  for (int task = 0; task < 3; ++task) MapTask(task, pairs);
  size_t files = Files();
  options_.output_bytes = 5'000;
  auto result = Reduce();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("output_bytes is 5000 B"));
  options_.output_bytes = 1 << 30;
  options_.spill_bytes = 100;
  result = Reduce();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("spill_bytes is 100 B"));
  std::atomic<bool> cancelled{true};
  options_.cancelled = &cancelled;
  EXPECT_EQ(Reduce().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Files(), files);
}

// A function that overlooks the end of its values must not turn damage into a short result.
TEST_F(ReduceTaskTest, DamageEndsTheTask) {
  Pairs pairs;
  for (int i = 0; i < 5'000; ++i) pairs.emplace_back("key", std::string(200, static_cast<char>(i)));
  MapTask(0, pairs);
  std::string data = maps_[0].first + ".data";
  auto size = std::filesystem::file_size(data);
  std::fstream(data, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(static_cast<ptrdiff_t>(size - 100))
      .put('!');
  JoinValues join;
  options_.reduce = &join;
  size_t files = Files();
  auto result = Reduce();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr(data + " at offset "));
  EXPECT_EQ(Files(), files);
  std::filesystem::remove(data);
  EXPECT_EQ(Reduce().status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace kvd::mapreduce
