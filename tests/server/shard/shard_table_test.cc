// The shards of a group: what each step does, what is refused, and that whatever comes twice or
// late changes nothing (design, 7).
#include "server/shard/shard_table.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "raft/runtime/random.h"
#include "server/shard/shard_codec.h"

namespace kvd::shard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ShardStep Step(StepKind kind, uint64_t operation, uint64_t shard, uint64_t epoch = 1) {
  ShardStep step;
  step.kind = kind;
  step.operation = OperationId(operation);
  step.shard = ShardId(shard);
  step.epoch = Epoch(epoch);
  return step;
}

class ShardTableTest : public testing::Test {
 protected:
  ShardTableTest() { Do(Step(StepKind::kInstall, 1, 1)); }

  StepEffect Do(const ShardStep& step) {
    now_ = now_ + 10;
    auto effect = table_.Apply(step, now_);
    EXPECT_TRUE(effect.ok()) << effect.status();
    table_.CheckState();
    return effect.value_or(StepEffect());
  }
  std::string Refused(const ShardStep& step) {
    auto before = table_.shards();
    now_ = now_ + 10;
    auto effect = table_.Apply(step, now_);
    EXPECT_FALSE(effect.ok()) << ToString(step.kind);
    EXPECT_EQ(table_.shards(), before);
    table_.CheckState();
    return std::string(effect.status().message());
  }
  ShardStep SplitAt(uint64_t operation, uint64_t shard, uint64_t epoch, std::string key,
                    uint64_t other) {
    ShardStep step = Step(StepKind::kSplit, operation, shard, epoch);
    step.key = std::move(key);
    step.other = ShardId(other);
    return step;
  }
  ShardStep MergeOf(uint64_t operation, uint64_t left, uint64_t epoch, uint64_t right,
                    uint64_t right_epoch) {
    ShardStep step = Step(StepKind::kMerge, operation, left, epoch);
    step.other = ShardId(right);
    step.other_epoch = Epoch(right_epoch);
    return step;
  }
  ShardStep BeginImportOf(uint64_t operation, uint64_t shard, uint64_t epoch, KeyRange range) {
    ShardStep step = Step(StepKind::kBeginImport, operation, shard, epoch);
    step.range = std::move(range);
    return step;
  }
  ShardStep Chunk(uint64_t after, uint64_t at, std::string key, std::string next_key) {
    ShardStep step = Step(StepKind::kImport, 5, 7, 2);
    step.after = Timestamp(after);
    step.at = Timestamp(at);
    step.key = std::move(key);
    step.next_key = std::move(next_key);
    return step;
  }
  std::vector<std::string> Map() const {
    std::vector<std::string> out;
    for (const auto& [start, s] : table_.shards()) {
      out.push_back(absl::StrCat(s.id.value(), " [", s.range.start, ",", s.range.end, ") e",
                                 s.epoch.value(), " ", ToString(s.state) == "serving" ? "S" : "-"));
    }
    return out;
  }

  ShardTable table_;
  Timestamp now_{100};
};

TEST_F(ShardTableTest, Split) {
  StepEffect effect = Do(SplitAt(2, 1, 1, "m", 7));
  EXPECT_EQ(effect.outcome, StepOutcome::kDone);
  EXPECT_THAT(effect.changed, ElementsAre(ShardId(1), ShardId(7)));
  EXPECT_THAT(Map(), ElementsAre("1 [,m) e2 S", "7 [m,) e2 S"));
  EXPECT_EQ(table_.Serving("a")->id, ShardId(1));
  EXPECT_EQ(table_.Serving("m")->id, ShardId(7));
  EXPECT_TRUE(table_.ServesRange({"a", "z"})) << "two shards side by side";
  EXPECT_THAT(Refused(SplitAt(3, 1, 2, "m", 8)), HasSubstr("key \"m\" is not inside it"));
  EXPECT_THAT(Refused(SplitAt(3, 7, 2, "m", 8)), HasSubstr("is not inside it"));
  EXPECT_THAT(Refused(SplitAt(3, 1, 2, "c", 7)), HasSubstr("the new one is here"));
  EXPECT_THAT(Refused(SplitAt(3, 1, 1, "c", 8)), HasSubstr("it is at epoch 2, not 1"));
  EXPECT_THAT(Refused(SplitAt(3, 9, 1, "c", 8)), HasSubstr("it is not here"));
}

