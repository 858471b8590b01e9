#include "mapreduce/dataflow/shuffle_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/mapreduce/local_job.h"
#include "tests/scratch_directory.h"

namespace kvd::mapreduce {
namespace {

using ::testing::HasSubstr;
using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr uint64_t kNoLimit = uint64_t{1} << 40;

// Partition i gets the pairs at i.
absl::StatusOr<BlockFileInfo> Write(const std::string& path, const std::vector<Pairs>& partitions,
                                    uint64_t limit = kNoLimit) {
  WriteBudget budget{"spill_bytes", limit};
  auto writer = *ShuffleFileWriter::Create(path, static_cast<uint32_t>(partitions.size()), &budget);
  for (uint32_t i = 0; i < partitions.size(); ++i) {
    for (const auto& [key, value] : partitions[i]) {
      absl::Status status = writer->blocks()->Add(i, key, value);
      if (!status.ok()) return status;
    }
  }
  return writer->Finish(false);
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<ptrdiff_t>(bytes.size()));
}

size_t FilesIn(const std::string& directory) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory), {}));
}

std::string RandomBytes(std::mt19937_64* random, size_t size_max) {
  std::string bytes((*random)() % (size_max + 1), '\0');
  // Few different bytes, so that keys have much in common.
  for (char& c : bytes) c = "\0\1a\xff"[(*random)() % 4];
  return bytes;
}

TEST(ShuffleFile, WhatIsWrittenIsRead) {
  ScratchDirectory scratch;
  std::string path = scratch.path() + "/file";
  std::mt19937_64 random(3);
  for (int round = 0; round < 20; ++round) {
    std::vector<Pairs> partitions(1 + random() % 5);
    for (Pairs& pairs : partitions) {
      for (size_t n = random() % 20'000; n > 0; --n) {
        pairs.emplace_back(RandomBytes(&random, 12), RandomBytes(&random, 40));
      }
      std::sort(pairs.begin(), pairs.end());
    }
    auto info = Write(path, partitions);
    ASSERT_TRUE(info.ok()) << info.status();
    for (uint32_t i = 0; i < partitions.size(); ++i) {
      auto read = ReadPairs(path, i);
      ASSERT_TRUE(read.ok()) << read.status();
      ASSERT_EQ(*read, partitions[i]);
    }
    EXPECT_EQ((*ShuffleFileReader::Open(path))->info().hash, info->hash);
  }
  EXPECT_EQ(FilesIn(scratch.path()), 2u);
  RemoveShuffleFile(path);
  EXPECT_EQ(FilesIn(scratch.path()), 0u);
}

