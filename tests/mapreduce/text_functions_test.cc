#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <regex>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "mapreduce/functions/registry.h"
#include "tests/mapreduce/functions_testing.h"
#include "tests/scratch_directory.h"

namespace kvd::mapreduce {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// What a shell pipeline prints, line by line, with `text` as its input.
std::vector<std::string> Shell(const std::string& pipeline, const std::string& text) {
  ScratchDirectory scratch;
  std::string in = scratch.path() + "/in";
  std::ofstream(in, std::ios::binary) << text;
  std::string command = "export LC_ALL=C; < " + in + " " + pipeline;
  FILE* out = popen(command.c_str(), "r");
  std::string printed;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), out)) > 0;) printed.append(buffer, n);
  pclose(out);
  std::vector<std::string> lines;
  std::istringstream stream(printed);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string AllValues(const Pairs& records) {
  std::string all;
  for (const auto& [key, value] : records) absl::StrAppend(&all, value, "\n");
  return all;
}

TEST(Words, AreThoseOfTheDocumentedPipeline) {
  std::mt19937_64 random(1);
  std::string bytes;
  // Every byte, also those that end lines; no zero bytes, which grep takes for no text.
  for (int i = 0; i < 200'000; ++i) bytes.push_back(static_cast<char>(1 + random() % 255));
  for (bool lower : {false, true}) {
    Pairs pairs = Mapped("words", {{"lower", lower ? "true" : "false"}}, {{"k", bytes}});
    std::vector<std::string> words;
    for (const auto& [word, one] : pairs) {
      EXPECT_EQ(one, "1");
      words.push_back(word);
    }
    std::string pipeline = R"(tr -cs "A-Za-z0-9'\200-\377" '\n' | grep .)";
    EXPECT_EQ(words, Shell(lower ? "tr A-Z a-z | " + pipeline : pipeline, bytes));
    EXPECT_GT(words.size(), 10'000u);
  }
}

TEST(Words, OfLittle) {
  EXPECT_THAT(Mapped("words", {}, {{"k", ""}, {"k", " .,\n"}}), IsEmpty());
  EXPECT_THAT(Mapped("words", {}, {{"k", "a"}, {"k", "it's\0x"}}),
              ElementsAre(Pair("a", "1"), Pair("it's", "1")));
  EXPECT_THAT(Mapped("words", {}, {{"k", std::string("a\0b", 3)}}),
              ElementsAre(Pair("a", "1"), Pair("b", "1")));
}

TEST(WordCount, IsThatOfAMap) {
  Pairs records = TextRecords(3'000, 2);
  std::map<std::string, int64_t> expected;
  for (const auto& [word, one] : Mapped("words", {}, records)) ++expected[word];
  EXPECT_GT(expected.size(), 2'000u);
  auto rows = RunRecipe("word-count", {}, {}, records);
  ASSERT_TRUE(rows.ok()) << rows.status();
  std::map<std::string, int64_t> counted;
  for (const auto& [word, count] : *rows) counted[word] = std::stoll(count);
  EXPECT_EQ(counted, expected);
  EXPECT_EQ(rows->size(), expected.size());
  // However it is cut, and with whatever memory.
  EXPECT_EQ(*RunRecipe("word-count", {}, {}, records, 3'000, 64 << 20), *rows);
  EXPECT_THAT(*RunRecipe("word-count", {}, {}, {}), IsEmpty());
}

TEST(Grep, IsGrep) {
  Pairs records = TextRecords(400, 3);
  for (auto& [key, value] : records) {
    while (!value.empty() && value.back() == '\n') value.pop_back();
  }
  for (const char* pattern :
       {"don't", "^[0-9]", "[a-f]$", "9.*9", "^$", "x*", "Q|7f", "notthere"}) {
    std::vector<std::string> lines;
    auto pairs = MapPairs("grep", {{"pattern", pattern}}, records);
    ASSERT_TRUE(pairs.ok()) << pairs.status();
    for (const auto& [key, line] : *pairs) lines.push_back(line);
    EXPECT_EQ(lines, Shell(absl::StrCat("grep -aE \"", pattern, "\""), AllValues(records)))
        << pattern;
    lines.clear();
    for (const auto& [key, line] :
         Mapped("grep", {{"pattern", pattern}, {"invert", "true"}}, records)) {
      lines.push_back(line);
    }
    std::vector<std::string> others =
        Shell(absl::StrCat("grep -avE \"", pattern, "\""), AllValues(records));
    // A record without a byte has no line.
    if (std::string(pattern) != "^$" && std::string(pattern) != "x*") {
      std::erase(others, "");
      std::erase(lines, "");
    }
    EXPECT_EQ(lines, others) << pattern;
  }
}

TEST(Grep, Parameters) {
  Pairs records = {{"a", "One two\nthree one\n"}, {"b", "four"}, {"c", "ONE"}};
  Counters counters;
  EXPECT_THAT(Mapped("grep", {{"pattern", "one"}}, records, &counters),
              ElementsAre(Pair("a", "three one")));
  EXPECT_EQ(counters, (Counters{{"matches", 1}}));
  EXPECT_THAT(Mapped("grep", {{"pattern", "one"}, {"ignore-case", "true"}}, records),
              ElementsAre(Pair("a", "One two"), Pair("a", "three one"), Pair("c", "ONE")));
  EXPECT_THAT(Mapped("grep", {{"pattern", "one"}, {"emit", "record"}}, records),
              ElementsAre(Pair("a", "One two\nthree one\n")));
  EXPECT_THAT(Mapped("grep", {{"pattern", "one"}, {"emit", "record"}, {"invert", "true"}}, records),
              ElementsAre(Pair("b", "four"), Pair("c", "ONE")));
  // Nothing matches a line's end.
  EXPECT_THAT(Mapped("grep", {{"pattern", "two\\s+three"}}, records), IsEmpty());
  EXPECT_THAT(Mapped("grep", {{"pattern", "two[^x]three"}}, records), IsEmpty());
  auto wrong = MakeMap("grep", {{"pattern", "a(b"}});
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("missing )"));
}

TEST(InvertedIndex, IsThatOfAMap) {
  Pairs records = TextRecords(1'500, 4);
  std::map<std::string, std::set<std::string>> expected;
  for (const auto& record : records) {
    for (const auto& [word, one] : Mapped("words", {{"lower", "true"}}, {record})) {
      expected[word].insert(record.first);
    }
  }
  auto rows = RunRecipe("inverted-index", {{"lower", "true"}}, {{"separator", ","}}, records);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), expected.size());
  for (const auto& [word, list] : *rows) {
    std::string joined;
    for (const auto& key : expected[word]) absl::StrAppend(&joined, joined.empty() ? "" : ",", key);
    ASSERT_EQ(list, joined) << word;
  }
  auto few = RunRecipe("inverted-index", {}, {{"limit", "1"}, {"separator", ","}}, records);
  for (const auto& [word, list] : *few) EXPECT_EQ(list.find(','), list.npos);
}

}  // namespace
}  // namespace kvd::mapreduce
