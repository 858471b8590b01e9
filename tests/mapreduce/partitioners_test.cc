#include "mapreduce/dataflow/partitioners.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "mapreduce/dataflow/sampler.h"

namespace kvd::mapreduce {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(HashPartitioner, SharesAreEvenAndAlwaysTheSame) {
  HashPartitioner hash;
  for (uint32_t partitions : {1u, 2u, 7u, 1000u}) {
    std::vector<int> counts(partitions);
    int keys = static_cast<int>(partitions) * 1000;
    for (int i = 0; i < keys; ++i) ++counts[hash.PartitionOf(absl::StrCat("key", i), partitions)];
    for (int count : counts) EXPECT_NEAR(count, 1000, 200);
  }
  // For good: tasks on stores of two versions must agree.
  EXPECT_EQ(hash.PartitionOf("", 1000), 175u);
  EXPECT_EQ(hash.PartitionOf("kvd", 1000), 242u);
}

TEST(RangePartitioner, KeysGoWhereTheSplittersSay) {
  auto ranges = *RangePartitioner::Create({"b", "bbbbbbbb1", "bbbbbbbb2", "c"});
  EXPECT_EQ(ranges.PartitionOf("", 5), 0u);
  EXPECT_EQ(ranges.PartitionOf("azz", 5), 0u);
  EXPECT_EQ(ranges.PartitionOf("b", 5), 1u);
  EXPECT_EQ(ranges.PartitionOf("bbbbbbbb", 5), 1u);
  EXPECT_EQ(ranges.PartitionOf("bbbbbbbb1", 5), 2u);
  EXPECT_EQ(ranges.PartitionOf("bbbbbbbb10", 5), 2u);
  EXPECT_EQ(ranges.PartitionOf("bbbbbbbb2", 5), 3u);
  EXPECT_EQ(ranges.PartitionOf("bz", 5), 3u);
  EXPECT_EQ(ranges.PartitionOf("\xff", 5), 4u);
  EXPECT_EQ(ranges.PartitionOf("\xff", 3), 2u);
}

TEST(RangePartitioner, AgreesWithTheDefinition) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> splitters;
    // In every other round most begin alike.
    std::string head(round % 2 == 0 ? 0 : 10, 'a');
    auto key = [&random, &head] {
      std::string bytes(random() % 12, '\0');
      for (char& c : bytes) c = "\0a\xff"[random() % 3];
      return random() % 50 == 0 ? bytes : head + bytes;
    };
    splitters.reserve(20);
    for (int i = 0; i < 20; ++i) splitters.push_back(key());
    std::sort(splitters.begin(), splitters.end());
    splitters.erase(std::unique(splitters.begin(), splitters.end()), splitters.end());
    auto ranges = *RangePartitioner::Create(splitters);
    for (int i = 0; i < 200; ++i) {
      std::string k = key();
      auto expected = std::upper_bound(splitters.begin(), splitters.end(), k) - splitters.begin();
      ASSERT_EQ(ranges.PartitionOf(k, 1000), static_cast<uint32_t>(expected));
    }
  }
}

TEST(RangePartitioner, SplittersMustRise) {
  auto ranges = RangePartitioner::Create({"a", "a"});
  EXPECT_THAT(std::string(ranges.status().message()), HasSubstr("splitter 1 is \"a\""));
}

std::vector<std::string> Repeated(const std::vector<std::pair<std::string, int>>& counts) {
  std::vector<std::string> keys;
  for (const auto& [key, count] : counts) keys.insert(keys.end(), static_cast<size_t>(count), key);
  return keys;
}

TEST(ChooseSplitters, PartsAreEven) {
  std::vector<std::string> sample;
  for (int i = 1000; i < 3000; ++i) sample.push_back(absl::StrCat(i));
  auto splitters = ChooseSplitters(sample, 8);
  ASSERT_EQ(splitters.size(), 7u);
  for (size_t i = 0; i < 7; ++i) EXPECT_NEAR(std::stoi(splitters[i]), 1250 + 250 * i, 2);
}

