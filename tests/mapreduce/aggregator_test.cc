#include "mapreduce/dataflow/aggregator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"

namespace kvd::mapreduce {
namespace {

using ::testing::HasSubstr;

// A state that cleans up after itself.
class State {
 public:
  explicit State(const Aggregator& aggregator) : aggregator_(aggregator) {
    aggregator_.Init(&state_);
  }
  ~State() { aggregator_.Destroy(&state_); }
  absl::Status Add(std::string_view value) { return aggregator_.Add(&state_, value); }
  absl::Status Merge(std::string_view encoded) { return aggregator_.Merge(&state_, encoded); }
  std::string Encoded() const {
    std::string out;
    aggregator_.Encode(state_, &out);
    return out;
  }
  std::string Final() const {
    std::string out;
    aggregator_.Render(state_, &out);
    return out;
  }

 private:
  const Aggregator& aggregator_;
  AggregateState state_;
};

struct Case {
  const char* name;
  AggregatorSpec spec;
};

class AggregatorAlgebra : public ::testing::TestWithParam<Case> {};

std::string RandomValue(std::mt19937_64* random) {
  Decimal units = static_cast<int64_t>((*random)()) >> ((*random)() % 60);
  std::string value;
  AppendDecimal(units, &value);
  // Many of them equal, some with something behind the number.
  if ((*random)() % 4 == 0) value = absl::StrCat((*random)() % 5);
  return value;
}

// Folds the values in a random tree over random parts, in random order.
std::string FoldAnyhow(const Aggregator& aggregator, std::vector<std::string> values,
                       std::mt19937_64* random, std::string* final_value) {
  std::shuffle(values.begin(), values.end(), *random);
  std::vector<std::string> states;
  for (size_t begin = 0; begin < values.size();) {
    size_t count = std::min<size_t>(1 + (*random)() % 40, values.size() - begin);
    State state(aggregator);
    for (size_t i = 0; i < count; ++i) EXPECT_TRUE(state.Add(values[begin + i]).ok());
    states.push_back(state.Encoded());
    begin += count;
  }
  while (states.size() > 1) {
    size_t a = (*random)() % states.size();
    std::string first = states[a];
    states.erase(states.begin() + static_cast<ptrdiff_t>(a));
    size_t b = (*random)() % states.size();
    State state(aggregator);
    EXPECT_TRUE(state.Merge(first).ok());
    EXPECT_TRUE(state.Merge(states[b]).ok());
    states[b] = state.Encoded();
    *final_value = state.Final();
  }
  return states[0];
}

TEST_P(AggregatorAlgebra, OrderAndSplitsNeverShow) {
  Aggregator aggregator(GetParam().spec);
  std::mt19937_64 random(11);
  for (int round = 0; round < 30; ++round) {
    std::vector<std::string> values;
    for (size_t n = 50 + random() % 2000; n > 0; --n) values.push_back(RandomValue(&random));
    State whole(aggregator);
    for (const std::string& value : values) ASSERT_TRUE(whole.Add(value).ok());
    for (int order = 0; order < 5; ++order) {
      std::string final_value;
      ASSERT_EQ(FoldAnyhow(aggregator, values, &random, &final_value), whole.Encoded());
      ASSERT_EQ(final_value, whole.Final());
    }
  }
}

TEST_P(AggregatorAlgebra, AnyBytesAreAStateOrDataLoss) {
  Aggregator aggregator(GetParam().spec);
  std::mt19937_64 random(12);
  State whole(aggregator);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(whole.Add(RandomValue(&random)).ok());
  std::string good = whole.Encoded();
  for (int i = 0; i < 3000; ++i) {
    std::string bad = good;
    if (random() % 2 == 0) bad.resize(random() % (bad.size() + 1));
    for (size_t n = random() % 4; n > 0 && !bad.empty(); --n) {
      bad[random() % bad.size()] = static_cast<char>(random());
    }
    State state(aggregator);
    absl::Status status = state.Merge(bad);
    if (!status.ok() && status.code() != absl::StatusCode::kInvalidArgument) {
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    }
    state.Final();
  }
}

INSTANTIATE_TEST_SUITE_P(All, AggregatorAlgebra,
                         ::testing::Values(Case{"Sum", {AggregatorKind::kSum}},
                                           Case{"Count", {AggregatorKind::kCount}},
                                           Case{"Min", {AggregatorKind::kMin}},
                                           Case{"Max", {AggregatorKind::kMax}},
                                           Case{"MinBytes", {AggregatorKind::kMin, 0, true}},
                                           Case{"MaxBytes", {AggregatorKind::kMax, 0, true}},
                                           Case{"Top1", {AggregatorKind::kTopK, 1}},
                                           Case{"Top17", {AggregatorKind::kTopK, 17}},
                                           Case{"Hll", {AggregatorKind::kHll}}),
                         [](const auto& info) { return std::string(info.param.name); });

std::string Of(const AggregatorSpec& spec, const std::vector<std::string>& values) {
  Aggregator aggregator(spec);
  State state(aggregator);
  for (const std::string& value : values) {
    absl::Status status = state.Add(value);
    if (!status.ok()) return std::string(status.message());
  }
  return state.Final();
}

TEST(Aggregator, FinalValues) {
  EXPECT_EQ(Of({AggregatorKind::kSum}, {"0.1", "0.2", "-1"}), "-0.7");
  EXPECT_EQ(Of({AggregatorKind::kCount}, {"x", "", "y"}), "3");
  EXPECT_EQ(Of({AggregatorKind::kMin}, {"10", "9", "1e1"}), "9");
  EXPECT_EQ(Of({AggregatorKind::kMax}, {"10", "9", "-100"}), "10");
  EXPECT_EQ(Of({AggregatorKind::kMin, 0, true}, {"b", "", "a"}), "");
  EXPECT_EQ(Of({AggregatorKind::kMax, 0, true}, {"10", "9"}), "9");
  EXPECT_EQ(Of({AggregatorKind::kTopK, 3}, {"1 one", "3 z", "2", "3 a b", "3 z"}),
            "3 a b\n3 z\n3 z");
  EXPECT_EQ(Of({AggregatorKind::kHll}, {"a", "b", "a"}), "2");
}

TEST(Aggregator, WrongValuesAreNamed) {
  for (AggregatorKind kind : {AggregatorKind::kSum, AggregatorKind::kMin, AggregatorKind::kTopK}) {
    EXPECT_THAT(Of({kind, 5}, {"1", "one"}), HasSubstr(R"("one")"));
  }
  EXPECT_THAT(Of({AggregatorKind::kTopK, 5}, {"1 " + std::string(5000, 'x')}), HasSubstr("4096"));
}

TEST(Aggregator, SumsThatOverflowAreRefused) {
  Aggregator sum({AggregatorKind::kSum});
  State state(sum);
  ASSERT_TRUE(state.Add("99999999999999999999").ok());
  absl::Status status;
  int doublings = 0;
  while (status.ok() && doublings < 64) {
    status = state.Merge(state.Encoded());
    ++doublings;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(doublings, 29);
}

TEST(Aggregator, SpecsAreChecked) {
  EXPECT_THAT(std::string(Validate({AggregatorKind::kTopK, 0}).message()), HasSubstr("top is 0"));
  EXPECT_THAT(std::string(Validate({AggregatorKind::kTopK, 1001}).message()), HasSubstr("1000"));
  EXPECT_FALSE(Validate({AggregatorKind::kSum, 0, true}).ok());
  EXPECT_TRUE(Validate({AggregatorKind::kMax, 0, true}).ok());
}

// The estimator's error is 1.04 / sqrt(4096) = 1.6 %: four times that is beyond chance.
TEST(Aggregator, EstimatesAreNear) {
  for (int count : {1, 10, 100, 500, 1'000, 5'000, 20'000, 100'000, 1'000'000}) {
    Aggregator aggregator({AggregatorKind::kHll});
    State state(aggregator);
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(state.Add(absl::StrCat("value-", i)).ok());
      // Again: it is no other value.
      ASSERT_TRUE(state.Add(absl::StrCat("value-", i / 3)).ok());
    }
    double estimate = std::stod(state.Final());
    EXPECT_NEAR(estimate, count, std::max(1.0, count * 0.065)) << count;
  }
}

}  // namespace
}  // namespace kvd::mapreduce