TEST_F(ShardTableTest, MergeRaisesTheEpochAboveBoth) {
  Do(SplitAt(2, 1, 1, "m", 7));
  Do(SplitAt(3, 7, 2, "t", 8));
  EXPECT_THAT(Refused(MergeOf(4, 1, 2, 8, 3)), HasSubstr("shard 8 does not follow it"));
  EXPECT_THAT(Refused(MergeOf(4, 1, 2, 7, 2)), HasSubstr("shard 7 does not follow it"));
  Do(Step(StepKind::kBeginExport, 4, 7, 3));
  EXPECT_THAT(Refused(MergeOf(5, 1, 2, 7, 3)), HasSubstr("shard 7 does not follow it"));
  Do(Step(StepKind::kEndExport, 4, 7, 3));
  Do(MergeOf(5, 1, 2, 7, 3));
  EXPECT_THAT(Map(), ElementsAre("1 [,t) e4 S", "8 [t,) e3 S"));
  EXPECT_THAT(Refused(MergeOf(6, 8, 3, 1, 4)), HasSubstr("shard 1 does not follow it"));
}

TEST_F(ShardTableTest, WhatComesTwiceTellsHowItHasGone) {
  ShardStep split = SplitAt(2, 1, 1, "m", 7);
  Do(split);
  auto before = table_.shards();
  StepEffect again = Do(split);
  EXPECT_EQ(again.outcome, StepOutcome::kDone);
  EXPECT_TRUE(again.changed.empty());
  EXPECT_EQ(table_.shards(), before);
}

TEST_F(ShardTableTest, WhatWasAbandonedIsNotCarriedOutAnyMore) {
  EXPECT_EQ(Do(Step(StepKind::kAbandon, 2, 1)).outcome, StepOutcome::kAborted);
  EXPECT_EQ(Do(SplitAt(2, 1, 1, "m", 7)).outcome, StepOutcome::kAborted);
  EXPECT_THAT(Map(), ElementsAre("1 [,) e1 S"));
  Do(SplitAt(3, 1, 1, "m", 7));
  EXPECT_EQ(Do(Step(StepKind::kAbandon, 3, 1)).outcome, StepOutcome::kDone) << "too late";
}

TEST_F(ShardTableTest, AnEarlierOperationIsRefused) {
  Do(SplitAt(5, 1, 1, "m", 7));
  EXPECT_THAT(Refused(SplitAt(4, 1, 2, "c", 8)), HasSubstr("operation 5 came after it"));
  ShardStep next = SplitAt(9, 1, 2, "c", 8);
  next.closed_below = OperationId(8);
  StepEffect effect = Do(next);
  EXPECT_THAT(effect.told, testing::Contains(ShardId(1)));
  EXPECT_EQ(table_.finished().size(), 1u) << "of what is over nothing need be remembered";
  EXPECT_THAT(Refused(SplitAt(7, 7, 2, "t", 9)), HasSubstr("it is over"));
}

