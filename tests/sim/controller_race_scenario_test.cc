// The lineage's scenarios of controllers that race (MIT 6.824): leadership thrown around under a
// network that loses and delays, and partitions that come and go, while shards, replicas and groups
// change. In the end one map, the same on all replicas, and what the log says is what they are.
#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/scenario_world.h"

namespace kvd::sim {
namespace {

using shardctrler::ChangeOf;
using shardctrler::kControllerGroup;
using shardctrler::MergeOf;
using shardctrler::MoveOf;
using shardctrler::OpenCommand;
using shardctrler::OperationKind;
using shardctrler::SplitOf;
using std::chrono::seconds;

Layout FiveControllers(uint64_t seed) {
  return {.seed = seed,
          .stores = 5,
          .controllers = {1, 2, 3, 4, 5},
          .groups = {{1, 2, 3}, {2, 3, 4}, {3, 4, 5}},
          .cuts = {"k2", "k4", "n"}};
}

// Something that an operator might ask for; some of it makes no sense, and is refused.
void AskForSomething(ScenarioWorld& world, Random& random) {
  const shardctrler::State* known = world.state();
  if (known == nullptr) return;
  auto shard = std::next(known->shards().shards().begin(),
                         static_cast<ptrdiff_t>(random.Below(known->shards().size())));
  uint64_t id = shard->second.id.value();
  uint64_t pick = random.Below(10);
  if (pick < 5) return world.Control(OpenCommand(MoveOf(id, random.Between(2, 4))));
  if (pick < 7)
    return world.Control(OpenCommand(SplitOf(id, absl::StrCat("k", random.Below(5), "5"))));
  if (pick < 8) return world.Control(OpenCommand(MergeOf(id)));
  GroupId group(random.Between(2, 4));
  std::vector<uint64_t> on = world.StoresOf(group);
  uint64_t to = random.Between(1, 5);
  world.Control(OpenCommand(
      ChangeOf(group.value(), {to}, {known->FindGroup(group)->replicas[0].id.value()})));
}

// Hands the controller over, or cuts its leader off, so that a few think that they lead.
void ThrowLeadership(ScenarioWorld& world, Random& random) {
  NodeStore* leader = world.Leader();
  if (leader == nullptr) return;
  if (random.Chance(0.5)) {
    const auto& voters = leader->process().host->core(kControllerGroup).configuration().voters;
    raft::Member to = voters[random.Below(voters.size())];
    (void)leader->process().host->TransferLeadership(kControllerGroup, to.replica);
    return;
  }
  world.network().MendAll();
  world.Isolate(leader->id().value());
}

size_t Ended(ScenarioWorld& world) {
  size_t ended = 0;
  for (const auto& [id, o] : world.state()->operations())
    ended += shardctrler::IsOpen(o.phase) ? 0 : 1;
  return ended;
}

// Replicas of the controller that are equally far say the same of everything.
void ExpectSameOnAllReplicas(ScenarioWorld& world) {
  auto machine = [&](uint64_t id) -> const shardctrler::State& {
    return world.store(id).node().groups().Find(kControllerGroup)->machine->state();
  };
  auto applied = [&](uint64_t id) {
    return world.store(id).process().host->core(kControllerGroup).applied_index();
  };
  std::vector<uint64_t> on = world.Controllers();
  ASSERT_TRUE(world.Await([&] {
    return std::all_of(on.begin(), on.end(),
                       [&](uint64_t id) { return applied(id) == applied(on[0]); });
  }));
  const shardctrler::State& first = machine(on[0]);
  for (uint64_t id : on) {
    const shardctrler::State& other = machine(id);
    EXPECT_EQ(other.ids(), first.ids()) << id;
    EXPECT_EQ(other.shards().shards(), first.shards().shards()) << id;
    EXPECT_EQ(other.groups(), first.groups()) << id;
    EXPECT_EQ(other.stores(), first.stores()) << id;
    EXPECT_EQ(other.operations(), first.operations()) << id;
    EXPECT_EQ(other.settings().changed(), first.settings().changed()) << id;
  }
}

TEST(ControllerRace, FourControllersRaceUnderAnUnreliableNetwork) {
  size_t ended = 0;
  std::set<uint64_t> led;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(FiveControllers(seed));
    size_t before = Ended(world);
    Random random(seed);
    world.StartClients(2);
    world.network().faults.loss = 0.1;
    world.network().faults.duplication = 0.1;
    world.network().faults.late_chance = 0.05;
    for (int i = 0; i < 100; ++i) {
      AskForSomething(world, random);
      world.Elapse(milliseconds(random.Between(10, 300)));
      if (random.Chance(0.4)) ThrowLeadership(world, random);
      if (NodeStore* leader = world.Leader()) led.insert(leader->id().value());
    }
    world.Finish();
    ExpectSameOnAllReplicas(world);
    ended += Ended(world) - before;
  }
  EXPECT_GE(led.size(), 4u) << "controllers raced";
  EXPECT_GE(ended, 50u);
}

// The controller is parted again and again, with its leader on the small side or on the large one.
void PartitionAndRecover(uint64_t seed, int clients) {
  ScenarioWorld world(FiveControllers(seed));
  size_t before = Ended(world);
  Random random(seed);
  ASSERT_TRUE(world.Fill("a", 10).ok());
  world.StartClients(clients);
  for (int round = 0; round < 8; ++round) {
    std::vector<uint64_t> small, large;
    for (uint64_t id = 1; id <= 5; ++id) (random.Chance(0.4) ? small : large).push_back(id);
    AskForSomething(world, random);
    world.CutBetween(small, large);
    world.Elapse(milliseconds(random.Between(100, 3000)));
    AskForSomething(world, random);
    world.network().MendAll();
    world.Elapse(milliseconds(random.Between(0, 1000)));
  }
  world.Finish();
  ExpectSameOnAllReplicas(world);
  EXPECT_TRUE(world.ReadFilled("a", 10).ok());
  EXPECT_GE(Ended(world), before + 3);
}

TEST(ControllerRace, PartitionRecoveryWithoutClients) {
  for (uint64_t seed = 1; seed <= 10; ++seed) PartitionAndRecover(seed, 0);
}
TEST(ControllerRace, PartitionRecoveryWithClients) {
  for (uint64_t seed = 1; seed <= 10; ++seed) PartitionAndRecover(seed, 4);
}

TEST(ControllerHistory, TheSameConfigOnAllReplicas) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    ScenarioWorld world(FiveControllers(seed));
    Random random(seed);
    // One of them misses a part, and has it by a snapshot or from the log.
    world.Crash({5});
    for (int i = 0; i < 30; ++i) {
      AskForSomething(world, random);
      world.Elapse(milliseconds(100));
    }
    world.StartAll();
    world.Settle();
    ExpectSameOnAllReplicas(world);
  }
}

