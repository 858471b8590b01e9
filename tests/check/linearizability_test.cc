// The checker itself, on histories known to be good and bad.
#include "tests/check/linearizability.h"

#include "gtest/gtest.h"
#include "raft/runtime/random.h"

namespace kvd::check {
namespace {

using Kind = Operation::Kind;

Operation Get(int64_t called, int64_t returned, std::optional<std::string> value) {
  Operation op;
  op.kind = Kind::kGet;
  op.value = std::move(value);
  op.called = called;
  op.returned = returned;
  return op;
}

Operation Put(int64_t called, int64_t returned, std::string value) {
  Operation op;
  op.kind = Kind::kPut;
  op.argument = std::move(value);
  op.called = called;
  op.returned = returned;
  return op;
}

Operation Append(int64_t called, int64_t returned, std::string value, uint64_t length) {
  Operation op = Put(called, returned, std::move(value));
  op.kind = Kind::kAppend;
  op.length = length;
  return op;
}

Operation Unknown(Operation op) {
  op.known = false;
  return op;
}

TEST(Linearizability, EmptyAndSequential) {
  EXPECT_EQ(CheckLinearizable({}), Verdict::kLinearizable);
  EXPECT_EQ(CheckLinearizable({Put(0, 1, "a"), Get(2, 3, "a")}), Verdict::kLinearizable);
  EXPECT_EQ(CheckLinearizable({Get(0, 1, std::nullopt)}), Verdict::kLinearizable);
}

// As after a long partition: much was asked for, and nobody told what came of it.
TEST(Linearizability, ManyUnknownOutcomesAreDecided) {
  std::vector<Operation> history;
  for (int i = 0; i < 40; ++i) {
    history.push_back(Unknown(Get(i, 0, std::nullopt)));
    if (i % 4 == 0) history.push_back(Unknown(Append(i, 0, "u" + std::to_string(i), 0)));
  }
  std::string value;
  for (int i = 100; i < 300; i += 4) {
    history.push_back(Append(i, i + 2, "k", value.size() + 1));
    value += "k";
    history.push_back(Get(i + 1, i + 3, value));
  }
  EXPECT_EQ(CheckLinearizable(history, std::nullopt, 100'000), Verdict::kLinearizable);
  history.push_back(Append(400, 401, "u8u0", value.size() + 4));
  history.push_back(Get(402, 403, value + "u0u8"));
  EXPECT_NE(CheckLinearizable(history, std::nullopt, 100'000), Verdict::kLinearizable);
}

// Nobody read it, but another append tells its length.
TEST(Linearizability, AnUnknownWriteThatNobodyReadMayBeNeeded) {
  Operation unknown{.kind = Operation::Kind::kAppend, .argument = "abc", .known = false};
  unknown.called = 1;
  Operation known{.kind = Operation::Kind::kAppend, .argument = "de", .length = 5};
  known.called = 10;
  known.returned = 20;
  EXPECT_EQ(CheckLinearizable({unknown, known}), Verdict::kLinearizable);
  known.length = 4;
  EXPECT_EQ(CheckLinearizable({unknown, known}), Verdict::kNotLinearizable);
}

TEST(Linearizability, StaleReadIsCaught) {
  EXPECT_EQ(CheckLinearizable({Put(0, 1, "a"), Put(2, 3, "b"), Get(4, 5, "a")}),
            Verdict::kNotLinearizable);
}

TEST(Linearizability, LostWriteIsCaught) {
  EXPECT_EQ(CheckLinearizable({Put(0, 1, "a"), Get(2, 3, std::nullopt)}),
            Verdict::kNotLinearizable);
}

TEST(Linearizability, ConcurrentWritesMayGoEitherWay) {
  EXPECT_EQ(CheckLinearizable({Put(0, 10, "a"), Put(0, 10, "b"), Get(11, 12, "a")}),
            Verdict::kLinearizable);
  EXPECT_EQ(CheckLinearizable({Put(0, 10, "a"), Put(0, 10, "b"), Get(11, 12, "b")}),
            Verdict::kLinearizable);
}

TEST(Linearizability, ReadsMayNotGoBack) {
  EXPECT_EQ(CheckLinearizable({Put(0, 1, "a"), Put(2, 20, "b"), Get(3, 4, "b"), Get(5, 6, "a")}),
            Verdict::kNotLinearizable);
}

TEST(Linearizability, UnknownWriteMayHappenOnceLateOrNever) {
  std::vector<Operation> history = {Put(0, 1, "a"), Unknown(Put(2, 0, "b")), Get(100, 101, "a")};
  EXPECT_EQ(CheckLinearizable(history), Verdict::kLinearizable);
  history.push_back(Get(102, 103, "b"));
  EXPECT_EQ(CheckLinearizable(history), Verdict::kLinearizable);
  history.push_back(Get(104, 105, "a"));
  EXPECT_EQ(CheckLinearizable(history), Verdict::kNotLinearizable);
}

TEST(Linearizability, UnknownWriteMayNotHappenBeforeItsCall) {
  EXPECT_EQ(CheckLinearizable({Get(0, 1, "b"), Unknown(Put(2, 0, "b"))}),
            Verdict::kNotLinearizable);
}

TEST(Linearizability, AppendTwiceIsCaught) {
  EXPECT_EQ(CheckLinearizable({Append(0, 1, "x", 1), Get(2, 3, "xx")}), Verdict::kNotLinearizable);
  EXPECT_EQ(CheckLinearizable({Append(0, 1, "x", 1), Append(2, 3, "y", 2), Get(4, 5, "xy")}),
            Verdict::kLinearizable);
  EXPECT_EQ(CheckLinearizable({Append(0, 1, "x", 1), Append(2, 3, "y", 1)}),
            Verdict::kNotLinearizable);
}

TEST(Linearizability, TwoCompareAndPutsCantBothWin) {
  Operation first = Put(0, 10, "a");
  first.kind = Kind::kCompareAndPut;
  first.flag = true;
  Operation second = first;
  second.argument = "b";
  EXPECT_EQ(CheckLinearizable({first, second}), Verdict::kNotLinearizable);
  second.flag = false;
  EXPECT_EQ(CheckLinearizable({first, second}), Verdict::kLinearizable);
}

TEST(Linearizability, GivesUpAudibly) {
  std::vector<Operation> history;
  history.reserve(31);
  for (int i = 0; i < 30; ++i) history.push_back(Put(0, 100, std::to_string(i)));
  history.push_back(Get(101, 102, "none of them"));
  EXPECT_EQ(CheckLinearizable(history, std::nullopt, 1000), Verdict::kUndecided);
}

// Histories made by running operations at random instants are linearizable; the same histories with
// one read changed to an older value are not.
TEST(Linearizability, RandomHistories) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    std::vector<Operation> history;
    std::optional<std::string> state;
    for (int i = 0; i < 100; ++i) {
      int64_t instant = int64_t{10} * i;
      auto called = instant - static_cast<int64_t>(random.Below(30));
      auto returned = instant + 1 + static_cast<int64_t>(random.Below(30));
      if (random.Chance(0.5)) {
        state = "v" + std::to_string(i);
        history.push_back(Put(called, returned, *state));
      } else {
        history.push_back(Get(called, returned, state));
      }
    }
    ASSERT_EQ(CheckLinearizable(history), Verdict::kLinearizable) << seed;
    history.push_back(Get(2000, 2001, "v-1"));
    ASSERT_EQ(CheckLinearizable(history), Verdict::kNotLinearizable) << seed;
  }
}

}  // namespace
}  // namespace kvd::check
