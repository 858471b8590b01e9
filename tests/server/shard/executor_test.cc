// Commands on a group's versions: conditions, operations, and the exactly-once rule.
#include "server/shard/executor.h"

#include "absl/strings/str_format.h"
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "proto/limits.h"
#include "raft/runtime/random.h"
#include "server/storage/memory_engine.h"
#include "server/storage/rocks_engine.h"
#include "tests/scratch_directory.h"

namespace kvd::shard {
namespace {

constexpr GroupId kGroup{1};

// On both engines: what holds on one must hold on the other.
class ExecutorTest : public testing::TestWithParam<bool> {
 protected:
  ExecutorTest() {
    if (GetParam()) {
      engine_ =
          *storage::RocksEngine::Open(directory_.path() + "/data", storage::RocksEngineOptions());
    } else {
      engine_ = std::make_unique<storage::MemoryEngine>();
    }
    Serves(KeyRange(), ShardState::kServing);
  }

  // One shard, and no other.
  void Serves(KeyRange range, ShardState state) {
    meta_.shards = ShardTable();
    EXPECT_TRUE(meta_.shards.Restore({ShardId(1), std::move(range), Epoch(1), state}));
  }

  CommandResult Apply(const Command& command) {
    // Every command goes through its logged form.
    auto decoded = DecodeCommand(Encode(command));
    EXPECT_TRUE(decoded.ok()) << decoded.status();
    auto batch = engine_->NewBatch();
    Executor executor(kGroup, engine_.get(), &meta_, &writers_, batch.get(), &rows_, &recent_,
                      nullptr);
    meta_.clock = meta_.clock + 10;
    auto result = command.kind == CommandKind::kDeleteRange
                      ? executor.DeleteRange(*decoded, meta_.clock)
                      : executor.Write(*decoded, meta_.clock);
    EXPECT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(engine_->Write(*batch).ok());
    return *result;
  }

  Command By(uint64_t sequence, uint32_t attempt, Operation op) {
    Command command;
    command.writer = {ClientId(9), Sequence(sequence)};
    command.attempt = attempt;
    command.token = token_;
    command.operations.push_back(std::move(op));
    return command;
  }

  static Operation Put(std::string key, std::string value) {
    Operation op;
    op.crc32c = ValueChecksum(key, value);
    op.key = std::move(key);
    op.value = std::move(value);
    return op;
  }
  static Operation Make(Operation::Type type, std::string key, std::string value = "",
                        int64_t delta = 0) {
    Operation op;
    op.type = type;
    op.key = std::move(key);
    op.value = std::move(value);
    op.delta = delta;
    return op;
  }
  static Condition Absent(std::string key) {
    Condition condition;
    condition.key = std::move(key);
    return condition;
  }

  std::optional<std::string> Get(const std::string& key) {
    auto found = storage::MvccReader(engine_.get(), kGroup).Get(key, meta_.clock);
    EXPECT_TRUE(found.ok());
    if (!found->has_value()) return std::nullopt;
    return std::string((*found)->version.value);
  }

  size_t PairsStored() {
    size_t pairs = 0;
    auto it = engine_->NewIterator(storage::IterateOptions());
    for (it->Seek(""); it->Valid(); it->Next()) ++pairs;
    return pairs;
  }

  // As after a restart of the replica: the shortcut knows nothing.
  void Forget() { writers_.Restart(meta_.clock); }

