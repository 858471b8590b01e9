// A shard goes from one group to another, step by step, while it is written: what the new owner has
// is what the old one had, with its history, its writers, its deaths to come.
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "raft/runtime/random.h"
#include "server/shard/data_group.h"
#include "server/shard/shard_codec.h"
#include "server/storage/memory_engine.h"

namespace kvd::shard {
namespace {

constexpr ShardId kShard{1};
constexpr OperationId kMove{9};

// One replica of a group that applies what it is given, without a host.
struct Group {
  explicit Group(uint64_t id) : id(id) {
    Open();
    EXPECT_TRUE(group->Wipe(ReplicaId(id)).ok());
  }
  void Open() {
    auto opened = DataGroup::Open(&engine, GroupId(id), DataGroupOptions());
    ASSERT_TRUE(opened.ok()) << opened.status();
    group = *std::move(opened);
    group->on_applied = [this](const raft::Entry&, const CommandResult& r) { result = r; };
  }
  CommandResult Apply(Command command) {
    command.timestamp = std::max(command.timestamp, group->meta().clock + 10);
    raft::Entry entry{Term(1), group->meta().applied.index + 1, raft::EntryType::kCommand,
                      Encode(command)};
    raft::ApplyItem item{&entry, nullptr};
    EXPECT_TRUE(group->Apply(absl::MakeConstSpan(&item, 1)).ok());
    group->meta().shards.CheckState();
    return result;
  }
  StepAnswer Step(ShardStep step, Timestamp not_before = Timestamp()) {
    step.operation = kMove;
    step.shard = kShard;
    Command command;
    command.kind = CommandKind::kShard;
    command.timestamp = not_before;
    command.step = std::move(step);
    CommandResult done = Apply(std::move(command));
    EXPECT_TRUE(done.status.ok()) << done.status;
    return DecodeStepAnswer(done.answer).value_or(StepAnswer());
  }
  std::string Get(const std::string& key, Timestamp at) {
    auto found = group->Get(key, at);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() && found->has_value() ? std::string((*found)->version.value) : "none";
  }
  Timestamp now() const { return group->meta().clock; }

  const uint64_t id;
  storage::MemoryEngine engine;
  std::unique_ptr<DataGroup> group;
  CommandResult result;
};

ShardStep StepOf(StepKind kind, uint64_t epoch) {
  ShardStep step;
  step.kind = kind;
  step.epoch = Epoch(epoch);
  return step;
}

class ShardMoveTest : public testing::Test {
 protected:
  ShardMoveTest() {
    ShardStep install = StepOf(StepKind::kInstall, 1);
    install.operation = OperationId(1);
    install.shard = kShard;
    Command command;
    command.kind = CommandKind::kShard;
    command.step = install;
    from_.Apply(command);
  }

