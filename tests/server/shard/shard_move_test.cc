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
  // A chunk of the next round, as a replica of the source gives it. Whether the round goes on.
  bool Chunk(Group& source, size_t bytes_max, Timestamp* at) {
    const ShardDescriptor& shard = *to_.group->meta().shards.Find(kShard);
    ExportRequest request;
    request.shard = kShard;
    request.operation = kMove;
    request.after = shard.copied;
    request.upto = *at = shard.copying ? shard.copying : *at;
    request.key = shard.next_key;
    request.key_after = shard.next_after;
    request.bytes_max = bytes_max;
    auto rows = source.group->Export(request);
    EXPECT_TRUE(rows.ok()) << rows.status();
    ShardStep chunk = StepOf(StepKind::kImport, 2);
    chunk.after = request.after;
    chunk.at = rows->upto;
    chunk.key = request.key;
    chunk.key_after = rows->key_after;
    chunk.next_key = rows->next_key;
    chunk.next_after = rows->next_after;
    chunk.rows = rows->rows;
    chunk_bytes_ = std::max(chunk_bytes_, rows->rows.size());
    begun_anew_ += request.key_after && !rows->key_after ? 1 : 0;
    parts_ += rows->next_after ? 1 : 0;
    to_.Step(chunk);
    return !rows->next_key.empty();
  }
  // What the target has lets the next round begin there; it ends where the source is now.
  void Round(Random& random) {
    Timestamp at = from_.now();
    while (Chunk(from_, random.Between(50, 2000), &at)) {
      if (random.Chance(0.2)) Restart(&to_);
      if (random.Chance(0.1)) Restart(&from_);
    }
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
    complete.safe_point = frozen.safe_point;
    to_.Step(complete, tf_ + 1);
  }

  Group from_{2};
  Group to_{3};
  uint64_t written_ = 0;
  Timestamp tf_;
  size_t chunk_bytes_ = 0;
  uint64_t parts_ = 0;
  uint64_t begun_anew_ = 0;
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

// What is dead is given up by each replica at its own times, at both ends.
class CollectedMoveSeeds : public ShardMoveTest, public testing::WithParamInterface<uint64_t> {
 protected:
  void All(const Command& command) {
    for (Group* group : {&from_, &twin_}) ASSERT_TRUE(group->Apply(command).status.ok());
  }
  static void Collect(Group& group, Random& random) {
    bool all = random.Chance(0.7);
    storage::GcFilter filter([&](GroupId) { return group.group->meta().safe_point; }, all);
    group.engine.Collect(filter, [&] { return all || random.Chance(0.5); });
  }
  void Write(Random& random, uint64_t keys) {
    Command command = Put(absl::StrCat("k", random.Below(keys)), absl::StrCat("v", ++written_));
    if (random.Chance(0.4)) command.operations[0].type = Operation::Type::kDelete;
    All(command);
    Timestamp now = from_.now();
    for (uint64_t k = 0; k < keys; ++k) {
      std::string key = absl::StrCat("k", k);
      seen_[{key, now.value()}] = from_.Get(key, now);
    }
  }
  void RaiseTo(Timestamp at) {
    Command raise;
    raise.kind = CommandKind::kSafePoint;
    raise.safe_point = at;
    All(raise);
  }
  void Both(const ShardStep& step) {
    for (Group* group : {&from_, &twin_}) group->Step(step);
  }

  Group twin_{2};
  std::map<std::pair<std::string, uint64_t>, std::string> seen_;
};

