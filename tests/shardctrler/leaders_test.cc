// Which stores lead, and which get nothing.
#include "shardctrler/leaders.h"

#include "tests/shardctrler/loaded_cluster.h"

namespace kvd::shardctrler {
namespace {

// Who leads is whom the transfers name.
class LeaderTest : public LoadedCluster {
 protected:
  void Lead(StoreId by) {
    for (const auto& [id, group] : state().groups()) {
      for (const Replica& r : group.replicas) {
        if (r.store == by) load_.NoteTransfer(id, by);
      }
      if (!load_.LeaderOf(id)) load_.NoteTransfer(id, group.replicas[0].store);
    }
  }
  size_t SettleLeaders() {
    size_t transfers = 0;
    for (int i = 0; i < 100; ++i) {
      auto next = SpreadLeaders(state(), view_, 2);
      if (next.empty()) return transfers;
      for (const Transfer& t : next) {
        EXPECT_EQ(load_.LeaderOf(t.group), t.from);
        load_.NoteTransfer(t.group, t.to);
      }
      transfers += next.size();
    }
    ADD_FAILURE() << "it never comes to rest";
    return transfers;
  }
  std::map<StoreId, int> Leads() const {
    std::map<StoreId, int> leads;
    for (const auto& [id, store] : state().stores()) leads[id] = 0;
    for (const auto& [group, store] : load_.leaders()) ++leads[store];
    return leads;
  }
  void MakeSlow(StoreId slow) {
    for (int i = 0; i < 5; ++i) {
      for (const auto& [id, store] : state().stores())
        load_.Note(id, {.sync_ms = id == slow ? 400.0 : 2.0, .syncs = 10, .round_trip_ms = {}});
    }
  }
};

TEST_F(LeaderTest, SpreadOverStores) {
  Grow(5);
  Lead(StoreId(2));
  SettleLeaders();
  for (auto [store, count] : Leads()) EXPECT_LE(count, 2) << store.value();
  EXPECT_EQ(SettleLeaders(), 0u);
}

TEST_F(LeaderTest, NothingIsKnownAtFirst) {
  Grow(5);
  EXPECT_EQ(SettleLeaders(), 0u);
  view_.load = nullptr;
  EXPECT_EQ(SettleLeaders(), 0u);
}

TEST_F(LeaderTest, ASlowStoreLeadsNothing) {
  Grow(5);
  Lead(StoreId(2));
  SettleLeaders();
  MakeSlow(StoreId(2));
  SettleLeaders();
  EXPECT_EQ(Leads()[StoreId(2)], 0);
  for (auto [store, count] : Leads()) EXPECT_LE(count, 3) << store.value();
}

TEST_F(LeaderTest, AStoreThatDrainsLeadsNothing) {
  Grow(5);
  Lead(StoreId(3));
  Drain(3);
  SettleLeaders();
  EXPECT_EQ(Leads()[StoreId(3)], 0);
}

TEST_F(LeaderTest, WhoIsSilentIsGivenNothing) {
  Grow(5);
  Lead(StoreId(2));
  int before = Leads()[StoreId(4)];
  view_.silence[StoreId(4)] = std::chrono::seconds(5);
  EXPECT_GT(SettleLeaders(), 0u);
  EXPECT_LE(Leads()[StoreId(4)], before);
}

TEST_F(LeaderTest, AStoreWithoutRoomIsGivenNothing) {
  Grow(5);
  Lead(StoreId(2));
  int before = Leads()[StoreId(4)];
  StoreReport report;
  report.disk_low = true;
  load_.Note(StoreId(4), report);
  EXPECT_GT(SettleLeaders(), 0u);
  EXPECT_LE(Leads()[StoreId(4)], before);
}

TEST_F(LeaderTest, ASlowStoreGetsNoReplicas) {
  Grow(5);
  MakeSlow(StoreId(5));
  Drain(5);
  Rest();
  Do(StateCommand(5, StoreState::kServing));
  Drain(4);
  Rest();
  EXPECT_FALSE(state().HoldsReplica(StoreId(4)));
  size_t there = 0;
  for (const auto& [id, group] : state().groups()) {
    for (const Replica& r : group.replicas) there += r.store == StoreId(5) ? 1 : 0;
  }
  EXPECT_LE(there, 1u) << "the controller's, which wants five";
}

}  // namespace
}  // namespace kvd::shardctrler