TEST(ChooseSplitters, AHeavyKeyIsAlone) {
  EXPECT_THAT(ChooseSplitters(Repeated({{"a", 10}, {"h", 500}, {"x", 10}}), 4),
              ElementsAre("h", "x"));
  EXPECT_THAT(ChooseSplitters(Repeated({{"h", 500}, {"i", 500}, {"x", 10}}), 3),
              ElementsAre("i", "x"));
  EXPECT_THAT(ChooseSplitters(Repeated({{"h", 500}}), 4), IsEmpty());
  EXPECT_THAT(ChooseSplitters({}, 4), IsEmpty());
  EXPECT_THAT(ChooseSplitters({"a", "b"}, 1), IsEmpty());
}

TEST(ChooseSplitters, SkewedKeysMakeNoGreatPart) {
  std::mt19937_64 random(10);
  for (uint32_t partitions : {2u, 5u, 16u}) {
    std::vector<std::string> sample;
    for (int i = 0; i < 2000; ++i) {
      double place = std::uniform_real_distribution<double>(0, 1)(random);
      sample.push_back(absl::StrCat(100'000 + static_cast<int>(1 / (place + 1e-4))));
    }
    std::sort(sample.begin(), sample.end());
    auto splitters = ChooseSplitters(sample, partitions);
    EXPECT_LT(splitters.size(), partitions);
    EXPECT_TRUE(std::is_sorted(splitters.begin(), splitters.end()));
    auto ranges = *RangePartitioner::Create(splitters);
    std::vector<std::map<std::string, size_t>> parts(partitions);
    for (const auto& key : sample) ++parts[ranges.PartitionOf(key, partitions)][key];
    for (const auto& part : parts) {
      size_t size = 0;
      for (const auto& [key, count] : part) size += count;
      // Twice its share, unless it is one key.
      EXPECT_TRUE(part.size() == 1 || size <= 2 * sample.size() / partitions + 1) << size;
    }
  }
}

TEST(Sampler, SamplesOfTasksMakeTheSampleOfAll) {
  std::vector<std::vector<SampledKey>> samples;
  for (uint64_t task = 0; task < 5; ++task) {
    SamplingEmitter emitter(task, 1 << 30, 100);
    for (int i = 0; i < 1'000; ++i) {
      ASSERT_TRUE(emitter.Emit(absl::StrCat(task, "/", i), "value").ok());
    }
    samples.push_back(std::move(emitter).Take());
    EXPECT_EQ(samples.back().size(), 100u);
  }
  auto merged = MergeSamples(samples, 100);
  std::swap(samples[0], samples[4]);
  EXPECT_EQ(MergeSamples(samples, 100), merged);
  // Merging in steps takes the same.
  auto first = MergeSamples({samples[0], samples[1]}, 100);
  auto second = MergeSamples({samples[2], samples[3], samples[4]}, 100);
  EXPECT_EQ(MergeSamples({first, second}, 100), merged);
  std::map<char, int> by_task;
  for (const SampledKey& key : merged) ++by_task[key.key[0]];
  for (const auto& [task, count] : by_task) EXPECT_NEAR(count, 20, 17);
  EXPECT_EQ(by_task.size(), 5u);
}

TEST(Sampler, EveryPlaceHasTheSameChance) {
  SamplingEmitter emitter(7, 1 << 30);
  for (int64_t i = 0; i < 100'000; ++i) {
    ASSERT_TRUE(emitter.EmitNumber(absl::StrCat(i / 10'000), i).ok());
  }
  std::map<std::string, int> counts;
  for (const auto& key : SortedKeys(std::move(emitter).Take())) ++counts[key];
  EXPECT_EQ(counts.size(), 10u);
  for (const auto& [part, count] : counts) EXPECT_NEAR(count, 200, 60);
}

TEST(Sampler, LongKeysAreCutAndLimitsHold) {
  SamplingEmitter emitter(0, 1 << 20);
  ASSERT_TRUE(emitter.Emit(std::string(5000, 'k'), "").ok());
  EXPECT_EQ(emitter.Emit("k", std::string(1 << 20, 'v')).code(),
            absl::StatusCode::kResourceExhausted);
  auto sample = std::move(emitter).Take();
  ASSERT_EQ(sample.size(), 1u);
  EXPECT_EQ(sample[0].key.size(), kSampleKeyBytes);
}

}  // namespace
}  // namespace kvd::mapreduce
