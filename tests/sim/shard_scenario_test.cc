// The lineage's scenarios of the sharded service (MIT 6.824), by name, on whole simulated clusters:
// where shards are served, and what becomes of them when they move.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "tests/sim/scenario_world.h"

namespace kvd::sim {
namespace {

using shardctrler::ChangeOf;
using shardctrler::IsOpen;
using shardctrler::MergeOf;
using shardctrler::MoveOf;
using shardctrler::Phase;
using std::chrono::seconds;

// Each group on stores of its own, and the controller on others. Keys a..., h..., p... are in
// groups 2, 3 and 4.
Layout Apart(uint64_t seed) {
  return {.seed = seed,
          .stores = 12,
          .groups = {{4, 5, 6}, {7, 8, 9}, {10, 11, 12}},
          .cuts = {"h", "p"}};
}

// A write that a client hands to the group itself, past all routing.
absl::Status WriteAt(ScenarioWorld& world, GroupId group, const std::string& key) {
  shard::Command command;
  shard::Operation op;
  op.key = key;
  op.value = "x";
  op.crc32c = ValueChecksum(op.key, op.value);
  command.operations.push_back(op);
  auto answer = std::make_shared<std::optional<absl::Status>>();
  EXPECT_TRUE(world.Await([&] {
    NodeStore* leader = world.Leader(group);
    return leader != nullptr && leader->node().groups().Find(group)->group->ready();
  }));
  world.Leader(group)->node().groups().Find(group)->group->Submit(
      std::move(command), [answer](const auto& result) { *answer = result.status(); });
  EXPECT_TRUE(world.Await([&] { return answer->has_value(); }));
  return answer->value_or(absl::UnknownError("no answer"));
}

// Versions of keys in the range that the store's engine has for the group.
size_t StoredVersions(NodeStore& store, GroupId group, const KeyRange& range) {
  size_t count = 0;
  storage::MvccReader reader(&store.engine(), group);
  auto row = [&](const std::string&, Timestamp, const storage::Version&) {
    ++count;
    return true;
  };
  EXPECT_TRUE(reader.DeltaScan(range, Timestamp(), kTimestampMax, row).ok());
  return count;
}

TEST(ShardedService, StaticShardsLiveGroupsAnswerDeadOnesDoNot) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(Apart(seed));
    ASSERT_TRUE(world.Fill("a", 3).ok() && world.Fill("h", 3).ok() && world.Fill("p", 3).ok());
    for (const char* dead : {"a", "h", "p"}) {
      std::vector<uint64_t> on = world.StoresOf(world.OwnerOf(dead));
      world.Crash({on[0], on[2]});
      world.Elapse(seconds(1));  // a lease runs out
      for (std::string prefix : {"a", "h", "p"}) {
        // Clients that know nothing yet, and one that has asked before.
        auto writer = world.NewAsker(), reader = world.NewAsker();
        bool lives = prefix != dead;
        for (Asker* asker : {writer.get(), &world.asker()}) {
          absl::Status put = asker->Put(prefix + "new", dead, seconds(2));
          EXPECT_EQ(put.ok(), lives) << dead << " " << prefix << " " << put;
        }
        for (Asker* asker : {reader.get(), &world.asker()}) {
          auto got = asker->Get(prefix + "1", seconds(2));
          EXPECT_EQ(got.ok(), lives) << dead << " " << prefix << " " << got.status();
        }
      }
      world.StartAll();
      EXPECT_TRUE(world.ReadFilled(dead, 3).ok());
      EXPECT_TRUE(world.asker().Put(absl::StrCat(dead, "new"), "again").ok());
    }
    world.Finish();
  }
}

TEST(ShardedService, OldOwnerRefusesMovedShards) {
  ScenarioWorld world(Layout{.seed = 2});
  ASSERT_TRUE(world.Fill("a", 5).ok());
  ASSERT_TRUE(WriteAt(world, GroupId(2), "a1").ok());
  ASSERT_TRUE(world.Carry(MoveOf(world.ShardAt("a").value(), 3)));
  absl::Status refused = WriteAt(world, GroupId(2), "a1");
  EXPECT_EQ(InfoOf(refused).kind, ErrorKind::kShardMoved) << refused;
  EXPECT_TRUE(WriteAt(world, GroupId(3), "a1").ok());
  // Nor does it come to serve it again by a restart.
  for (auto& [id, store] : world.stores()) store->Crash();
  world.StartAll();
  refused = WriteAt(world, GroupId(2), "a1");
  EXPECT_EQ(InfoOf(refused).kind, ErrorKind::kShardMoved) << refused;
  EXPECT_EQ(*world.asker().Get("a1"), "x");
  world.Finish();
}

TEST(ShardedService, MovedDataIsDeleted) {
  ScenarioWorld world(Apart(3));
  ASSERT_TRUE(world.Fill("a", 50, 100).ok() && world.Fill("h", 10).ok());
  KeyRange range{"", "h"};
  std::vector<uint64_t> old = world.StoresOf(GroupId(2)), next = world.StoresOf(GroupId(3));
  size_t versions = StoredVersions(world.store(old[0]), GroupId(2), range);
  ASSERT_GE(versions, 50u);
  ASSERT_TRUE(world.Carry(MoveOf(world.ShardAt("a").value(), 3)));
  EXPECT_TRUE(world.Await([&] {
    return std::all_of(old.begin(), old.end(), [&](uint64_t id) {
      return StoredVersions(world.store(id), GroupId(2), range) == 0;
    });
  }));
  EXPECT_EQ(StoredVersions(*world.Leader(GroupId(3)), GroupId(3), range), versions);
  // It stays so after a crash that loses what was not flushed.
  world.Crash(old);
  world.StartAll();
  world.Settle();
  for (uint64_t id : old) EXPECT_EQ(StoredVersions(world.store(id), GroupId(2), range), 0u);
  EXPECT_TRUE(world.ReadFilled("a", 50).ok() && world.ReadFilled("h", 10).ok());
  world.Finish();
}