  Command Put(const std::string& key, const std::string& value, uint64_t ttl_ms = 0) {
    Command command;
    command.operations.resize(1);
    Operation& op = command.operations[0];
    op.key = key;
    op.value = value;
    op.crc32c = ValueChecksum(key, value);
    op.ttl_ms = ttl_ms;
    return command;
  }
  void RandomWrite(Random& random) {
    std::string key = absl::StrCat("k", random.Below(30));
    Command command = Put(key, absl::StrCat("v", ++written_));
    if (random.Chance(0.2)) command.operations[0].type = Operation::Type::kDelete;
    if (random.Chance(0.2)) command.operations[0].ttl_ms = random.Between(1, 100'000);
    command.writer = {ClientId(5), Sequence(written_)};
    command.token = from_.now();
    ASSERT_TRUE(from_.Apply(command).status.ok());
  }

  void Begin() {
    ShardStep begin = StepOf(StepKind::kBeginExport, 1);
    begin.peer = GroupId(to_.id);
    from_.Step(begin);
    ShardStep import = StepOf(StepKind::kBeginImport, 2);
    import.peer = GroupId(from_.id);
    to_.Step(import);
  }
  // What the target has lets the next round begin there; it ends where the source is now.
  void Round(Random& random) {
    Timestamp after = to_.group->meta().shards.Find(kShard)->copied;
    Timestamp at = from_.now();
    std::vector<std::string> keys;
    std::vector<std::pair<Timestamp, std::string>> versions;
    auto scanned = from_.group->reader().DeltaScan(
        KeyRange(), after, at,
        [&](const std::string& key, Timestamp timestamp, const storage::Version& version) {
          keys.push_back(key);
          versions.emplace_back(timestamp, storage::Encode(version));
          return true;
        });
    ASSERT_TRUE(scanned.ok());
    size_t next = 0;
    std::string key;
    do {
      ShardStep chunk = StepOf(StepKind::kImport, 2);
      chunk.after = after;
      chunk.at = at;
      chunk.key = key;
      // A key's versions stay together.
      size_t least = next + random.Between(1, 20);
      while (next < keys.size() && (next < least || keys[next] == keys[next - 1])) {
        AppendRow(&chunk.rows, {keys[next], versions[next].first, versions[next].second});
        ++next;
      }
      key = chunk.next_key = next < keys.size() ? keys[next] : "";
      to_.Step(chunk);
      if (random.Chance(0.2)) Restart(&to_);
    } while (!key.empty());
    ShardStep told = StepOf(StepKind::kBeginExport, 1);
    told.at = at;
    from_.Step(told);
  }
  static void Restart(Group* group) {
    group->group.reset();
    group->Open();
  }
  void Finish(Random& random) {
    StepAnswer frozen = from_.Step(StepOf(StepKind::kFreeze, 1));
    tf_ = frozen.shard->frozen_at;
    Round(random);
    ShardStep complete = StepOf(StepKind::kCompleteImport, 2);
    complete.at = tf_;
    complete.safe_point = from_.group->meta().safe_point;
    to_.Step(complete, tf_ + 1);
  }

  Group from_{2};
  Group to_{3};
  uint64_t written_ = 0;
  Timestamp tf_;
};

class ShardMoveSeeds : public ShardMoveTest, public testing::WithParamInterface<uint64_t> {};

TEST_P(ShardMoveSeeds, WhatTheNewOwnerHasIsWhatTheOldOneHad) {
  Random random(GetParam());
  auto write = [&] {
    for (auto n = random.Below(60); n > 0; --n) RandomWrite(random);
  };
  write();
  Begin();
  for (auto rounds = random.Below(4); rounds > 0; --rounds) {
    write();
    Round(random);
    if (random.Chance(0.3)) Restart(&from_);
  }
  write();
  Finish(random);
  uint64_t compared = 0;
  auto versions = [&](const Group& group) {
    std::vector<std::string> all;
    auto scanned = group.group->reader().DeltaScan(
        KeyRange(), Timestamp(), kTimestampMax,
        [&](const std::string& key, Timestamp timestamp, const storage::Version& version) {
          all.push_back(absl::StrCat(key, "@", timestamp.value(), "=", storage::Encode(version)));
          return true;
        });
    EXPECT_TRUE(scanned.ok());
    compared += all.size();
    return all;
  };
  EXPECT_EQ(versions(to_), versions(from_));
  EXPECT_GE(compared, written_) << "history, deletes too";
}

INSTANTIATE_TEST_SUITE_P(Seeds, ShardMoveSeeds, testing::Range<uint64_t>(1, 60));

TEST_F(ShardMoveTest, AWriteAfterTheFreezeIsRefusedHereAndTakenThere) {
  Random random(1);
  from_.Apply(Put("k", "v"));
  Begin();
  Round(random);
  EXPECT_TRUE(from_.Apply(Put("k", "w")).status.ok()) << "writes go on";
  EXPECT_EQ(InfoOf(to_.Apply(Put("k", "x")).status).kind, ErrorKind::kShardMoved);
  Finish(random);
  EXPECT_EQ(InfoOf(from_.Apply(Put("k", "y")).status).kind, ErrorKind::kShardMoved);
  EXPECT_EQ(to_.Get("k", to_.now()), "w");
  EXPECT_TRUE(to_.Apply(Put("k", "z")).status.ok());
  EXPECT_EQ(to_.Get("k", to_.now()), "z");
}

TEST_F(ShardMoveTest, ARetryIsRecognisedByTheNewOwner) {
  Random random(1);
  Command append = Put("k", "a");
  append.operations[0].type = Operation::Type::kAppend;
  append.writer = {ClientId(5), Sequence(1)};
  append.token = from_.now();
  ASSERT_TRUE(from_.Apply(append).status.ok());
  Begin();
  Finish(random);
  append.attempt = 2;
  EXPECT_TRUE(to_.Apply(append).duplicate);
  EXPECT_EQ(to_.Get("k", to_.now()), "a");
}

TEST_F(ShardMoveTest, TheOldOwnerForgetsWhatItDrops) {
  Random random(1);
  from_.Apply(Put("k", "v"));
  EXPECT_EQ(from_.Get("k", from_.now()), "v");
  Begin();
  Finish(random);
  EXPECT_FALSE(from_.group->row_cache().rows().empty());
  from_.Step(StepOf(StepKind::kDrop, 2));
  EXPECT_TRUE(from_.group->row_cache().rows().empty());
  EXPECT_EQ(from_.Get("k", from_.now()), "none");
  EXPECT_TRUE(from_.group->meta().shards.empty());
  EXPECT_EQ(to_.Get("k", to_.now()), "v");
}

// Else what was deleted between two rounds could be forgotten before the second one tells of it.
TEST_F(ShardMoveTest, HistoryIsKeptWhileAShardIsCopied) {
  from_.Apply(Put("k", "v"));
  Begin();
  Timestamp pinned = from_.group->meta().shards.pin();
  Command raise;
  raise.kind = CommandKind::kSafePoint;
  for (int i = 0; i < 10; ++i) from_.Apply(Put("l", "v"));
  raise.safe_point = from_.now();
  from_.Apply(raise);
  EXPECT_EQ(from_.group->meta().safe_point, pinned);
  from_.Step(StepOf(StepKind::kEndExport, 1));
  from_.Apply(raise);
  EXPECT_EQ(from_.group->meta().safe_point, raise.safe_point);
}

TEST_F(ShardMoveTest, TheSafePointIsTheHigherOne) {
  Random random(1);
  for (int i = 0; i < 10; ++i) from_.Apply(Put("k", absl::StrCat(i)));
  Command raise;
  raise.kind = CommandKind::kSafePoint;
  raise.safe_point = from_.now();
  from_.Apply(raise);
  Begin();
  Finish(random);
  EXPECT_EQ(to_.group->meta().safe_point, raise.safe_point);
}

// The new owner lets time pass when it falls due.
TEST_F(ShardMoveTest, ExpiriesComeAlong) {
  Random random(1);
  CommandResult put = from_.Apply(Put("k", "v", 5000));
  Timestamp expiry = put.version + (uint64_t{5000} << kTimestampCounterBits);
  Begin();
  Finish(random);
  auto due = to_.engine.Get(ExpiryKey(GroupId(to_.id), expiry));
  EXPECT_TRUE(due.ok() && due->has_value());
  EXPECT_EQ(to_.Get("k", expiry), "v");
  EXPECT_EQ(to_.Get("k", expiry + 1), "none");
}

TEST_F(ShardMoveTest, AnAbortedMoveLeavesNothing) {
  Random random(1);
  from_.Apply(Put("k", "v"));
  Begin();
  Round(random);
  to_.Step(StepOf(StepKind::kAbortImport, 2));
  from_.Step(StepOf(StepKind::kEndExport, 1));
  EXPECT_EQ(to_.Get("k", to_.now()), "none");
  EXPECT_EQ(from_.Get("k", from_.now()), "v");
  EXPECT_TRUE(from_.Apply(Put("k", "w")).status.ok());
}

TEST_F(ShardMoveTest, RowsOfOtherKeysAreRefused) {
  ShardStep import = StepOf(StepKind::kBeginImport, 2);
  import.range = {"c", "p"};
  to_.Step(import);
  auto refused = [&](const std::string& key, uint64_t timestamp, const std::string& version) {
    Command command;
    command.kind = CommandKind::kShard;
    command.step = StepOf(StepKind::kImport, 2);
    command.step.operation = kMove;
    command.step.shard = kShard;
    command.step.at = Timestamp(50);
    AppendRow(&command.step.rows, {key, Timestamp(timestamp), version});
    return absl::IsInvalidArgument(to_.Apply(command).status);
  };
  std::string version = storage::Encode(storage::Version());
  EXPECT_TRUE(refused("b", 10, version));
  EXPECT_TRUE(refused("p", 10, version));
  EXPECT_TRUE(refused("d", 51, version));
  EXPECT_TRUE(refused("d", 0, version));
  EXPECT_TRUE(refused("d", 10, ""));
  EXPECT_FALSE(refused("d", 10, version));
}

}  // namespace
}  // namespace kvd::shard
