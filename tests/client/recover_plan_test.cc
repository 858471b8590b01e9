// What kvctl recover makes of what stores say of their replicas.
#include "client/kvctl/recover_plan.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvd::kvctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Replica {
  uint64_t store;
  uint64_t term;
  uint64_t last;
  bool leads = false;
};

// A cluster of so many stores, of which those that are given a replica answer.
class World {
 public:
  explicit World(uint64_t stores) : stores_(stores) { members_.set_cluster_id(7); }

  // Of voters on `on`, whose replica on store n has the id 100 * group + n.
  World& Add(uint64_t group, const std::vector<uint64_t>& on, const std::vector<Replica>& there) {
    for (const Replica& r : there) {
      v1::GroupStatus* status = up_[r.store].add_groups();
      status->set_group_id(group);
      status->set_replica_id(100 * group + r.store);
      status->set_last_term(r.term);
      status->set_last_index(r.last);
      status->set_role(r.leads ? v1::GroupStatus::LEADER : v1::GroupStatus::FOLLOWER);
      for (uint64_t store : on) {
        auto* replica = status->add_replicas();
        replica->set_replica_id(100 * group + store);
        replica->set_store_id(store);
        replica->set_voter(true);
      }
    }
    return *this;
  }
  v1::StatusResponse& store(uint64_t id) { return up_[id]; }
  RecoveryPlan Plan(const std::set<uint64_t>& groups = {}) {
    StoreAnswers answers;
    v1::MembersResponse members = members_;
    for (uint64_t id = 1; id <= stores_; ++id) {
      auto* store = members.add_stores();
      store->set_store_id(id);
      store->set_address(absl::StrCat("s", id, ":1"));
      if (up_.contains(id)) {
        answers.emplace(id, up_[id]);
      } else {
        answers.emplace(id, absl::UnavailableError("nobody is there"));
      }
    }
    return PlanRecovery(members, answers, groups);
  }

 private:
  const uint64_t stores_;
  v1::MembersResponse members_;
  std::map<uint64_t, v1::StatusResponse> up_;
};

std::string Said(const absl::Status& status) { return std::string(status.message()); }

TEST(RecoveryPlanTest, GroupsWithAMajorityAreWhole) {
  World world(3);
  world.Add(1, {1, 2, 3}, {{1, 4, 9, true}, {2, 4, 9}});
  // Nobody leads at the moment.
  world.Add(2, {1, 2, 3}, {{1, 4, 9}, {2, 4, 8}});
  RecoveryPlan plan = world.Plan();
  EXPECT_THAT(plan.lost, IsEmpty());
  EXPECT_EQ(plan.whole.at(1), 1u);
  EXPECT_EQ(plan.whole.at(2), 0u);
  std::string text = PlanText(plan, 0, false);
  EXPECT_THAT(text, HasSubstr("2 groups are whole: 1, 2\n"));
  EXPECT_THAT(text, HasSubstr("nothing is to be recovered"));
  EXPECT_THAT(Said(CheckChoice(plan, {1, 1, "4:9", {}})),
              HasSubstr("group 1 has a majority, led by store 1"));
}

TEST(RecoveryPlanTest, TheBestSurvivorHasTheHighestTermThenTheMost) {
  World world(5);
  world.Add(2, {1, 2, 3, 4, 5}, {{1, 4, 90}, {2, 5, 20}});
  world.Add(1, {1}, {{1, 1, 1, true}});
  RecoveryPlan plan = world.Plan();
  ASSERT_EQ(plan.lost.size(), 1u);
  const LostGroup& lost = plan.lost[0];
  EXPECT_EQ(lost.survivors[0].store, 2u);
  EXPECT_THAT(lost.gone_stores, ElementsAre(3, 4, 5));
  EXPECT_THAT(lost.other_stores, ElementsAre(1));
  EXPECT_TRUE(lost.may_lose);
  EXPECT_THAT(plan.commands, ElementsAre("kvctl --connect s1:1,s2:1 store remove 3 --lost",
                                         "kvctl --connect s1:1,s2:1 store remove 4 --lost",
                                         "kvctl --connect s1:1,s2:1 store remove 5 --lost",
                                         "kvctl --connect s1:1,s2:1 recover --group 2 --store 2 "
                                         "--at 5:20 --yes"));
  EXPECT_THAT(Said(CheckChoice(plan, {2, 1, "4:90", {}})),
              HasSubstr("store 2 has more of group 2"));
  EXPECT_THAT(Said(CheckChoice(plan, {2, 2, "5:20", {}})), HasSubstr("store 3 is not removed"));
  world.store(2).add_removed_stores(3);
  world.store(2).add_removed_stores(4);
  world.store(2).add_removed_stores(5);
  plan = world.Plan();
  EXPECT_EQ(plan.commands.size(), 1u);
  EXPECT_TRUE(CheckChoice(plan, {2, 2, "5:20", {}}).ok());
  EXPECT_THAT(Said(CheckChoice(plan, {2, 2, "5:21", {}})), HasSubstr("is at 5:20, not at 5:21"));
  EXPECT_THAT(Said(CheckChoice(plan, {2, 3, "5:20", {}})), HasSubstr("store 3 does not answer"));
  EXPECT_THAT(Said(CheckChoice(plan, {9, 1, "5:20", {}})), HasSubstr("there is no group 9"));
}