TEST(ShuffleFile, GreatValuesHaveBlocksOfTheirOwn) {
  ScratchDirectory scratch;
  std::string path = scratch.path() + "/file";
  std::string great(8 << 20, 'v');
  std::mt19937_64 random(4);
  std::string noise(8 << 20, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  Pairs pairs = {{"a", "1"}, {"b", great}, {"c", noise}, {noise.substr(1), "x"}};
  std::sort(pairs.begin(), pairs.end());
  auto info = Write(path, {pairs});
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_GE(info->partitions[0].blocks.size(), 4u);
  EXPECT_EQ(*ReadPairs(path), pairs);
  auto too_great = Write(path, {{{"k", std::string((16 << 20), 'x')}}});
  EXPECT_EQ(too_great.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(too_great.status().message()), HasSubstr("16777216"));
}

TEST(ShuffleFile, KeysThatFallAreNamed) {
  ScratchDirectory scratch;
  auto info = Write(scratch.path() + "/file", {{{"b", ""}, {"ab", ""}}});
  EXPECT_EQ(info.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(info.status().message()), HasSubstr(R"("ab" comes after key "b")"));
  std::string great(200 << 10, 'x');
  info = Write(scratch.path() + "/file", {{{"b", great}, {"ba", great}, {"b", great}}});
  EXPECT_EQ(info.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FilesIn(scratch.path()), 0u);
}

TEST(ShuffleFile, ALimitOfTheDiskIsNamedAndNothingIsLeft) {
  ScratchDirectory scratch;
  auto info = Write(scratch.path() + "/file", {{{"a", std::string(100 << 10, 'x')}, {"b", ""}}}, 9);
  EXPECT_EQ(info.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(info.status().message()), HasSubstr("spill_bytes is 9 B"));
  EXPECT_EQ(FilesIn(scratch.path()), 0u);
}

TEST(ShuffleFile, AMissingFileIsNotFound) {
  EXPECT_EQ(ShuffleFileReader::Open("/nowhere/file").status().code(), absl::StatusCode::kNotFound);
}

// Reads everything; what was wrong.
absl::Status ReadAll(const std::string& path) {
  auto reader = ShuffleFileReader::Open(path);
  if (!reader.ok()) return reader.status();
  for (uint32_t i = 0; i < (*reader)->info().partitions.size(); ++i) {
    auto pairs = ReadPairs(path, i);
    if (!pairs.ok()) return pairs.status();
  }
  return absl::OkStatus();
}

// Every bit and every length of both files.
class Damage : public ::testing::TestWithParam<const char*> {};

TEST_P(Damage, IsNoticed) {
  ScratchDirectory scratch;
  std::string path = scratch.path() + "/file";
  Pairs pairs;
  for (int i = 0; i < 30; ++i) pairs.emplace_back(absl::StrCat("key", 10 + i), "valuevaluevalue");
  ASSERT_TRUE(Write(path, {pairs, {}, {{"k", "raw"}}}).ok());
  ASSERT_TRUE(ReadAll(path).ok());
  std::string name = path + GetParam();
  std::string good = ReadFile(name);
  ASSERT_GT(good.size(), 40u);
  auto expect_noticed = [&](const std::string& what) {
    absl::Status status = ReadAll(path);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << what << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name)) << what;
    EXPECT_THAT(std::string(status.message()), HasSubstr("offset")) << what;
  };
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    WriteFile(name, bad);
    expect_noticed(absl::StrCat("bit ", bit));
  }
  for (size_t size = 0; size < good.size(); ++size) {
    WriteFile(name, good.substr(0, size));
    expect_noticed(absl::StrCat("size ", size));
  }
  WriteFile(name, good + '\0');
  expect_noticed("longer");
}

INSTANTIATE_TEST_SUITE_P(Files, Damage, ::testing::Values(".data", ".index"),
                         [](const auto& info) { return std::string(info.param + 1); });

// Damage that checksums agree with, as from a defect: never more than an error.
TEST(ShuffleFile, MalformedBlocksAreRefused) {
  std::mt19937_64 random(5);
  BlockBuilder builder;
  std::vector<std::string> keys;
  keys.reserve(200);
  for (int i = 0; i < 200; ++i) keys.push_back(RandomBytes(&random, 20));
  std::sort(keys.begin(), keys.end());
  for (const std::string& key : keys) ASSERT_TRUE(builder.Add(key, "v"));
  std::string good(builder.raw());
  for (int round = 0; round < 50'000; ++round) {
    std::string bad = good;
    for (size_t n = 1 + random() % 3; n > 0; --n) {
      bad[random() % bad.size()] = static_cast<char>(random());
    }
    if (random() % 4 == 0) bad.resize(random() % bad.size());
    BlockReader reader;
    reader.Begin(bad, 200);
    std::string before;
    size_t read = 0;
    while (reader.Next()) {
      ASSERT_LE(before, reader.key());
      before = reader.key();
      ASSERT_LE(reader.value().size(), bad.size());
      ++read;
    }
    EXPECT_TRUE(read == 200 || !reader.ok());
  }
}

// The identity must not depend on LZ4: it is over raw bytes.
TEST(ShuffleFile, IdentityIsThatOfTheContent) {
  ScratchDirectory scratch;
  std::string path = scratch.path() + "/file";
  auto one = Write(path, {{{"a", "1"}, {"b", "2"}}});
  EXPECT_EQ(Write(path + "2", {{{"a", "1"}, {"b", "2"}}})->hash, one->hash);
  EXPECT_NE(Write(path, {{{"a", "1"}, {"b", "3"}}})->hash, one->hash);
  EXPECT_NE(Write(path, {{{"a", "1"}}, {{"b", "2"}}})->hash, one->hash);
  // Of format version 1, for good: stores of two versions must agree on a winner.
  EXPECT_EQ(absl::StrCat(absl::Hex(one->hash.high), absl::Hex(one->hash.low)),
            "22673f8811e5e37e14b3080c24e6460c");
}

}  // namespace
}  // namespace kvd::mapreduce