// A store that was down while the map changed many times knows the newest one soon after it is
// back, and shards that have come and gone meanwhile are nothing to it.
TEST(ShardedService, MissedConfigs) {
  ScenarioWorld world(Layout{.seed = 4});
  ASSERT_TRUE(world.Fill("a", 10).ok() && world.Fill("n", 10).ok());
  uint64_t away = world.Leader() == &world.store(3) ? 2 : 3;
  auto before = world.state()->ids().config;
  world.Crash({away});
  for (int i = 9; i >= 0; --i) {
    world.SplitAt({absl::StrCat("a", i)});
    uint64_t to = world.OwnerOf("a") == GroupId(2) ? 3 : 2;
    ASSERT_TRUE(world.Carry(MoveOf(world.ShardAt("a").value(), to)));
  }
  ASSERT_GE(world.state()->ids().config, before + 20);
  world.StartAll();
  EXPECT_TRUE(world.Await(
      [&] { return world.store(away).node().routing().config() == world.state()->ids().config; }));
  // With another one away it is needed.
  world.Settle();
  world.Crash({away == 3 ? 2u : 3u});
  EXPECT_TRUE(world.ReadFilled("a", 10).ok() && world.ReadFilled("n", 10).ok());
  world.Finish();
}

// One group is gone in the midst of changes; what does not need it goes on, what does waits.
TEST(ShardedService, ProgressWhileAGroupIsShutDown) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(Apart(seed));
    world.SplitAt({"d", "k"});
    ASSERT_TRUE(world.Fill("a", 5).ok() && world.Fill("h", 5).ok() && world.Fill("p", 5).ok());
    world.Crash(world.StoresOf(GroupId(3)));
    OperationId from_dead = world.Begin(MoveOf(world.ShardAt("h").value(), 2));
    OperationId to_dead = world.Begin(MoveOf(world.ShardAt("d").value(), 3));
    OperationId between = world.Begin(MoveOf(world.ShardAt("a").value(), 4));
    auto fresh = world.NewAsker();
    for (int i = 0; i < 5; ++i) {
      for (const char* prefix : {"a", "d", "p"}) {
        std::string key = absl::StrCat(prefix, "x", i);
        EXPECT_TRUE(fresh->Put(key, "v", seconds(2)).ok()) << key;
        EXPECT_TRUE(fresh->Get(key, seconds(2)).ok()) << key;
      }
    }
    EXPECT_EQ(world.AwaitOperation(between), Phase::kDone);
    EXPECT_TRUE(IsOpen(world.state()->FindOperation(from_dead)->phase));
    EXPECT_TRUE(IsOpen(world.state()->FindOperation(to_dead)->phase));
    EXPECT_NE(world.Trouble(from_dead), "");
    world.StartAll();
    EXPECT_EQ(world.AwaitOperation(from_dead), Phase::kDone);
    EXPECT_EQ(world.AwaitOperation(to_dead), Phase::kDone);
    EXPECT_TRUE(world.ReadFilled("a", 5).ok() && world.ReadFilled("h", 5).ok());
    world.Finish();
  }
}

TEST(ShardedService, AtLeastAHundredGetsOnUnmovedShardsDuringAMove) {
  ScenarioWorld world(Layout{.seed = 6});
  ASSERT_TRUE(world.Fill("a", 400, 1000).ok() && world.Fill("n", 10).ok());
  for (const char* prefix : {"same group", "other group"}) {
    // A neighbour in the group that the shard leaves, and one in the group that it comes to.
    std::string key = prefix == std::string("same group") ? "b" : "n1";
    world.SplitAt({"b"});
    ASSERT_TRUE(world.asker().Put(key, "v").ok());
    uint64_t to = world.OwnerOf("a") == GroupId(2) ? 3 : 2;
    OperationId move = world.Begin(MoveOf(world.ShardAt("a").value(), to));
    size_t answered = 0;
    while (IsOpen(world.state()->FindOperation(move)->phase)) {
      ASSERT_TRUE(world.asker().Get(key, seconds(2)).ok());
      ++answered;
    }
    EXPECT_EQ(world.state()->FindOperation(move)->phase, Phase::kDone);
    EXPECT_GE(answered, 100u) << prefix;
  }
  world.Finish();
}

// Of two that come to a group, one from a group that can't give it up now.
TEST(ShardedService, AReceivedShardServesBeforeTheOthersArrive) {
  ScenarioWorld world(Apart(7));
  ASSERT_TRUE(world.Fill("a", 10).ok() && world.Fill("h", 10).ok() && world.Fill("p", 10).ok());
  std::vector<uint64_t> on = world.StoresOf(GroupId(2));
  world.Crash({on[0], on[1]});
  OperationId stuck = world.Begin(MoveOf(world.ShardAt("a").value(), 4));
  OperationId quick = world.Begin(MoveOf(world.ShardAt("h").value(), 4));
  EXPECT_EQ(world.AwaitOperation(quick), Phase::kDone);
  EXPECT_TRUE(IsOpen(world.state()->FindOperation(stuck)->phase));
  EXPECT_TRUE(WriteAt(world, GroupId(4), "h3").ok());
  EXPECT_EQ(*world.asker().Get("h3", seconds(2)), "x");
  world.StartAll();
  EXPECT_EQ(world.AwaitOperation(stuck), Phase::kDone);
  EXPECT_TRUE(WriteAt(world, GroupId(4), "a3").ok());
  world.Finish();
}

}  // namespace
}  // namespace kvd::sim
