// The lineage's scenarios of the shard controller (MIT 6.824), by name, on whole simulated
// clusters: real groups, stores that crash, shards with data in them. What the controller decides,
// without stores, is in tests/shardctrler.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/scenario_world.h"

namespace kvd::sim {
namespace {

using shardctrler::Command;
using shardctrler::GroupOn;
using shardctrler::MergeOf;
using shardctrler::MoveOf;
using shardctrler::OpenCommand;
using shardctrler::OperationKind;
using shardctrler::SetCommand;
using shardctrler::SplitOf;
using shardctrler::StateCommand;
using shardctrler::StoreState;
using testing::HasSubstr;

std::vector<std::string> Keys(int count) {
  std::vector<std::string> keys;
  for (int i = 1; i < count; ++i) keys.push_back(absl::StrCat("s", 100 + i));
  return keys;
}

// At most one apart.
void ExpectBalanced(const std::map<GroupId, size_t>& counts) {
  size_t least = SIZE_MAX, most = 0;
  for (const auto& [group, count] : counts) {
    least = std::min(least, count);
    most = std::max(most, count);
  }
  EXPECT_LE(most, least + 1);
}

// What a config was, as whoever asks for it is told.
std::string Query(ScenarioWorld& world, uint64_t config) {
  EXPECT_TRUE(world.Await([&] { return world.state() != nullptr; }));
  internal::v1::StoreRequest request;
  request.mutable_query()->set_config(config);
  auto answer = world.Tell(*world.Leader(), request);
  EXPECT_TRUE(answer.ok()) << config << ": " << answer.status();
  return answer.ok() ? answer->query().SerializeAsString() : "";
}

TEST(Controller, Join) {
  ScenarioWorld world(1, 1);
  world.SplitAt(Keys(12));
  ASSERT_TRUE(world.Fill("s1", 20).ok());
  ASSERT_EQ(world.ShardCounts().size(), 1u);
  world.AddStore();
  world.Settle();
  EXPECT_EQ(world.ShardCounts(), (std::map<GroupId, size_t>{{GroupId(2), 6}, {GroupId(3), 6}}));
  world.AddStore();
  world.Settle();
  EXPECT_EQ(world.ShardCounts(),
            (std::map<GroupId, size_t>{{GroupId(2), 4}, {GroupId(3), 4}, {GroupId(4), 4}}));
  EXPECT_TRUE(world.ReadFilled("s1", 20).ok());
  world.Finish();
}

TEST(Controller, Leave) {
  ScenarioWorld world(2, 4);
  world.SplitAt(Keys(12));
  world.Settle();
  ASSERT_TRUE(world.Fill("s1", 20).ok());
  ASSERT_TRUE(world.state()->HoldsReplica(StoreId(2)));
  world.Do(StateCommand(2, StoreState::kDraining));
  world.Settle();
  EXPECT_FALSE(world.state()->HoldsReplica(StoreId(2)));
  EXPECT_TRUE(world.store(2).node().groups().all().empty());
  ExpectBalanced(world.ShardCounts());
  world.Finish();
  world.Do(StateCommand(2, StoreState::kGone));
  world.Crash({2});
  EXPECT_TRUE(world.ReadFilled("s1", 20).ok());
}

TEST(Controller, Move) {
  ScenarioWorld world(Layout{.seed = 3});
  ASSERT_TRUE(world.Fill("a", 20).ok());
  ShardId shard = world.ShardAt("a");
  ASSERT_EQ(world.OwnerOf("a"), GroupId(2));
  auto config = world.state()->ids().config;
  EXPECT_TRUE(world.Carry(MoveOf(shard.value(), 3)));
  EXPECT_EQ(world.OwnerOf("a"), GroupId(3));
  EXPECT_EQ(world.ShardAt("a"), shard);
  EXPECT_EQ(world.state()->ids().config, config + 1);
  EXPECT_EQ(world.OwnerOf("m"), GroupId(3)) << "nothing else moved";
  EXPECT_TRUE(world.ReadFilled("a", 20).ok());
  world.Finish();
}

// What each config was is told as it was then, after restarts of the leader, of one after the
// other, and of all at once.
TEST(Controller, HistoricalQueriesAcrossRestarts) {
  ScenarioWorld world(Layout{.seed = 4});
  std::map<uint64_t, std::string> configs;
  auto note = [&] { configs[world.state()->ids().config.value()] = Query(world, 0); };
  note();
  for (int round = 0; round < 3; ++round) {
    uint64_t shard = world.ShardAt("c9").value();
    ASSERT_TRUE(world.Carry(SplitOf(shard, absl::StrCat("c", round))));
    note();
    ASSERT_TRUE(world.Carry(MoveOf(world.ShardAt("c9").value(), round % 2 == 0 ? 3 : 2)));
    note();
  }
  ASSERT_EQ(world.OwnerOf("c0"), GroupId(3));
  ASSERT_TRUE(world.Carry(MoveOf(world.ShardAt("a").value(), 3)));
  note();
  ASSERT_TRUE(world.Carry(MergeOf(world.ShardAt("a").value())));
  note();
  ASSERT_GE(configs.size(), 8u);
  auto expect_all = [&] {
    for (const auto& [number, config] : configs) EXPECT_EQ(Query(world, number), config) << number;
  };
  expect_all();
  NodeStore* leader = world.Leader();
  leader->Crash();
  expect_all();
  leader->Start();
  for (auto& [id, store] : world.stores()) {
    store->Crash();
    store->Start();
    world.Elapse(std::chrono::seconds(1));
  }
  expect_all();
  for (auto& [id, store] : world.stores()) store->Crash();
  world.StartAll();
  expect_all();
  world.Settle();
  expect_all();
}

TEST(Controller, ConcurrentJoinAndLeave) {
  ScenarioWorld world(5, 4);
  world.SplitAt(Keys(12));
  world.StartClients(3);
  for (uint64_t round = 0; round < 3; ++round) {
    world.AddStore();
    world.Drain(1 + round);
    world.AddStore();
    if (round > 0) world.Control(StateCommand(round, StoreState::kServing));
    world.Elapse(milliseconds(1200));
  }
  world.Settle();
  EXPECT_EQ(world.state()->stores().size(), 10u);
  EXPECT_FALSE(world.state()->HoldsReplica(StoreId(3)));
  ExpectBalanced(world.ShardCounts());
  world.Finish();
}

// Of `n` shards in `before` groups, the group that comes has to get as many as make it even, and
// each moves once.
TEST(Controller, MinimalTransfersAfterJoins) {
  ScenarioWorld world(6, 1);
  world.SplitAt(Keys(24));
  for (size_t stores = 2; stores <= 4; ++stores) {
    std::map<GroupId, size_t> before = world.ShardCounts();
    size_t moved = world.Finished(OperationKind::kMove);
    world.AddStore();
    world.Settle();
    std::map<GroupId, size_t> after = world.ShardCounts();
    ASSERT_EQ(after.size(), stores);
    ExpectBalanced(after);
    size_t least = 0;
    for (const auto& [group, count] : after) least += before.contains(group) ? 0 : count;
    EXPECT_EQ(world.Finished(OperationKind::kMove) - moved, least) << stores;
  }
}

// A store that leaves takes no shard from its groups: its replicas go elsewhere, each once, and
// nobody else's.
TEST(Controller, MinimalTransfersAfterALeave) {
  ScenarioWorld world(7, 4);
  world.SplitAt(Keys(12));
  world.Settle();
  size_t moved = world.Finished(OperationKind::kMove);
  OperationId last = world.state()->operations().rbegin()->first;
  std::set<ReplicaId> held;
  for (const auto& [id, group] : world.state()->groups()) {
    for (const auto& r : group.replicas) {
      if (r.store == StoreId(4)) held.insert(r.id);
    }
  }
  ASSERT_GE(held.size(), 2u);
  world.Do(StateCommand(4, StoreState::kDraining));
  world.Settle();
  EXPECT_EQ(world.Finished(OperationKind::kMove), moved);
  size_t added = 0;
  std::set<ReplicaId> removed;
  for (const auto& [id, o] : world.state()->operations()) {
    if (id <= last) continue;
    EXPECT_EQ(o.kind, OperationKind::kChangeReplicas) << o.reason;
    added += o.added.size();
    removed.insert(o.removed.begin(), o.removed.end());
  }
  EXPECT_EQ(removed, held);
  EXPECT_EQ(added, held.size());
}

// A group is emptied by hand before it is retired: what it had is spread, each shard once.
TEST(Controller, AGroupThatLeavesHasItsShardsMovedOnce) {
  ScenarioWorld world(
      Layout{.seed = 8, .groups = {{1, 2, 3}, {1, 2, 3}, {1, 2, 3}}, .cuts = Keys(9)});
  size_t moved = world.Finished(OperationKind::kMove);
  EXPECT_THAT(world.Refused(OpenCommand(shardctrler::RetirementOf(4))),
              HasSubstr("group 4 still has 3 shards"));
  std::vector<ShardId> shards;
  for (const auto& [start, shard] : world.state()->shards().shards()) {
    if (shard.group == GroupId(4)) shards.push_back(shard.id);
  }
  for (size_t i = 0; i < shards.size(); ++i)
    ASSERT_TRUE(world.Carry(MoveOf(shards[i].value(), 2 + i % 2)));
  ASSERT_TRUE(world.Carry(shardctrler::RetirementOf(4)));
  EXPECT_EQ(world.Finished(OperationKind::kMove) - moved, 3u);
  ExpectBalanced(world.ShardCounts());
  world.Finish();
  for (auto& [id, store] : world.stores())
    EXPECT_EQ(store->node().groups().Find(GroupId(4)), nullptr);
}

// Many operators at once: everyone is answered, and what was accepted is in the end there.
TEST(Controller, SeveralAtOnce) {
  ScenarioWorld world(Layout{.seed = 9, .cuts = Keys(8)});
  struct Asked {
    std::string name;
    std::optional<absl::StatusOr<shardctrler::Result>> answer;
  };
  std::vector<std::shared_ptr<Asked>> all;
  auto ask = [&](const std::string& name, const Command& command) {
    auto asked = all.emplace_back(std::make_shared<Asked>());
    asked->name = name;
    world.Control(command, [asked](const auto& result) { asked->answer = result; });
  };
  std::vector<std::pair<std::string, shardctrler::Shard>> shards(
      world.state()->shards().shards().begin(), world.state()->shards().shards().end());
  for (const auto& [start, shard] : shards) {
    // Each shard is wanted by three; one has it.
    uint64_t other = shard.group == GroupId(2) ? 3 : 2;
    ask(absl::StrCat("move ", shard.id.value()), OpenCommand(MoveOf(shard.id.value(), other)));
    ask(absl::StrCat("split ", shard.id.value()),
        OpenCommand(SplitOf(shard.id.value(), start + "5")));
    ask(absl::StrCat("again ", shard.id.value()), OpenCommand(MoveOf(shard.id.value(), other)));
    ask("label", [&, id = shard.id] {
      Command label;
      label.kind = shardctrler::CommandKind::kSetLabel;
      label.store = StoreId(1 + id.value() % 3);
      label.name = absl::StrCat("l", id.value());
      label.text = "x";
      return label;
    }());
  }
  ask("group", OpenCommand(GroupOn({1, 2, 3})));
  ask("setting", SetCommand("replicas", 5));
  ASSERT_TRUE(world.Await([&] {
    return std::all_of(all.begin(), all.end(), [](const auto& a) { return a->answer.has_value(); });
  }));
  size_t accepted = 0;
  for (const auto& asked : all) {
    bool second = asked->name.starts_with("split") || asked->name.starts_with("again");
    EXPECT_EQ(asked->answer->ok(), !second) << asked->name << ": " << asked->answer->status();
    if (second) {
      EXPECT_THAT(std::string(asked->answer->status().message()), HasSubstr("(move) is under way"));
    }
    if (!asked->answer->ok() || !(*asked->answer)->operation) continue;
    ++accepted;
    EXPECT_EQ(world.AwaitOperation((*asked->answer)->operation), shardctrler::Phase::kDone);
  }
  EXPECT_EQ(accepted, shards.size() + 1);
  for (const auto& [start, shard] : shards) EXPECT_NE(world.OwnerOf(start), shard.group);
  EXPECT_EQ(world.state()->settings()[shardctrler::Setting::kReplicas], 5u);
  world.Finish();
}

}  // namespace
}  // namespace kvd::sim