  ScratchDirectory directory_;
  std::unique_ptr<storage::Engine> engine_;
  GroupMeta meta_;
  WriterTable writers_{100};
  storage::RowCache rows_{0, 0};
  RecentWrites recent_{1 << 20};
  Timestamp token_;
};

TEST_P(ExecutorTest, OperationsDoWhatTheySay) {
  EXPECT_TRUE(Apply(By(1, 1, Put("k", "v"))).version);
  EXPECT_EQ(Get("k"), "v");
  EXPECT_EQ(Apply(By(2, 1, Make(Operation::Type::kAppend, "k", "w"))).items[0].length, 2u);
  EXPECT_EQ(Get("k"), "vw");
  EXPECT_EQ(Apply(By(3, 1, Make(Operation::Type::kIncrement, "n", "", 5))).items[0].counter, 5);
  EXPECT_EQ(Apply(By(4, 1, Make(Operation::Type::kIncrement, "n", "", -7))).items[0].counter, -2);
  EXPECT_TRUE(Apply(By(5, 1, Make(Operation::Type::kDelete, "k"))).items[0].existed);
  EXPECT_EQ(Get("k"), std::nullopt);
  EXPECT_FALSE(Apply(By(6, 1, Make(Operation::Type::kDelete, "k"))).items[0].existed);
}

// A retry finds the first attempt, by the shortcut's hint or, when that has forgotten, in the
// history.
TEST_P(ExecutorTest, ARetryIsAnsweredFromTheHistory) {
  for (bool forget : {false, true}) {
    uint64_t base = forget ? 100 : 0;
    std::string key = forget ? "b" : "a";
    token_ = meta_.clock;
    auto append = By(base + 1, 1, Make(Operation::Type::kAppend, key, "xy"));
    auto first = Apply(append);
    Apply(By(base + 2, 1, Make(Operation::Type::kAppend, key, "z")));
    if (forget) Forget();
    append.attempt = 2;
    auto second = Apply(append);
    EXPECT_TRUE(second.duplicate);
    EXPECT_EQ(second.items[0].length, first.items[0].length);
    EXPECT_EQ(second.version, first.version);
    EXPECT_EQ(Get(key), "xyz");
  }
}

// The delayed first attempt of a write whose retry has been answered is not applied.
TEST_P(ExecutorTest, ADelayedAttemptFindsTheOutcomeOfItsRetry) {
  Apply(By(1, 1, Put("k", "held")));
  token_ = meta_.clock;
  auto put = By(2, 1, Put("k", "mine"));
  put.conditions = {Absent("k")};
  auto retry = put;
  retry.attempt = 2;
  EXPECT_FALSE(Apply(retry).conditions_held);
  Apply(By(3, 1, Make(Operation::Type::kDelete, "k")));
  Forget();
  auto late = Apply(put);
  EXPECT_TRUE(late.duplicate);
  EXPECT_FALSE(late.conditions_held);
  EXPECT_EQ(Get("k"), std::nullopt);
}

// A first attempt that changes nothing leaves nothing: it may run again.
TEST_P(ExecutorTest, AFirstAttemptThatChangesNothingLeavesNothing) {
  size_t before = PairsStored();
  Apply(By(1, 1, Make(Operation::Type::kDelete, "missing")));
  EXPECT_EQ(PairsStored(), before);
  auto again = By(1, 2, Make(Operation::Type::kDelete, "missing"));
  EXPECT_FALSE(Apply(again).duplicate);
  EXPECT_EQ(PairsStored(), before + 1);
  EXPECT_TRUE(Apply(again).duplicate);
}

TEST_P(ExecutorTest, BranchesAndTheirRetries) {
  Command command = By(1, 1, Put("then", "1"));
  command.conditions = {Absent("gate")};
  command.otherwise = {Make(Operation::Type::kIncrement, "else", "", 1)};
  EXPECT_TRUE(Apply(command).conditions_held);
  EXPECT_EQ(Get("then"), "1");
  Apply(By(2, 1, Put("gate", "shut")));
  token_ = meta_.clock;
  command.writer.sequence = Sequence(3);
  command.token = token_;
  auto first = Apply(command);
  EXPECT_FALSE(first.conditions_held);
  EXPECT_EQ(first.items[0].counter, 1);
  Forget();
  command.attempt = 2;
  auto second = Apply(command);
  EXPECT_TRUE(second.duplicate);
  EXPECT_FALSE(second.conditions_held);
  EXPECT_EQ(second.items[0].counter, 1);
  EXPECT_EQ(second.current_version, first.current_version);
  EXPECT_EQ(Get("else"), "1");
}

TEST_P(ExecutorTest, AFailedOperationFailsTheWholeCommand) {
  Apply(By(1, 1, Put("text", "abc")));
  Command command = By(2, 1, Put("other", "1"));
  command.operations.push_back(Make(Operation::Type::kIncrement, "text", "", 1));
  EXPECT_EQ(Apply(command).status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Get("other"), std::nullopt);
  Apply(By(3, 1, Put("n", std::to_string(INT64_MAX))));
  EXPECT_EQ(Apply(By(4, 1, Make(Operation::Type::kIncrement, "n", "", 1))).status.code(),
            absl::StatusCode::kOutOfRange);
}

TEST_P(ExecutorTest, DeleteRangeIsBoundedAndItsRetriesGoOn) {
  for (int i = 0; i < 10; ++i)
    Apply(By(static_cast<uint64_t>(i) + 1, 1, Put("k" + std::to_string(i), "v")));
  token_ = meta_.clock;
  Command command;
  command.kind = CommandKind::kDeleteRange;
  command.writer = {ClientId(9), Sequence(50)};
  command.token = token_;
  command.range = {"k", "l"};
  command.limit = 4;
  auto first = Apply(command);
  EXPECT_EQ(first.deleted, 4u);
  EXPECT_TRUE(first.more);
  EXPECT_EQ(first.resume_key, "k4");
  Forget();
  command.attempt = 2;
  auto retry = Apply(command);
  EXPECT_TRUE(retry.duplicate);
  EXPECT_EQ(retry.deleted, 4u);
  EXPECT_EQ(retry.resume_key, "k4");
  EXPECT_EQ(Get("k4"), "v");
}

// A range full of tombstones costs as much as one of live keys: an entry steps over so many and no
// more, and counts only those that no replica may have dropped yet.
TEST_P(ExecutorTest, DeadKeysBoundADeleteRangeToo) {
  auto batch = engine_->NewBatch();
  storage::Version tombstone;
  tombstone.kind = storage::VersionKind::kTombstone;
  auto key = [](size_t i) { return absl::StrFormat("k%06d", i); };
  size_t count = kDeleteRangeDeadKeysMax + 50;
  for (size_t i = 0; i < count; ++i) {
    batch->Put(storage::VersionKey(kGroup, key(i), Timestamp(i < 20 ? 5 : 500)),
               storage::Encode(tombstone));
  }
  ASSERT_TRUE(engine_->Write(*batch).ok());
  meta_.clock = Timestamp(1000);
  meta_.safe_point = Timestamp(100);
  Command command;
  command.kind = CommandKind::kDeleteRange;
  command.range = {"k", "l"};
  auto first = Apply(command);
  EXPECT_TRUE(first.more);
  EXPECT_EQ(first.deleted, 0u);
  EXPECT_EQ(first.resume_key, key(20 + kDeleteRangeDeadKeysMax));
  command.range.start = first.resume_key;
  EXPECT_FALSE(Apply(command).more);
}

TEST_P(ExecutorTest, OldTokensAreRefused) {
  meta_.clock = Timestamp(1000);
  meta_.floor = Timestamp(500);
  auto command = By(1, 1, Put("k", "v"));
  command.token = Timestamp(499);
  auto result = Apply(command);
  ErrorInfo info = InfoOf(result.status);
  EXPECT_EQ(info.kind, ErrorKind::kSessionExpired);
  EXPECT_GE(info.fresh_token, Timestamp(1000));
  EXPECT_EQ(Get("k"), std::nullopt);
  command.writer = {};
  EXPECT_TRUE(Apply(command).status.ok());
}

TEST_P(ExecutorTest, OnlyServedKeysAreWritten) {
  Serves({"a", "m"}, ShardState::kServing);
  EXPECT_EQ(InfoOf(Apply(By(1, 1, Put("z", "v"))).status).kind, ErrorKind::kShardMoved);
  Serves({"a", "m"}, ShardState::kFrozen);
  EXPECT_EQ(InfoOf(Apply(By(2, 1, Put("b", "v"))).status).kind, ErrorKind::kShardMoved);
}

TEST_P(ExecutorTest, ExpiredKeysAreMissing) {
  auto put = By(1, 1, Put("k", "v"));
  put.operations[0].ttl_ms = 5;
  Apply(put);
  EXPECT_EQ(Get("k"), "v");
  meta_.clock = meta_.clock + (uint64_t{6} << kTimestampCounterBits);
  EXPECT_EQ(Get("k"), std::nullopt);
  auto take = By(2, 1, Put("k", "w"));
  take.conditions = {Absent("k")};
  EXPECT_TRUE(Apply(take).conditions_held);
}

// The memory for writers is bounded, and forgetting one costs a look-up, not an answer.
TEST_P(ExecutorTest, AHundredThousandClientsAreRemembered) {
  WriterTable table(1000);
  for (uint64_t i = 1; i <= 100'000; ++i) table.Note({ClientId(i), Sequence(1)}, Timestamp(i));
  EXPECT_EQ(table.size(), 1000u);
  EXPECT_FALSE(table.IsNew({ClientId(5), Sequence(1)}, Timestamp(4)));
  EXPECT_FALSE(table.IsNew({ClientId(99'999), Sequence(1)}, Timestamp(99'999)));
  EXPECT_TRUE(table.IsNew({ClientId(99'999), Sequence(2)}, Timestamp(100'000)));
}

TEST(Command, MalformedBytesAreRefused) {
  Command command;
  command.operations.push_back(Operation{});
  command.operations[0].key = "k";
  std::string bytes = Encode(command);
  ASSERT_TRUE(DecodeCommand(bytes).ok());
  for (size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(DecodeCommand(bytes.substr(0, n)).ok()) << n;
  EXPECT_FALSE(DecodeCommand(bytes + "x").ok());
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = bytes;
    damaged[random.Below(damaged.size())] = static_cast<char>(random.Next());
    (void)DecodeCommand(damaged);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, ExecutorTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Rocks" : "Memory"; });

}  // namespace
}  // namespace kvd::shard
