#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "mapreduce/dataflow/map_output.h"
#include "mapreduce/dataflow/partitioners.h"
#include "tests/scratch_directory.h"

namespace kvd::mapreduce {
namespace {

using ::testing::HasSubstr;

class MapLimitsTest : public ::testing::TestWithParam<bool> {
 protected:
  MapLimitsTest() {
    options_.directory = scratch_.path();
    options_.path = scratch_.path() + "/out";
    options_.memory_bytes = kTaskMemoryMin;
    if (GetParam()) options_.aggregator = AggregatorSpec{AggregatorKind::kSum};
  }

  // Emits different keys until it is told to stop, and ends.
  absl::Status EmitMany(int count) {
    auto output = MapOutput::Create(options_);
    if (!output.ok()) return output.status();
    for (int i = 0; i < count; ++i) {
      absl::Status status = (*output)->Emit(absl::StrCat("key", i * 7919 % 100'003), "1");
      if (status.ok()) continue;
      EXPECT_EQ((*output)->Emit("more", "1"), status) << "nothing may be taken after an error";
      EXPECT_EQ((*output)->EmitNumber("more", 1), status);
      break;
    }
    return (*output)->Finish().status();
  }
  size_t Files() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(scratch_.path()), {}));
  }

  ScratchDirectory scratch_;
  MapOutputOptions options_;
};

TEST_P(MapLimitsTest, SpillBytes) {
  options_.spill_bytes = 50'000;
  absl::Status status = EmitMany(100'000);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("spill_bytes is 50000 B"));
  EXPECT_EQ(Files(), 0u);
}

TEST_P(MapLimitsTest, OutputBytes) {
  options_.output_bytes = 1'000;
  absl::Status status = EmitMany(100'000);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("output_bytes is 1000 B"));
  EXPECT_EQ(Files(), 0u);
}

TEST_P(MapLimitsTest, Cancelled) {
  std::atomic<bool> cancelled{true};
  options_.cancelled = &cancelled;
  EXPECT_EQ(EmitMany(100'000).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Files(), 0u);
}

TEST_P(MapLimitsTest, AnOutputThatIsDroppedLeavesNothing) {
  auto output = *MapOutput::Create(options_);
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(output->Emit(absl::StrCat(i), "1").ok());
  EXPECT_GT(output->runs(), 0u);
  EXPECT_EQ(Files(), 0u) << "runs have no names";
  output.reset();
  EXPECT_EQ(Files(), 0u);
}

TEST_P(MapLimitsTest, ADirectoryThatIsNotThere) {
  options_.directory = scratch_.path() + "/nowhere";
  absl::Status status = EmitMany(100'000);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(options_.directory));
}

TEST_P(MapLimitsTest, PairsThatAreTooGreat) {
  auto output = *MapOutput::Create(options_);
  absl::Status status = output->Emit("k", std::string(16 << 20, '1'));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("16777216"));
}

TEST_P(MapLimitsTest, APartitionerThatGivesNoPartition) {
  class Wrong final : public Partitioner {
   public:
    uint32_t PartitionOf(std::string_view, uint32_t partitions) const override {
      return partitions;
    }
  } wrong;
  options_.partitions = 4;
  options_.partitioner = &wrong;
  absl::Status status = EmitMany(10);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("partition 4, there are 4"));
}

TEST_P(MapLimitsTest, OptionsAreChecked) {
  auto message = [](const MapOutputOptions& options) {
    return std::string(MapOutput::Create(options).status().message());
  };
  MapOutputOptions wrong = options_;
  wrong.partitions = 0;
  EXPECT_THAT(message(wrong), HasSubstr("partitions is 0"));
  wrong.partitions = 1001;
  EXPECT_THAT(message(wrong), HasSubstr("1 to 1000"));
  wrong.partitions = 2;
  EXPECT_THAT(message(wrong), HasSubstr("partitioner is missing"));
  wrong = options_;
  wrong.memory_bytes = 1;
  EXPECT_THAT(message(wrong), HasSubstr("memory_bytes is 1"));
}

TEST_P(MapLimitsTest, CountersAreKept) {
  auto output = *MapOutput::Create(options_);
  output->Count("rows", 2);
  output->Count("rows", -5);
  output->Count("", 1);
  output->Count(std::string(100, 'x'), 1);
  EXPECT_EQ(output->counters(), (Counters{{"rows", -3}, {"?", 1}, {std::string(64, 'x'), 1}}));
}

INSTANTIATE_TEST_SUITE_P(Paths, MapLimitsTest, ::testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "Hash" : "Sort");
});

}  // namespace
}  // namespace kvd::mapreduce
