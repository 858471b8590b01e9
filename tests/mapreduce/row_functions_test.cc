#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "mapreduce/bad_record.h"
#include "mapreduce/dataflow/decimal.h"
#include "mapreduce/functions/registry.h"
#include "proto/bytes.h"
#include "tests/mapreduce/functions_testing.h"

namespace kvd::mapreduce {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAreArray;

std::string FieldOf(const Parameters& parameters, const std::string& value) {
  auto pairs = MapPairs("fields", parameters, {{"record", value}});
  if (!pairs.ok()) return std::string(FromAbsl(pairs.status().message()));
  return pairs->empty() ? "nothing" : absl::StrCat((*pairs)[0].first, "=", (*pairs)[0].second);
}

TEST(Fields, OfDelimitedText) {
  Parameters p = {{"key", "2"}, {"value", "1"}};
  EXPECT_EQ(FieldOf(p, "a\tb\tc"), "b=a");
  EXPECT_EQ(FieldOf(p, "a\tb\r\n"), "b=a");
  EXPECT_EQ(FieldOf(p, "a\t"), "=a");
  EXPECT_EQ(FieldOf(p, "\tb"), "b=");
  EXPECT_EQ(FieldOf(p, "a"), "nothing");
  EXPECT_EQ(FieldOf(p, ""), "nothing");
  p = {{"key", "3"}, {"delimiter", "|"}};
  EXPECT_EQ(FieldOf(p, "a|b|c"), "c=1");
  EXPECT_EQ(FieldOf({{"key", "1"}, {"value", "1"}}, "x\ty"), "x=x");
  EXPECT_EQ(FieldOf({{"key", "@key"}, {"value", "@value"}}, "x\ty"), "record=x\ty");
}

TEST(Fields, OfCsv) {
  Parameters p = {
      {"format", "csv"}, {"columns", "id,name,amount"}, {"key", "name"}, {"value", "amount"}};
  EXPECT_EQ(FieldOf(p, "1,bob,2.5"), "bob=2.5");
  EXPECT_EQ(FieldOf(p, "1,\"bob, \"\"jr\"\"\",\"2\"\r\n"), "bob, \"jr\"=2");
  EXPECT_EQ(FieldOf(p, "\"\",\"\",\"\""), "=");
  EXPECT_EQ(FieldOf(p, "1,bob"), "nothing");
  EXPECT_THAT(FieldOf(p, "1,\"bob"), HasSubstr("has no end"));
  EXPECT_THAT(FieldOf(p, "1,\"bob\"x,2"), HasSubstr("delimiter"));
  // What is not read is not looked at.
  EXPECT_EQ(FieldOf({{"format", "csv"}, {"key", "1"}}, "1,\"bob"), "1=1");
}

TEST(Fields, OfJson) {
  Parameters p = {{"format", "json"}, {"key", "name"}, {"value", "/order/items/1"}};
  EXPECT_EQ(FieldOf(p, R"({"order": {"items": [1, 2.50]}, "name": "b\u00f6b\n"})"),
            "b\xc3\xb6"
            "b\n=2.50");
  EXPECT_EQ(FieldOf(p, R"({"name": true, "order": {"items": [0, {"x": [1]}]}})"),
            R"(true={"x": [1]})");
  EXPECT_EQ(FieldOf(p, R"({"name": null, "order": {"items": [0, 1]}})"), "nothing");
  EXPECT_EQ(FieldOf(p, R"({"name": "x", "order": {"items": [0]}})"), "nothing");
  EXPECT_EQ(FieldOf(p, R"({"name": "x", "order": 5})"), "nothing");
  EXPECT_EQ(FieldOf(p, "[]"), "nothing");
  // Digits that no double holds.
  EXPECT_EQ(FieldOf({{"format", "json"}, {"key", "a/b"}, {"value", "v"}},
                    R"({"a/b": "k", "v": 12345678901234567.123456789 })"),
            "k=12345678901234567.123456789");
  for (const char* bad : {"", "{", "nonsense", R"({"name": )", "{\"name\": \"\xff\"}"}) {
    auto pairs = MapPairs("fields", p, {{"record", bad}});
    EXPECT_EQ(BadRecordOf(pairs.status()).value_or(BadRecordPayload{}).key, "record") << bad;
  }
}

TEST(Fields, MissingFieldsAreCountedOrBad) {
  Counters counters;
  Pairs rows = {{"a", "x\ty"}, {"b", "x"}, {"c", "z\tw"}};
  EXPECT_THAT(Mapped("fields", {{"key", "2"}}, rows, &counters),
              ElementsAre(Pair("y", "1"), Pair("w", "1")));
  EXPECT_EQ(counters, (Counters{{"rows_without_field", 1}}));
  auto strict = MapPairs("fields", {{"key", "2"}, {"missing", "error"}}, rows);
  EXPECT_EQ(BadRecordOf(strict.status())->key, "b");
}

TEST(GroupBy, IsThatOfAMap) {
  std::mt19937_64 random(5);
  Pairs records;
  std::map<std::string, Decimal> expected;
  for (int i = 0; i < 20'000; ++i) {
    std::string group = absl::StrCat("g", random() % (1 + random() % 2'000));
    std::string amount = absl::StrFormat("%d.%02d", static_cast<int>(random() % 1000) - 500,
                                         static_cast<int>(random() % 100));
    expected[group] += *ParseDecimal(amount);
    records.emplace_back(absl::StrFormat("row/%08d", i), absl::StrCat(amount, ",", group));
  }
  Parameters p = {{"format", "csv"}, {"key", "2"}, {"value", "1"}};
  auto rows = RunRecipe("group-by", p, {}, records, 3'000);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), expected.size());
  for (const auto& [group, sum] : *rows) {
    std::string text;
    AppendDecimal(expected[group], &text);
    ASSERT_EQ(sum, text) << group;
  }
  records[77].second = "x,g1";
  auto bad = RunRecipe("group-by", p, {}, records, 3'000);
  ASSERT_TRUE(BadRecordOf(bad.status())) << bad.status();
  EXPECT_EQ(BadRecordOf(bad.status())->key, "row/00000077");
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("not a decimal number"));
}

TEST(SortByValue, IsSortedAsAWhole) {
  std::mt19937_64 random(6);
  Pairs records;
  Pairs expected;
  for (int i = 0; i < 20'000; ++i) {
    std::string value = random() % 3 == 0 ? "frequent" : absl::StrCat(random() % 50'000);
    if (random() % 50 == 0) value = std::string("\0\xff", random() % 3);
    records.emplace_back(absl::StrFormat("row/%08d", i), value);
    expected.emplace_back(value, records.back().first);
  }
  std::stable_sort(expected.begin(), expected.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  auto rows = RunRecipe("sort-by-value", {}, {}, records, 3'000);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(*rows, expected);
}

TEST(Join, IsThatOfTwoLoops) {
  std::mt19937_64 random(7);
  Pairs records;
  for (int i = 0; i < 800; ++i) {
    records.emplace_back(absl::StrFormat("order/%05d", i),
                         absl::StrCat(random() % 300, "\torder", i));
  }
  // The longer prefix wins.
  for (int i = 0; i < 300; i += 2) {
    records.emplace_back(absl::StrCat("order/user/", i), absl::StrCat("user", i));
  }
  records.emplace_back("other", "x");
  for (bool keep_left : {false, true}) {
    std::vector<std::pair<std::string, std::string>> expected;
    for (int i = 0; i < 800; ++i) {
      std::string left = records[static_cast<size_t>(i)].second;
      int user = std::stoi(left);
      if (user % 2 == 0)
        expected.emplace_back(absl::StrCat(user), absl::StrCat(left, "|user", user));
      if (user % 2 == 1 && keep_left) expected.emplace_back(absl::StrCat(user), left + "|");
    }
    auto rows =
        RunRecipe("join", {{"left", "order/"}, {"right", "order/user/"}, {"left-on", "1"}},
                  {{"kind", keep_left ? "left" : "inner"}, {"separator", "|"}}, records, 90);
    ASSERT_TRUE(rows.ok()) << rows.status();
    EXPECT_THAT(*rows, UnorderedElementsAreArray(expected));
  }
}

TEST(Basics, IdentityInvertAndCopy) {
  Pairs records = {{std::string("\0", 1), "\xff"}, {"a", ""}, {"b", std::string(300 << 10, 'v')}};
  EXPECT_EQ(Mapped("identity", {}, records), records);
  EXPECT_THAT(Mapped("invert", {}, {{"k", "v"}}), ElementsAre(Pair("v", "k")));
  EXPECT_THAT(*RunRecipe("copy", {}, {}, records, 1), UnorderedElementsAreArray(records));
}

TEST(Sample, TakesItsShareAlwaysTheSame) {
  Pairs records;
  for (int i = 0; i < 20'000; ++i) records.emplace_back(absl::StrCat("key", i), "v");
  auto taken = Mapped("sample", {{"rate", "0.05"}}, records);
  EXPECT_NEAR(static_cast<double>(taken.size()), 1'000, 150);
  EXPECT_EQ(Mapped("sample", {{"rate", "0.05"}}, records), taken);
  auto other = Mapped("sample", {{"rate", "0.05"}, {"seed", "1"}}, records);
  Pairs both;
  std::sort(taken.begin(), taken.end());
  std::sort(other.begin(), other.end());
  std::set_intersection(taken.begin(), taken.end(), other.begin(), other.end(),
                        std::back_inserter(both));
  EXPECT_LT(both.size(), 120u);
  EXPECT_THAT(Mapped("sample", {{"rate", "0"}}, records), IsEmpty());
  EXPECT_EQ(Mapped("sample", {{"rate", "1"}}, records), records);
}

TEST(Sizes, AreCountedInPowersOfTwo) {
  Pairs records = {
      {"", ""}, {"a", "v"}, {"aa", std::string(1025, 'v')}, {"aaa", "vvv"}, {"aaaa", ""}};
  EXPECT_THAT(*RunRecipe("sizes", {}, {}, records, 2),
              ElementsAre(Pair("key <= 0000000000", "1"), Pair("key <= 0000000001", "1"),
                          Pair("key <= 0000000002", "1"), Pair("key <= 0000000004", "2"),
                          Pair("value <= 0000000000", "2"), Pair("value <= 0000000001", "1"),
                          Pair("value <= 0000000004", "1"), Pair("value <= 0000002048", "1")));
}

TEST(CountDistinct, IsNear) {
  Pairs records;
  for (int i = 0; i < 10'000; ++i) {
    records.emplace_back(absl::StrFormat("r%06d", i), absl::StrCat(i % 2, "\t", i % 3'000));
  }
  auto rows = RunRecipe("count-distinct", {{"key", "1"}, {"value", "2"}}, {}, records, 3'000);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2u);
  for (const auto& [key, count] : *rows) EXPECT_NEAR(std::stod(count), 1'500, 100);
}

TEST(Registry, UnknownNamesAndParametersAreAnswered) {
  auto message = [](const auto& result) {
    return std::string(FromAbsl(result.status().message()));
  };
  EXPECT_EQ(MakeMap("wordcount", {}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(message(MakeMap("wordcount", {})), HasSubstr("fields, grep, identity"));
  EXPECT_THAT(message(MakeMap("unique", {})), HasSubstr("no built-in map function"));
  EXPECT_THAT(message(MakeReduce("words", {})), HasSubstr("distinct, identity, join-pairs"));
  EXPECT_THAT(message(MakeMap("words", {{"upper", "1"}})), HasSubstr("it has: lower"));
  EXPECT_THAT(message(MakeMap("words", {{"lower", "yes"}})), HasSubstr("one of: false, true"));
  EXPECT_THAT(message(MakeMap("grep", {})), HasSubstr("needs the parameter 'pattern'"));
  EXPECT_THAT(message(MakeMap("sample", {{"rate", "2"}})), HasSubstr("0 to 1"));
  EXPECT_THAT(message(MakeMap("sample", {{"rate", "1"}, {"seed", "-1"}})), HasSubstr("from 0 to"));
  EXPECT_THAT(message(MakeMap("fields", {{"key", "0"}})), HasSubstr("from 1 to"));
  EXPECT_THAT(message(MakeMap("fields", {{"key", "1"}, {"delimiter", "ab"}})),
              HasSubstr("one byte"));
  EXPECT_THAT(message(MakeMap("join-sides", {{"left", "a"}, {"right", "a"}})),
              HasSubstr("left side"));
  EXPECT_THAT(message(MakeReduce("unique", {{"limit", "x"}})), HasSubstr("number"));
}

TEST(Registry, EveryFunctionAndRecipeIsWhole) {
  for (const FunctionInfo& function : ListFunctions()) {
    EXPECT_STRNE(function.help, "");
    EXPECT_TRUE(FindFunction(function.role, function.name).ok());
    for (const ParameterInfo& parameter : function.parameters) EXPECT_STRNE(parameter.help, "");
  }
  for (const Recipe& recipe : Recipes()) {
    EXPECT_TRUE(FindFunction(Role::kMap, recipe.map).ok()) << recipe.name;
    for (const char* reduce : {recipe.combine, recipe.reduce}) {
      EXPECT_TRUE(reduce == nullptr || FindFunction(Role::kReduce, reduce).ok()) << recipe.name;
    }
    EXPECT_TRUE(!recipe.aggregator || Validate(*recipe.aggregator).ok());
  }
}

}  // namespace
}  // namespace kvd::mapreduce