// Two of four are left: each majority of three had one of them.
TEST(RecoveryPlanTest, WhereEveryMajorityHasASurvivorNothingIsLost) {
  World world(4);
  world.Add(1, {1}, {{1, 1, 1, true}});
  world.Add(2, {1, 2, 3, 4}, {{1, 4, 9}, {2, 4, 8}});
  RecoveryPlan plan = world.Plan();
  ASSERT_EQ(plan.lost.size(), 1u);
  EXPECT_FALSE(plan.lost[0].may_lose);
  EXPECT_THAT(PlanText(plan, 0, false), HasSubstr("nothing that was acknowledged is lost"));
  EXPECT_THAT(PlanText(plan, 0, true), HasSubstr("\"may_lose\": false"));
}

TEST(RecoveryPlanTest, TheControllerGoesFirstAndGivesAllUp) {
  World world(5);
  world.Add(2, {1, 4, 5}, {{1, 2, 8}});
  world.Add(1, {1, 2, 3}, {{1, 4, 9}});
  RecoveryPlan plan = world.Plan();
  EXPECT_THAT(plan.commands,
              ElementsAre("kvctl --connect s1:1 recover --group 1 --store 1 --at 4:9 --gone "
                          "2,3,4,5 --yes",
                          "kvctl --connect s1:1 recover --group 2 --store 1 --at 2:8 --yes"));
  EXPECT_THAT(Said(CheckChoice(plan, {2, 1, "2:8", {}})), HasSubstr("recover it first"));
  EXPECT_THAT(Said(CheckChoice(plan, {1, 1, "4:9", {2, 3, 4}})),
              HasSubstr("store 5 (s5:1: nobody is there) does not answer and is not named"));
  EXPECT_THAT(Said(CheckChoice(plan, {1, 1, "4:9", {1, 2, 3, 4, 5}})),
              HasSubstr("store 1 answers"));
  EXPECT_TRUE(CheckChoice(plan, {1, 1, "4:9", {2, 3, 4, 5}}).ok());
}

TEST(RecoveryPlanTest, WhatIsInTheWayIsSaid) {
  World world(3);
  world.Add(1, {1}, {{1, 1, 1, true}});
  world.Add(2, {1, 2, 3}, {{1, 4, 9}});
  world.store(1).mutable_groups(1)->set_recovery_refusal("entry 7 is damaged\x1b[2J");
  RecoveryPlan plan = world.Plan();
  EXPECT_THAT(Said(CheckChoice(plan, {2, 1, "4:9", {}})), HasSubstr("group 2: entry 7 is damaged"));
  // It never reaches the terminal as it is.
  EXPECT_THAT(PlanText(plan, 0, false), Not(HasSubstr("\x1b")));
}

TEST(RecoveryPlanTest, AGroupWithoutAnySurvivorIsNotHidden) {
  World world(3);
  world.Add(1, {1}, {{1, 1, 1, true}});
  RecoveryPlan plan = world.Plan({1, 2});
  ASSERT_EQ(plan.lost.size(), 1u);
  EXPECT_THAT(PlanText(plan, 0, false), HasSubstr("no store that answers has a replica of it"));
  EXPECT_THAT(plan.commands, IsEmpty());
  EXPECT_THAT(Said(CheckChoice(plan, {2, 1, "4:9", {}})), HasSubstr("store 1 has no replica"));
}

}  // namespace
}  // namespace kvd::kvctl
