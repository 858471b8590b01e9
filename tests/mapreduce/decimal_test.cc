#include "mapreduce/dataflow/decimal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

using ::testing::HasSubstr;

std::string Text(Decimal value) {
  std::string text;
  AppendDecimal(value, &text);
  return text;
}

std::string Normal(std::string_view text) {
  auto value = ParseDecimal(text);
  return value.ok() ? Text(*value) : std::string(FromAbsl(value.status().message()));
}

TEST(Decimal, ShortestTextIsGivenBack) {
  EXPECT_EQ(Normal("0"), "0");
  EXPECT_EQ(Normal("-0"), "0");
  EXPECT_EQ(Normal("007"), "7");
  EXPECT_EQ(Normal("+12.50"), "12.5");
  EXPECT_EQ(Normal(" -0.000000001 \n"), "-0.000000001");
  EXPECT_EQ(Normal("1.0000000000000000000000"), "1");
  EXPECT_EQ(Normal("1000000000000000000000e-3"), "1000000000000000000");
  EXPECT_EQ(Normal("1.5e3"), "1500");
  EXPECT_EQ(Normal("25E-2"), "0.25");
  EXPECT_EQ(Normal("0e99999999999"), "0");
  EXPECT_EQ(Normal("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(Normal("99999999999999999999.999999999"), "99999999999999999999.999999999");
  EXPECT_EQ(Normal("123456789"), "123456789");
  EXPECT_EQ(Normal("1234567890"), "1234567890");
}

TEST(Decimal, WhatIsNoNumberIsNamed) {
  for (const char* text : {"", " ", "-", "+", ".", ".5", "1.", "1.e3", "1e", "1e+", "0x10", "1 2",
                           "1,5", "nan", "inf", "--1", "1.2.3", "12a"}) {
    auto value = ParseDecimal(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(value.status().message()), HasSubstr(Printable(text)));
  }
  EXPECT_THAT(Normal("100000000000000000000"), HasSubstr("1e20"));
  EXPECT_THAT(Normal("-1e20"), HasSubstr("1e20"));
  EXPECT_THAT(Normal("1e99999"), HasSubstr("1e20"));
  EXPECT_THAT(Normal(std::string(100'000, '9')), HasSubstr("1e20"));
  EXPECT_THAT(Normal("0.0000000001"), HasSubstr("nine digits"));
  EXPECT_THAT(Normal("1e-10"), HasSubstr("nine digits"));
}

TEST(Decimal, StoredFormIsGivenBack) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    int bits = static_cast<int>(random() % 125);
    auto value = static_cast<Decimal>((static_cast<unsigned __int128>(random()) << 64 | random()) >>
                                      (127 - bits));
    if (random() % 2 == 0) value = -value;
    if (random() % 2 == 0) value = value / kDecimalUnit * kDecimalUnit;
    std::string bytes;
    EncodeDecimal(value, &bytes);
    std::string_view rest = bytes;
    Decimal back = 0;
    ASSERT_TRUE(DecodeDecimal(&rest, &back));
    ASSERT_TRUE(back == value && rest.empty()) << Text(value);
    if (value < kDecimalLimit && value > -kDecimalLimit) {
      ASSERT_TRUE(*ParseDecimal(Text(value)) == value) << Text(value);
    }
    rest = std::string_view(bytes).substr(0, bytes.size() - 1);
    EXPECT_FALSE(DecodeDecimal(&rest, &back));
  }
  std::string small;
  EncodeDecimal(kDecimalUnit, &small);
  EXPECT_EQ(small.size(), 1u);
}

TEST(Decimal, AnyBytesDecodeOrAreRefused) {
  std::mt19937_64 random(8);
  for (int i = 0; i < 100'000; ++i) {
    std::string bytes;
    for (size_t n = random() % 22; n > 0; --n) bytes.push_back(static_cast<char>(random() | 0x80));
    bytes.push_back(static_cast<char>(random()));
    std::string_view rest = bytes;
    Decimal value = 0;
    if (!DecodeDecimal(&rest, &value)) continue;
    EXPECT_TRUE(Text(value).size() <= 42);
  }
}

}  // namespace
}  // namespace kvd::mapreduce