TEST_F(ShardTableTest, AMoveOnTheSideItLeaves) {
  ShardStep begin = Step(StepKind::kBeginExport, 5, 1, 1);
  begin.peer = GroupId(3);
  EXPECT_EQ(table_.pin(), kTimestampMax);
  Do(begin);
  EXPECT_EQ(table_.pin(), now_);
  EXPECT_THAT(Refused(SplitAt(6, 1, 1, "m", 7)), HasSubstr("operation 5 is under way"));
  EXPECT_THAT(Refused(Step(StepKind::kAbandon, 6, 1)), HasSubstr("operation 5 is under way"));
  Timestamp told = now_;
  begin.at = told + 5;
  Do(begin);
  EXPECT_EQ(table_.pin(), told + 5) << "it rises with each round";
  begin.at = told;
  Do(begin);
  EXPECT_EQ(table_.pin(), told + 5);
  EXPECT_NE(table_.Serving("k"), nullptr);
  StepEffect frozen = Do(Step(StepKind::kFreeze, 5, 1, 1));
  EXPECT_EQ(frozen.shard->frozen_at, now_);
  EXPECT_EQ(frozen.shard->epoch, Epoch(2));
  EXPECT_EQ(table_.Serving("k"), nullptr);
  EXPECT_FALSE(table_.ServesRange({"a", "b"}));
  Timestamp at = now_;
  EXPECT_EQ(Do(Step(StepKind::kFreeze, 5, 1, 1)).shard->frozen_at, at) << "once";
  Do(begin);
  EXPECT_THAT(Refused(Step(StepKind::kEndExport, 5, 1, 2)), HasSubstr("it is frozen"));
  StepEffect dropped = Do(Step(StepKind::kDrop, 5, 1, 2));
  EXPECT_EQ(dropped.erased, KeyRange());
  EXPECT_TRUE(table_.empty());
  EXPECT_EQ(Do(Step(StepKind::kFreeze, 5, 1, 1)).outcome, StepOutcome::kDone);
}

TEST_F(ShardTableTest, AMoveIsCancelledUntilItIsFrozen) {
  Do(Step(StepKind::kBeginExport, 5, 1, 1));
  EXPECT_EQ(Do(Step(StepKind::kEndExport, 5, 1, 1)).outcome, StepOutcome::kAborted);
  EXPECT_EQ(table_.pin(), kTimestampMax);
  EXPECT_EQ(Do(Step(StepKind::kFreeze, 5, 1, 1)).outcome, StepOutcome::kAborted);
  EXPECT_NE(table_.Serving("k"), nullptr);
  Do(Step(StepKind::kEndExport, 6, 1, 1));  // before it had begun
  EXPECT_EQ(Do(Step(StepKind::kBeginExport, 6, 1, 1)).outcome, StepOutcome::kAborted);
}

TEST_F(ShardTableTest, AMoveOnTheSideItReaches) {
  ShardTable fresh;
  table_ = fresh;
  EXPECT_EQ(Do(BeginImportOf(5, 7, 2, {"c", "p"})).erased, (KeyRange{"c", "p"}));
  EXPECT_THAT(Refused(BeginImportOf(6, 8, 2, {"m", "z"})), HasSubstr("in its range"));
  EXPECT_EQ(table_.Serving("d"), nullptr);
  EXPECT_TRUE(Do(Chunk(0, 150, "", "g")).takes_rows);
  EXPECT_FALSE(Do(BeginImportOf(5, 7, 2, {"c", "p"})).erased) << "only what is new begins empty";
  EXPECT_THAT(Refused(Chunk(0, 150, "", "g")), HasSubstr("no continuation"));
  EXPECT_THAT(Refused(Chunk(0, 160, "g", "")), HasSubstr("no continuation"));
  EXPECT_THAT(Refused(Chunk(0, 150, "g", "g")), HasSubstr("where it has been"));
  EXPECT_THAT(Refused(Chunk(0, 150, "g", "q")), HasSubstr("where it has been"));
  Do(Chunk(0, 150, "g", ""));
  EXPECT_EQ(table_.Find(ShardId(7))->copied, Timestamp(150));
  Do(Chunk(150, 170, "", ""));
  ShardStep complete = Step(StepKind::kCompleteImport, 5, 7, 2);
  complete.at = Timestamp(180);
  EXPECT_THAT(Refused(complete), HasSubstr("up to 170, not to 180"));
  Do(Chunk(170, 180, "", "d"));
  EXPECT_THAT(Refused(complete), HasSubstr("up to 170, not to 180"));
  Do(Chunk(170, 180, "d", ""));
  Do(Chunk(180, 190, "", ""));  // asked for before the freeze
  EXPECT_TRUE(Do(complete).completes);
  EXPECT_EQ(table_.Serving("d")->id, ShardId(7));
  EXPECT_EQ(Do(Chunk(180, 190, "", "")).outcome, StepOutcome::kDone);
  EXPECT_EQ(Do(Step(StepKind::kAbortImport, 5, 7, 2)).outcome, StepOutcome::kDone) << "too late";
  EXPECT_NE(table_.Serving("d"), nullptr);
}

