#include "mapreduce/dataflow/map_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "mapreduce/dataflow/partitioners.h"
#include "tests/mapreduce/local_job.h"
#include "tests/scratch_directory.h"

namespace kvd::mapreduce {
namespace {

using ::testing::HasSubstr;
using Pairs = std::vector<std::pair<std::string, std::string>>;

size_t FilesIn(const std::string& directory) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

// Adds the values of a key, and adds up what it gave before.
class SumReduce final : public ReduceFunction {
 public:
  absl::Status Reduce(std::string_view key, Values* values, Emitter* out) override {
    int64_t sum = 0;
    std::string_view value;
    while (values->Next(&value)) sum += std::stoll(std::string(value));
    return out->EmitNumber(key, sum);
  }
};

class MapOutputTest : public ::testing::Test {
 protected:
  MapOutputOptions Options(uint64_t memory_bytes) {
    MapOutputOptions options;
    options.directory = scratch_.path();
    options.path = scratch_.path() + "/out";
    options.partitions = 3;
    options.partitioner = &hash_;
    options.memory_bytes = memory_bytes;
    return options;
  }

  // Emits the pairs; the file's info, and how many runs there were.
  absl::StatusOr<BlockFileInfo> Write(const MapOutputOptions& options, const Pairs& pairs) {
    auto output = MapOutput::Create(options);
    if (!output.ok()) return output.status();
    absl::Status status;
    for (const auto& [key, value] : pairs) {
      status = (*output)->Emit(key, value);
      if (!status.ok()) break;
    }
    auto info = (*output)->Finish();
    if (!status.ok()) {
      EXPECT_EQ(info.status(), status) << "an error must not be forgotten";
    }
    runs_ = (*output)->runs();
    return info;
  }

