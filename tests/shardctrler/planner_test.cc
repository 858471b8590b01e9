// Looks that are spared give what they would have given.
#include "shardctrler/planner.h"

#include <random>

#include "tests/shardctrler/obedient_cluster.h"

namespace kvd::shardctrler {
namespace {

class PlannerTest : public ObedientCluster {
 protected:
  PlannerTest() {
    view_.load = &load_;
    view_.dwelling = &dwelling_;
  }

  // What the scheduler says, looking at everything.
  std::vector<std::string> Wanted() {
    View view = view_;
    view.merges_from = planner_.merges_from();
    return Told(Schedule(state(), view));
  }
  static std::vector<std::string> Told(const std::vector<Operation>& operations) {
    std::vector<std::string> told;
    for (const Operation& o : operations) told.push_back(Encode(OpenCommand(o)));
    return told;
  }
  void Tell(std::mt19937& random) {
    const auto& shards = state().shards().shards();
    auto it = std::next(shards.begin(), static_cast<std::ptrdiff_t>(random() % shards.size()));
    ShardReport report;
    report.epoch = it->second.epoch;
    report.group = it->second.group;
    report.bytes = random() % (80 << 20);
    report.reads = random() % 3'000;
    load_.Note(it->second.id, report);
  }

  ClusterLoad load_;
  Dwelling dwelling_;
  Planner planner_;
  MonotonicTime now_;
};

TEST_F(PlannerTest, PlansAreTheSchedulersWhateverHappens) {
  std::mt19937 random(1);
  SplitInto(60);
  uint64_t next = 2, begun = 0;
  for (int round = 0; round < 3'000; ++round) {
    switch (random() % 12) {
      case 0:
        if (next <= 20) Join({StoreNumber(next++, random() % 2 == 0 ? "a" : "b")});
        break;
      case 1: {
        auto state_now = random() % 3 == 0 ? StoreState::kDraining : StoreState::kServing;
        Command command = StateCommand(1 + random() % (next - 1), state_now);
        EXPECT_EQ(controller_.Apply(command).ok(), other_.Apply(command).ok());
        break;
      }
      case 2: Tell(random); break;
      case 3: now_ += std::chrono::seconds(random() % 20); break;
      case 4:
        view_.silence[StoreId(1 + random() % (next - 1))] = std::chrono::seconds(random() % 600);
        break;
      case 5: view_.silence.clear(); break;
      case 6: Step(); break;
      case 7: Do(SetCommand("auto-balance", random() % 2)); break;
      default: break;
    }
    load_.Follow(state());
    dwelling_.Follow(state(), now_);
    std::vector<std::string> wanted = Wanted();
    std::vector<Operation> planned = planner_.Next(state(), view_);
    ASSERT_EQ(Told(planned), wanted) << round;
    EXPECT_EQ(Told(planner_.last()), wanted);
    begun += planned.size();
    for (Operation& o : planned) Do(OpenCommand(std::move(o)));
  }
  EXPECT_GT(begun, 200u);
  EXPECT_GT(planner_.spared(), 500u);
}

}  // namespace
}  // namespace kvd::shardctrler
