// Two of three stores are gone for good while clients go on asking, and an operator has the third
// one go on alone (Core::StandAlone): everything that was acknowledged is there, once, before and
// after, and the old ones do no harm when they come back.
#include <algorithm>
#include <optional>

#include "gtest/gtest.h"
#include "tests/sim/cluster.h"

namespace kvd::sim {
namespace {

// Kept of the log: less than what is there, and enough for who comes by snapshot to catch up while
// clients go on.
constexpr uint64_t kFewEntries = 200;

bool AwaitIdle(Cluster& cluster) {
  for (auto& client : cluster.clients()) client->Stop();
  return cluster.Await(
      [&] {
        return std::all_of(cluster.clients().begin(), cluster.clients().end(),
                           [](const auto& client) { return client->idle(); });
      },
      std::chrono::seconds(20));
}

absl::Status StandAlone(Cluster& cluster, SimStore& store) {
  raft::Host::AloneRequest request;
  request.replica = store.core().id();
  request.last_index = store.core().log().last_index();
  request.last_term = store.core().log().last_term();
  auto result = std::make_shared<std::optional<absl::Status>>();
  store.process().host->StandAlone(kGroup, request,
                                   [result](const absl::Status& status) { *result = status; });
  if (!cluster.Await([&] { return result->has_value(); }))
    return absl::DeadlineExceededError("no answer");
  return **result;
}

size_t Voters(Cluster& cluster) {
  SimStore* leader = cluster.Leader();
  if (leader == nullptr || leader->core().configuration().IsJoint()) return 0;
  return leader->core().configuration().voters.size();
}

// Who led has all that was acknowledged, so clients may ask all the time and nothing may be lost.
void RunLostMajority(uint64_t seed, uint64_t log_entries_kept) {
  ClusterOptions options;
  options.seed = seed;
  options.voters = 3;
  options.faults = false;
  options.log_entries_kept = log_entries_kept;
  Cluster cluster(options);
  cluster.StartClients(5);
  cluster.Elapse(std::chrono::seconds(3));
  SimStore* survivor = cluster.Leader();
  ASSERT_NE(survivor, nullptr);
  std::vector<StoreId> gone;
  for (auto& [id, store] : cluster.stores()) {
    if (store.get() == survivor) continue;
    gone.push_back(id);
    store->Crash();
  }
  EXPECT_EQ(StandAlone(cluster, *survivor).code(), absl::StatusCode::kFailedPrecondition);
  cluster.Elapse(std::chrono::seconds(5));
  ASSERT_FALSE(survivor->core().IsLeader());
  absl::Status alone = StandAlone(cluster, *survivor);
  ASSERT_TRUE(alone.ok()) << alone;
  EXPECT_EQ(cluster.Leader(), survivor);
  EXPECT_EQ(Voters(cluster), 1u);
  cluster.Elapse(std::chrono::seconds(2));
  // One after the other: each reaches a member of the group, and ends there.
  for (StoreId id : gone) {
    SimStore& store = *cluster.stores().at(id);
    store.Start();
    ASSERT_TRUE(cluster.Await([&] { return store.core().removed(); })) << id.value();
    EXPECT_FALSE(store.core().IsLeader());
  }
  for (size_t voters = 2; voters <= 3; ++voters) {
    cluster.AddStore();
    ASSERT_TRUE(cluster.Await([&] { return Voters(cluster) == voters; })) << cluster.Describe();
  }
  // It is a group like any other: it stands the loss of the one that all came from.
  cluster.Elapse(std::chrono::seconds(1));
  survivor->Crash();
  ASSERT_TRUE(cluster.Await([&] { return cluster.Leader() != nullptr; }));
  cluster.Elapse(std::chrono::seconds(2));
  survivor->Start();
  ASSERT_TRUE(AwaitIdle(cluster));
  cluster.Elapse(std::chrono::seconds(3));
  cluster.CheckHistories();
  uint64_t operations = 0;
  for (auto& client : cluster.clients()) operations += client->operations();
  EXPECT_GT(operations, 100u);
}

TEST(LostMajority, TheSurvivorGoesOnAndGrows) { RunLostMajority(1, 0); }
TEST(LostMajority, NewReplicasComeBySnapshot) { RunLostMajority(2, kFewEntries); }
TEST(LostMajority, Seeds) {
  for (uint64_t seed = 3; seed <= 12; ++seed)
    RunLostMajority(seed, seed % 2 == 0 ? kFewEntries : 0);
}

}  // namespace
}  // namespace kvd::sim