TEST_P(CollectedMoveSeeds, WhatIsReadAtTheNewOwnerIsWhatWasWritten) {
  Random random(GetParam());
  ShardStep install = StepOf(StepKind::kInstall, 1);
  install.operation = OperationId(1);
  install.shard = kShard;
  Command command;
  command.kind = CommandKind::kShard;
  command.step = install;
  twin_.Apply(command);
  for (int i = 0; i < 60; ++i) Write(random, 3);
  ShardStep begin = StepOf(StepKind::kBeginExport, 1);
  begin.peer = GroupId(to_.id);
  Both(begin);
  ShardStep import = StepOf(StepKind::kBeginImport, 2);
  import.peer = GroupId(from_.id);
  to_.Step(import);
  Timestamp at = from_.now();
  auto anything = [&] {
    if (random.Chance(0.2)) Write(random, 3);
    if (random.Chance(0.2)) RaiseTo(from_.now() - random.Below(300));
    if (random.Chance(0.2)) {
      Command raise;
      raise.kind = CommandKind::kSafePoint;
      raise.safe_point = std::min(from_.group->meta().safe_point, to_.now());
      to_.Apply(raise);
    }
    for (Group* group : {&from_, &twin_, &to_}) {
      if (random.Chance(0.3)) Collect(*group, random);
    }
  };
  for (int round = 0; round < 3; ++round) {
    do anything();
    while (Chunk(random.Chance(0.5) ? from_ : twin_, random.Between(20, 150), &at));
    begin.at = at;
    Both(begin);
    at = from_.now();
  }
  Both(StepOf(StepKind::kFreeze, 1));
  at = from_.now();
  while (Chunk(random.Chance(0.5) ? from_ : twin_, 100, &at)) {
  }
  ShardStep complete = StepOf(StepKind::kCompleteImport, 2);
  complete.at = at;
  complete.safe_point = from_.group->meta().floor;
  to_.Step(complete, at + 1);
  Timestamp floor = to_.group->meta().floor;
  EXPECT_GE(floor, from_.group->meta().floor);
  for (const auto& [where, value] : seen_) {
    if (Timestamp(where.second) < floor) continue;
    EXPECT_EQ(to_.Get(where.first, Timestamp(where.second)), value)
        << where.first << " at " << where.second << ", floor " << floor.value();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, CollectedMoveSeeds, testing::Range<uint64_t>(1, 400));

// However much was written to one key.
TEST_F(ShardMoveTest, AKeyWithALongHistoryComesInParts) {
  Random random(1);
  for (int i = 0; i < 50; ++i) from_.Apply(Put("k", std::string(1000, 'v')));
  from_.Apply(Put("l", "v"));
  Begin();
  Timestamp at = from_.now();
  while (Chunk(from_, 2000, &at)) {
  }
  EXPECT_GE(parts_, 10u);
  EXPECT_LE(chunk_bytes_, 4000u);
  Finish(random);
  uint64_t versions = 0;
  ASSERT_TRUE(to_.group->reader()
                  .DeltaScan(KeyRange(), Timestamp(), kTimestampMax,
                             [&](const auto&...) { return ++versions != 0; })
                  .ok());
  EXPECT_EQ(versions, 51u);
}

// It keeps what its own export needs, and tells what was before no more all the same.
TEST_F(ShardMoveTest, WhatCameIsNotAskedAboutBeforeItsOwnFloor) {
  Random random(1);
  for (int i = 0; i < 10; ++i) from_.Apply(Put("k", absl::StrCat(i)));
  Command append = Put("k", "a");
  append.operations[0].type = Operation::Type::kAppend;
  append.writer = {ClientId(5), Sequence(1)};
  append.token = from_.now();
  from_.Apply(append);
  from_.Apply(Put("k", "last"));
  Command raise;
  raise.kind = CommandKind::kSafePoint;
  raise.safe_point = from_.now();
  from_.Apply(raise);
  from_.engine.Collect(
      storage::GcFilter([&](GroupId) { return from_.group->meta().safe_point; }, true),
      [] { return true; });
  // The target lets a shard of its own go at the same time.
  Command own;
  own.kind = CommandKind::kShard;
  own.step = StepOf(StepKind::kInstall, 1);
  own.step.operation = OperationId(2);
  own.step.shard = ShardId(7);
  own.step.range = {"x", "y"};
  ASSERT_TRUE(to_.Apply(own).status.ok());
  own.step.kind = StepKind::kBeginExport;
  own.step.operation = OperationId(3);
  own.step.peer = GroupId(9);
  ASSERT_TRUE(to_.Apply(own).status.ok());
  ShardStep begin = StepOf(StepKind::kBeginExport, 1);
  begin.peer = GroupId(to_.id);
  from_.Step(begin);
  ShardStep import = StepOf(StepKind::kBeginImport, 2);
  import.peer = GroupId(from_.id);
  import.range = {"a", "m"};
  to_.Step(import);
  Finish(random);
  EXPECT_LT(to_.group->meta().safe_point, append.token);
  append.attempt = 2;
  EXPECT_EQ(InfoOf(to_.Apply(append).status).kind, ErrorKind::kSessionExpired);
  EXPECT_EQ(to_.Get("k", to_.now()), "last");
}

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
