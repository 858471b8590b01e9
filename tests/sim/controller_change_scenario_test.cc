// The lineage's scenarios of a controller that changes hands (MIT 6.824): whoever is its leader
// crashes, is cut off or deposed in the midst of what it does, and the next one goes on.
#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/shard/shard_codec.h"
#include "tests/sim/scenario_world.h"

namespace kvd::sim {
namespace {

using shardctrler::AdvanceCommand;
using shardctrler::ChangeOf;
using shardctrler::IsOpen;
using shardctrler::kControllerGroup;
using shardctrler::MergeOf;
using shardctrler::MoveOf;
using shardctrler::Phase;
using shardctrler::SplitOf;
using std::chrono::seconds;
using testing::HasSubstr;

// The controller on stores 1, 2 and 3, data on 4, 5 and 6 and a spare one, 7.
Layout Beside(uint64_t seed) {
  return {.seed = seed, .stores = 7, .groups = {{4, 5, 6}, {4, 5, 6}}, .cuts = {"h", "p"}};
}

// Operations that undo each other: the one at `step` can begin once those before are done.
shardctrler::Operation OperationAt(ScenarioWorld& world, const std::string& kind, int step) {
  GroupId group = world.OwnerOf("a");
  if (kind == "move") return MoveOf(world.ShardAt("a").value(), group == GroupId(2) ? 3 : 2);
  if (kind == "split" || kind == "merge") {
    bool split = world.ShardAt("a") == world.ShardAt("d");
    EXPECT_EQ(split, step % 2 == 0);
    return split ? SplitOf(world.ShardAt("a").value(), "d") : MergeOf(world.ShardAt("a").value());
  }
  std::vector<uint64_t> on = world.StoresOf(group);
  uint64_t spare = 4;
  while (std::count(on.begin(), on.end(), spare) > 0) ++spare;
  const auto& leaves = world.state()->FindGroup(group)->replicas[0];
  return ChangeOf(group.value(), {spare}, {leaves.id.value()});
}

// The leader of the controller crashes `after` an operation was accepted, each time a little later;
// the operation ends, whoever leads then.
void CrashTheLeaderAtEachMoment(uint64_t seed, const std::string& kind) {
  ScenarioWorld world(Beside(seed));
  ASSERT_TRUE(world.Fill("a", 20).ok());
  world.StartClients(2);
  int interrupted = 0;
  for (int step = 0; step < 20; ++step) {
    OperationId id = world.Begin(OperationAt(world, kind, step));
    world.Elapse(milliseconds(step * 2));
    interrupted += IsOpen(world.state()->FindOperation(id)->phase) ? 1 : 0;
    NodeStore* leader = world.Leader();
    leader->Crash();
    ASSERT_EQ(world.AwaitOperation(id), Phase::kDone) << kind << " " << step << world.Describe();
    leader->Start();
  }
  EXPECT_GE(interrupted, 3) << kind;
  EXPECT_TRUE(world.ReadFilled("a", 20).ok());
  world.Finish();
}

// Each phase is a record before its first message, so it is seen as soon as it is there; then a
// little later each time.
void CrashTheLeaderAtEachPhase(uint64_t seed) {
  ScenarioWorld world(Beside(seed));
  ASSERT_TRUE(world.Fill("a", 20).ok());
  std::map<Phase, int> interrupted;
  for (Phase phase : {Phase::kRunning, Phase::kForward, Phase::kPublished}) {
    for (int after : {0, 1, 2, 4, 8, 16}) {
      OperationId id = world.Begin(OperationAt(world, "move", 0));
      ASSERT_TRUE(world.AwaitPhase(id, phase));
      world.Elapse(milliseconds(after));
      ++interrupted[world.state()->FindOperation(id)->phase];
      NodeStore* leader = world.Leader();
      leader->Crash();
      EXPECT_EQ(world.AwaitOperation(id), Phase::kDone) << static_cast<int>(phase) << " " << after;
      EXPECT_NE(world.Leader(), leader);
      leader->Start();
      EXPECT_TRUE(world.ReadFilled("a", 20).ok());
    }
  }
  for (Phase phase : {Phase::kRunning, Phase::kForward, Phase::kPublished})
    EXPECT_GE(interrupted[phase], 2) << static_cast<int>(phase);
  // One that is being taken back is taken back.
  OperationId id = world.Begin(OperationAt(world, "move", 0));
  GroupId owner = world.OwnerOf("a");
  world.Do(AdvanceCommand(id, Phase::kRunning, Phase::kCancelling));
  world.Leader()->Crash();
  EXPECT_EQ(world.AwaitOperation(id), Phase::kCancelled);
  EXPECT_EQ(world.OwnerOf("a"), owner);
  world.StartAll();
  world.Finish();
}

TEST(HalfDoneChange, AMoveIsFinishedByTheNextControllerFromEachPhase) {
  for (uint64_t seed = 1; seed <= 5; ++seed) CrashTheLeaderAtEachPhase(seed);
}
TEST(HalfDoneChange, SplitsAndMergesAreFinishedByTheNextController) {
  for (uint64_t seed = 1; seed <= 5; ++seed) CrashTheLeaderAtEachMoment(seed, "merge");
}
TEST(HalfDoneChange, AChangeOfReplicasIsFinishedByTheNextController) {
  for (uint64_t seed = 1; seed <= 5; ++seed) CrashTheLeaderAtEachMoment(seed, "change");
}

// What one that was deposed sent late, to a group that knows how the operation ended since.
internal::v1::StoreRequest LateStep(StepKind kind, GroupId group, OperationId id,
                                    const shardctrler::Operation& o) {
  ShardStep step;
  step.kind = kind;
  step.operation = id;
  step.shard = o.shard;
  step.epoch = kind == StepKind::kBeginImport ? o.epoch + 1 : o.epoch;
  step.range = {"", "h"};
  step.peer = group == o.group ? o.to : o.group;
  internal::v1::StoreRequest request;
  request.mutable_shard_step()->set_group_id(group.value());
  Writer w(request.mutable_shard_step()->mutable_step());
  shard::EncodeStep(w, step);
  return request;
}

// Cut off with a move half done, it is replaced, the move is cancelled and another one made. What
// it says then, to the log and to the groups, changes nothing.
TEST(DeposedController, IsFencedByLogAndGroups) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    ScenarioWorld world(Beside(seed));
    ASSERT_TRUE(world.Fill("a", 20).ok());
    OperationId id = world.Begin(MoveOf(world.ShardAt("a").value(), 3));
    const shardctrler::Operation o = *world.state()->FindOperation(id);
    NodeStore* old = world.Leader();
    world.Isolate(old->id().value());
    std::optional<absl::Status> advanced;
    world.Control(AdvanceCommand(id, Phase::kRunning, Phase::kForward),
                  [&](const auto& result) { advanced = result.status(); });
    ASSERT_TRUE(world.Await([&] { return world.Leader() != old && world.state() != nullptr; }));
    world.Do(AdvanceCommand(id, Phase::kRunning, Phase::kCancelling));
    EXPECT_EQ(world.AwaitOperation(id), Phase::kCancelled);
    EXPECT_EQ(old->node().controller()->state().FindOperation(id)->phase, Phase::kRunning)
        << "it knows nothing of that";
    world.network().MendAll();
    ASSERT_TRUE(world.Await([&] { return advanced.has_value(); }));
    EXPECT_FALSE(advanced->ok());
    EXPECT_THAT(world.Refused(AdvanceCommand(id, Phase::kRunning, Phase::kForward)),
                HasSubstr("is cancelled: it can't become forward from running"));
    ASSERT_TRUE(world.Await([&] { return world.Leader(GroupId(2)) && world.Leader(GroupId(3)); }));
    for (auto [kind, group] : {std::pair(StepKind::kBeginImport, GroupId(3)),
                               std::pair(StepKind::kBeginExport, GroupId(2)),
                               std::pair(StepKind::kFreeze, GroupId(2))}) {
      auto late = world.Tell(*world.Leader(group), LateStep(kind, group, id, o));
      // Refused, or told that this operation was given up.
      auto told = late.ok() ? shard::DecodeStepAnswer(late->shard_step().answer()) : std::nullopt;
      EXPECT_TRUE(absl::IsFailedPrecondition(late.status()) ||
                  (told && told->outcome == StepOutcome::kAborted))
          << ToString(kind) << " " << late.status();
    }
    EXPECT_EQ(world.OwnerOf("a"), GroupId(2));
    EXPECT_TRUE(world.Carry(MoveOf(world.ShardAt("a").value(), 3)));
    EXPECT_TRUE(world.ReadFilled("a", 20).ok());
    world.Finish();
  }
}

}  // namespace
}  // namespace kvd::sim