// What was frozen after the last entry of this group can't be served yet: its clock is behind.
TEST_F(ShardTableTest, AnImportIsNotServedBeforeItsTime) {
  table_ = ShardTable();
  Do(BeginImportOf(5, 7, 2, {"c", "p"}));
  Do(Chunk(0, 5000, "", ""));
  ShardStep complete = Step(StepKind::kCompleteImport, 5, 7, 2);
  complete.at = Timestamp(5000);
  Refused(complete);
  now_ = Timestamp(5000);
  EXPECT_TRUE(Do(complete).completes);
}

TEST_F(ShardTableTest, AnAbortedImportLeavesNothingAndNeverBegins) {
  table_ = ShardTable();
  Do(BeginImportOf(5, 7, 2, {"c", "p"}));
  Do(Chunk(0, 150, "", "g"));
  EXPECT_EQ(Do(Step(StepKind::kAbortImport, 5, 7, 2)).erased, (KeyRange{"c", "p"}));
  EXPECT_TRUE(table_.empty());
  EXPECT_EQ(Do(BeginImportOf(5, 7, 2, {"c", "p"})).outcome, StepOutcome::kAborted);
  EXPECT_TRUE(table_.empty());
  Do(Step(StepKind::kAbortImport, 6, 8, 2));
  EXPECT_EQ(Do(BeginImportOf(6, 8, 2, {"c", "p"})).outcome, StepOutcome::kAborted);
}

TEST_F(ShardTableTest, WhatIsServedIsFoundAsFarAsItIsLookedFor) {
  Do(SplitAt(2, 1, 1, "m", 7));
  KeyRange both{"a", "z"};
  EXPECT_EQ(table_.ServedStart(both), both);
  EXPECT_EQ(table_.ServedStart(both, 1), (KeyRange{"a", "m"}));
  EXPECT_EQ(table_.ServedStart(both, 2), both);
  EXPECT_EQ(table_.ServedEnd(both), both);
  EXPECT_EQ(table_.ServedEnd(both, 1), (KeyRange{"m", "z"}));
  EXPECT_EQ(table_.ServedEnd(both, 2), both);
}

// A step that often fits what there is, and often does not.
ShardStep RandomStep(const ShardTable& table, uint64_t now, uint64_t* operation, Random& random) {
  auto letter = [&random] { return std::string(1, static_cast<char>('a' + random.Below(26))); };
  ShardStep step;
  step.kind = static_cast<StepKind>(random.Between(1, 12));
  // Those that end something, less often than those that it needs to get there.
  bool ends = step.kind == StepKind::kAbortImport || step.kind == StepKind::kEndExport ||
              step.kind == StepKind::kAbandon;
  if (ends && random.Chance(0.7)) step.kind = StepKind::kImport;
  step.shard = ShardId(random.Between(1, 8));
  step.other = ShardId(random.Between(1, 8));
  const ShardDescriptor* known = table.Find(step.shard);
  if (known != nullptr && step.kind == StepKind::kMerge) {
    auto next = table.shards().upper_bound(known->range.start);
    if (next != table.shards().end()) step.other = next->second.id;
  }
  const ShardDescriptor* other = table.Find(step.other);
  bool goes_on = known != nullptr && known->operation;
  step.operation = goes_on ? known->operation : OperationId(++*operation);
  if (random.Chance(0.1)) step.operation = OperationId(random.Between(1, *operation));
  step.closed_below = OperationId(random.Chance(0.2) ? *operation - random.Below(10) : 0);
  step.epoch = known != nullptr && random.Chance(0.9) ? known->epoch : Epoch(random.Between(1, 9));
  step.other_epoch = other != nullptr ? other->epoch : Epoch(1);
  std::string start = letter();
  step.range = {random.Chance(0.1) ? "" : start,
                random.Chance(0.1) ? "" : std::string(1, static_cast<char>(start[0] + 2))};
  bool imports = known != nullptr && known->state == ShardState::kImporting;
  step.key = imports && random.Chance(0.9) ? known->next_key : letter();
  step.next_key = random.Chance(0.6) ? "" : letter();
  step.after = known != nullptr ? known->copied : Timestamp();
  step.at = Timestamp(known != nullptr && known->copying ? known->copying.value() : now);
  if (step.kind == StepKind::kCompleteImport) step.at = step.after;
  if (step.kind == StepKind::kSplit && known != nullptr) step.key = known->range.start + letter();
  return step;
}

