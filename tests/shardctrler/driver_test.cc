// Operations carried out in a world where calls are lost, doubled and late and controllers race:
// the course's scenarios "a half-done change is finished by the next controller", "a deposed
// controller is fenced", "four controllers race under an unreliable network".
#include "shardctrler/driver.h"

#include "gtest/gtest.h"
#include "tests/retry_loop.h"
#include "tests/shardctrler/commands.h"
#include "tests/shardctrler/lone_controller.h"
#include "tests/shardctrler/operation_world.h"

namespace kvd::shardctrler {
namespace {

using std::chrono::seconds;

TEST(DriverTest, AtMostOneGroupServesAKeyAndItHasWhatWasWritten) {
  OperationWorld::Report all;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    auto report = OperationWorld(seed).Run(seconds(10));
    all.writes += report.writes;
    all.refused += report.refused;
    all.moved += report.moved;
    all.split += report.split;
    all.merged += report.merged;
    all.cancelled += report.cancelled;
    all.leaders += report.leaders;
    all.calls_lost += report.calls_lost;
    all.calls_doubled += report.calls_doubled;
  }
  std::printf(
      "%lu writes, %lu refused meanwhile, %lu moved, %lu split, %lu merged, %lu cancelled, "
      "%lu leaders, %lu calls lost, %lu doubled\n",
      all.writes, all.refused, all.moved, all.split, all.merged, all.cancelled, all.leaders,
      all.calls_lost, all.calls_doubled);
  EXPECT_GT(all.moved, 300u);
  EXPECT_GT(all.split, 300u);
  EXPECT_GT(all.merged, 30u);
  EXPECT_GT(all.cancelled, 100u);
}

// Groups that answer or refuse as they are told to.
class FrankGroups : public Port {
 public:
  void Step(GroupId, ShardStep step, Done<StepAnswer> done) override {
    if (step.kind == refused) return done(absl::UnavailableError("it has no leader"));
    StepAnswer answer;
    answer.outcome = StepOutcome::kOpen;
    done(answer);
  }
  void Pull(GroupId, ShardId, OperationId, Timestamp, Done<PullAnswer> done) override {
    pulls.push_back(std::move(done));
  }
  void CreateGroup(GroupId, const std::vector<Replica>&, Done<StepOutcome>) override {}
  void RemoveGroup(GroupId, const std::vector<Replica>&, Done<StepOutcome>) override {}
  void ChangeReplicas(OperationId, GroupId, const std::vector<Replica>&,
                      const std::vector<ReplicaId>&, Done<StepOutcome>) override {}
  void AbandonChange(OperationId, GroupId, const std::vector<Replica>&,
                     const std::vector<ReplicaId>&, Done<StepOutcome>) override {}

  std::optional<StepKind> refused;
  std::vector<Done<PullAnswer>> pulls;
};

// What is told is what is in the way, not what once was.
TEST(DriverTest, TroubleIsOverWhenTheDriverIsPastIt) {
  LoneController controller;
  auto apply = [&](const Command& command) { return controller.Apply(command).value(); };
  apply(BootstrapCommand());
  apply(AdvanceCommand(controller.state().operations().begin()->first, Phase::kRunning,
                       Phase::kDone));
  OperationId created = apply(OpenCommand(GroupOn({1}))).operation;
  apply(AdvanceCommand(created, Phase::kRunning, Phase::kDone));
  OperationId id = apply(OpenCommand(MoveOf(1, 3))).operation;
  RetryLoop loop;
  FrankGroups groups;
  Driver driver(
      &loop, &controller.state(), &groups, [](Command, auto) {}, DriverOptions());
  groups.refused = StepKind::kBeginImport;
  driver.SetLeads(true);
  EXPECT_EQ(driver.Trouble(id), "it has no leader");
  loop.RunRetries(1);
  EXPECT_EQ(driver.Trouble(id), "it has no leader") << "the step before it went well again";
  groups.refused.reset();
  loop.RunRetries(1);
  ASSERT_EQ(groups.pulls.size(), 1u);
  EXPECT_EQ(driver.Trouble(id), "") << "it copies";
  groups.pulls[0](absl::UnavailableError("no room"));
  EXPECT_EQ(driver.Trouble(id), "no room");
}

}  // namespace
}  // namespace kvd::shardctrler