// What the controller's group has applied since it began, by index, whoever applied it first.
class History {
 public:
  explicit History(World& world) {
    NodeStore& first = world.store(1);
    const raft::Core& core = first.process().host->core(kControllerGroup);
    EXPECT_EQ(core.log().start(), Index());
    for (const raft::EntryPtr& entry : first.process().log_store->Read(
             kControllerGroup, Index(1), core.applied_index() + 1, SIZE_MAX))
      entries_[entry->index] = *entry;
    Follow(first);
  }
  void Follow(NodeStore& store) {
    store.on_applied = [this, before = store.on_applied](auto& s, GroupId group,
                                                         const raft::Entry& entry,
                                                         const shard::CommandResult& result) {
      before(s, group, entry, result);
      if (group == kControllerGroup) entries_.try_emplace(entry.index, entry);
    };
  }
  // Tells it all to a machine that knows nothing.
  void Tell(shardctrler::Machine* machine) const {
    class Nowhere : public storage::RecordSink {
      void Put(std::string_view, std::string_view) override {}
      void Delete(std::string_view) override {}
    } nowhere;
    Timestamp clock;
    Index next(1);
    for (const auto& [index, entry] : entries_) {
      ASSERT_EQ(index, next) << "a part is missing";
      next = next + 1;
      if (entry.type != raft::EntryType::kCommand) continue;
      auto command = shard::DecodeCommand(entry.data);
      ASSERT_TRUE(command.ok());
      clock = std::max(command->timestamp, clock + 1);
      if (command->kind == shard::CommandKind::kMachine)
        (void)machine->Apply(command->payload, {index, clock}, &nowhere);
    }
  }

 private:
  std::map<Index, raft::Entry> entries_;
};

// One cluster grows, drains and moves by itself; its history, told to another machine, makes the
// same of it.
TEST(ControllerHistory, TheSameHistoryGivesTheSameConfig) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(seed, 1);
    History history(world);
    for (int i = 0; i < 4; ++i) world.AddStore();
    world.Settle();
    for (uint64_t id = 2; id <= 5; ++id) history.Follow(world.store(id));
    world.SplitAt({"c", "f", "i", "l", "o", "r"});
    world.Settle();
    world.Do(shardctrler::StateCommand(2, shardctrler::StoreState::kDraining));
    world.Settle();
    shardctrler::Machine machine;
    history.Tell(&machine);
    EXPECT_EQ(machine.state().ids(), world.state()->ids());
    EXPECT_EQ(machine.state().shards().shards(), world.state()->shards().shards());
    EXPECT_EQ(machine.state().groups(), world.state()->groups());
    EXPECT_EQ(machine.state().stores(), world.state()->stores());
    EXPECT_EQ(machine.state().operations(), world.state()->operations());
    EXPECT_GE(machine.state().operations().size(), 10u);
  }
}

}  // namespace
}  // namespace kvd::sim