  Pairs Read() {
    Pairs all;
    for (uint32_t i = 0; i < 3; ++i) {
      Pairs some = *ReadPairs(scratch_.path() + "/out", i);
      EXPECT_TRUE(std::is_sorted(some.begin(), some.end(),
                                 [](const auto& a, const auto& b) { return a.first < b.first; }));
      for (const auto& pair : some) EXPECT_EQ(hash_.PartitionOf(pair.first, 3), i);
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }

  ScratchDirectory scratch_;
  HashPartitioner hash_;
  size_t runs_ = 0;
};

// Keys that come often and seldom, short, empty and with much in common; values are numbers.
Pairs RandomPairs(size_t count, uint32_t seed) {
  std::mt19937_64 random(seed);
  Pairs pairs;
  for (size_t i = 0; i < count; ++i) {
    uint64_t number = random() % (1 + random() % 3000);
    std::string key;
    switch (number % 4) {
      case 0: key = absl::StrCat("user/profile/", number); break;
      case 1: key = std::string(number % 9, '\0'); break;
      case 2: key = absl::StrCat(number, "\xff\x01"); break;
      case 3: key = std::string(number % 100, 'k') + absl::StrCat(number); break;
    }
    pairs.emplace_back(key, absl::StrCat(i % 10));
  }
  return pairs;
}

TEST_F(MapOutputTest, SpillsGiveTheSameBytesForEveryAggregator) {
  Pairs pairs = RandomPairs(60'000, 1);
  for (AggregatorKind kind : {AggregatorKind::kSum, AggregatorKind::kCount, AggregatorKind::kMin,
                              AggregatorKind::kTopK, AggregatorKind::kHll}) {
    MapOutputOptions options = Options(64 << 20);
    options.aggregator = AggregatorSpec{kind, kind == AggregatorKind::kTopK ? 5u : 0u};
    auto whole = Write(options, pairs);
    ASSERT_TRUE(whole.ok()) << whole.status();
    EXPECT_EQ(runs_, 0u);
    options.memory_bytes = kTaskMemoryMin;
    auto spilled = Write(options, pairs);
    ASSERT_TRUE(spilled.ok()) << spilled.status();
    EXPECT_GT(runs_, 2u);
    EXPECT_EQ(spilled->hash, whole->hash);
    EXPECT_EQ(FilesIn(scratch_.path()), 2u);
  }
}

TEST_F(MapOutputTest, CountsAreThoseOfAMap) {
  Pairs pairs = RandomPairs(50'000, 2);
  std::map<std::string, int64_t> expected;
  for (const auto& [key, value] : pairs) expected[key] += std::stoll(value);
  MapOutputOptions options = Options(kTaskMemoryMin);
  options.aggregator = AggregatorSpec{AggregatorKind::kSum};
  ASSERT_TRUE(Write(options, pairs).ok());
  Pairs read = Read();
  ASSERT_EQ(read.size(), expected.size());
  for (const auto& [key, state] : read) {
    std::string_view rest = state;
    Decimal sum = 0;
    ASSERT_TRUE(DecodeDecimal(&rest, &sum));
    EXPECT_TRUE(sum == Decimal{expected[key]} * kDecimalUnit) << key;
  }
}

TEST_F(MapOutputTest, SortedPairsKeepTheOrderOfEmittingWithinAKey) {
  Pairs pairs = RandomPairs(40'000, 3);
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i].second = absl::StrCat(i);
  Pairs expected = pairs;
  std::stable_sort(expected.begin(), expected.end(), [this](const auto& a, const auto& b) {
    return std::pair(hash_.PartitionOf(a.first, 3), a.first) <
           std::pair(hash_.PartitionOf(b.first, 3), b.first);
  });
  auto whole = Write(Options(64 << 20), pairs);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(Read(), expected);
  // More runs than are merged at once.
  auto spilled = Write(Options(kTaskMemoryMin), pairs);
  ASSERT_TRUE(spilled.ok()) << spilled.status();
  EXPECT_GT(runs_, kMergeSourcesMax / 3);
  EXPECT_EQ(spilled->hash, whole->hash);
  EXPECT_EQ(FilesIn(scratch_.path()), 2u);
}

TEST_F(MapOutputTest, ManyRunsAreMergedInSteps) {
  Pairs pairs;
  std::string value(2000, 'v');
  std::mt19937_64 random(4);
  for (int i = 0; i < 8'000; ++i) {
    pairs.emplace_back(absl::StrCat(random() % 500), absl::StrCat(i, value));
  }
  auto whole = Write(Options(64 << 20), pairs);
  auto spilled = Write(Options(kTaskMemoryMin), pairs);
  ASSERT_TRUE(spilled.ok()) << spilled.status();
  EXPECT_GT(runs_, 2 * kMergeSourcesMax);
  EXPECT_EQ(spilled->hash, whole->hash);
}

TEST_F(MapOutputTest, CombineSeesEachSpillAndItsOwnResults) {
  Pairs pairs = RandomPairs(50'000, 5);
  SumReduce sum;
  MapOutputOptions options = Options(64 << 20);
  options.combine = &sum;
  auto whole = Write(options, pairs);
  ASSERT_TRUE(whole.ok()) << whole.status();
  options.memory_bytes = kTaskMemoryMin;
  auto spilled = Write(options, pairs);
  ASSERT_TRUE(spilled.ok()) << spilled.status();
  EXPECT_GT(runs_, 2u);
  EXPECT_EQ(spilled->hash, whole->hash);
  std::map<std::string, int64_t> expected;
  for (const auto& [key, value] : pairs) expected[key] += std::stoll(value);
  Pairs read = Read();
  EXPECT_EQ(read.size(), expected.size());
  for (const auto& [key, value] : read) EXPECT_EQ(value, absl::StrCat(expected[key]));
}

TEST_F(MapOutputTest, CombineMustKeepItsKey) {
  class Renaming final : public ReduceFunction {
   public:
    absl::Status Reduce(std::string_view key, Values*, Emitter* out) override {
      return out->Emit(absl::StrCat(std::string(key), "x"), "");
    }
  } renaming;
  MapOutputOptions options = Options(1 << 20);
  options.combine = &renaming;
  auto info = Write(options, {{"a", "1"}});
  EXPECT_EQ(info.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(info.status().message()), HasSubstr("\"ax\""));
  EXPECT_EQ(FilesIn(scratch_.path()), 0u);
}

TEST_F(MapOutputTest, NumbersAreAsTheirText) {
  for (auto aggregator : std::initializer_list<std::optional<AggregatorSpec>>{
           std::nullopt, AggregatorSpec{AggregatorKind::kSum},
           AggregatorSpec{AggregatorKind::kCount}, AggregatorSpec{AggregatorKind::kMax},
           AggregatorSpec{AggregatorKind::kTopK, 3}, AggregatorSpec{AggregatorKind::kHll},
           AggregatorSpec{AggregatorKind::kMin, 0, true}}) {
    MapOutputOptions options = Options(1 << 20);
    options.aggregator = aggregator;
    ContentHash hashes[2];
    for (bool numbers : {false, true}) {
      auto output = *MapOutput::Create(options);
      for (int64_t n : {INT64_MIN, int64_t{-1}, int64_t{0}, int64_t{7}, INT64_MAX}) {
        std::string key(static_cast<size_t>(n & 63), 'k');
        absl::Status status =
            numbers ? output->EmitNumber(key, n) : output->Emit(key, absl::StrCat(n));
        ASSERT_TRUE(status.ok()) << status;
      }
      hashes[numbers] = output->Finish()->hash;
    }
    EXPECT_EQ(hashes[0], hashes[1]);
  }
}

TEST_F(MapOutputTest, NoPairsAndGreatPairs) {
  for (bool aggregated : {false, true}) {
    MapOutputOptions options = Options(kTaskMemoryMin);
    if (aggregated) options.aggregator = AggregatorSpec{AggregatorKind::kMax, 0, true};
    auto nothing = Write(options, {});
    ASSERT_TRUE(nothing.ok()) << nothing.status();
    EXPECT_EQ(nothing->records, 0u);
    EXPECT_TRUE(Read().empty());
    Pairs pairs = {{"small", "s"},
                   {"great", std::string(8 << 20, 'g')},
                   {std::string(8 << 20, 'k'), "v"},
                   {"", ""},
                   {"small2", "t"}};
    auto great = Write(options, pairs);
    ASSERT_TRUE(great.ok()) << great.status();
    Pairs read = Read();
    std::sort(read.begin(), read.end());
    std::sort(pairs.begin(), pairs.end());
    EXPECT_EQ(read, pairs);
  }
}

}  // namespace
}  // namespace kvd::mapreduce