// Steps of all kinds, sensible ones and not: the table stays whole, and is what its records say.
TEST(ShardTableRandomTest, AnyStepsLeaveATableThatIsWhole) {
  Random random(7);
  std::map<StepKind, int> changes;
  for (int run = 0; run < 100; ++run) {
    ShardTable table;
    std::map<ShardId, std::string> shards, finished;
    uint64_t operation = 10, now = 100;
    for (int i = 0; i < 400; ++i) {
      ShardStep step = RandomStep(table, now, &operation, random);
      now += random.Below(20) + 1;
      auto before = table.shards();
      auto effect = table.Apply(step, Timestamp(now));
      table.CheckState();
      if (!effect.ok()) {
        ASSERT_EQ(table.shards(), before);
        continue;
      }
      if (!effect->changed.empty()) ++changes[step.kind];
      for (ShardId id : effect->changed) {
        const ShardDescriptor* shard = table.Find(id);
        shards.erase(id);
        if (shard != nullptr) shards[id] = Encode(*shard);
      }
      for (ShardId id : effect->told) {
        auto it = table.finished().find(id);
        finished.erase(id);
        if (it != table.finished().end()) finished[id] = Encode(it->second);
      }
      ShardTable again;
      for (const auto& [id, bytes] : shards) ASSERT_TRUE(again.Restore(*DecodeShard(bytes)));
      for (const auto& [id, bytes] : finished) again.Restore(id, *DecodeFinished(bytes));
      ASSERT_EQ(again.shards(), table.shards());
      ASSERT_EQ(again.finished(), table.finished());
    }
  }
  for (int kind = 1; kind <= 12; ++kind) {
    bool any = static_cast<StepKind>(kind) == StepKind::kAbandon ||
               changes[static_cast<StepKind>(kind)] > 20;
    EXPECT_TRUE(any) << ToString(static_cast<StepKind>(kind));
  }
}

TEST(ShardCodecTest, StepsAndAnswersAreReadAsTheyWereWritten) {
  ShardStep step = Step(StepKind::kImport, 5, 7, 2);
  step.closed_below = OperationId(3);
  step.range = {"a", std::string("b\0c", 3)};
  step.key = "k";
  step.next_key = "l";
  step.other = ShardId(9);
  step.other_epoch = Epoch(4);
  step.peer = GroupId(3);
  step.after = Timestamp(1);
  step.at = Timestamp(2);
  step.safe_point = Timestamp(3);
  AppendRow(&step.rows, {"key", Timestamp(5), "version"});
  std::string bytes;
  Writer w(&bytes);
  EncodeStep(w, step);
  Reader r(bytes);
  ShardStep read;
  ASSERT_TRUE(DecodeStep(r, &read) && r.Done());
  EXPECT_EQ(read, step);
  for (size_t n = 0; n < bytes.size(); ++n) {
    Reader cut(std::string_view(bytes).substr(0, n));
    EXPECT_FALSE(DecodeStep(cut, &read)) << n;
  }
  StepAnswer answer{StepOutcome::kAborted,
                    ShardDescriptor{ShardId(1),
                                    {"a", "b"},
                                    Epoch(2),
                                    ShardState::kFrozen,
                                    OperationId(3),
                                    GroupId(4),
                                    Timestamp(5),
                                    Timestamp(6),
                                    "k",
                                    Timestamp(7)},
                    Timestamp(8)};
  auto told = DecodeStepAnswer(Encode(answer));
  ASSERT_TRUE(told);
  EXPECT_EQ(*told, answer);
  EXPECT_TRUE(DecodeStepAnswer(Encode(StepAnswer())));
  EXPECT_FALSE(DecodeStepAnswer(""));
}

}  // namespace
}  // namespace kvd::shard
