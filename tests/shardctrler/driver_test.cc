// Operations carried out in a world where calls are lost, doubled and late and controllers race:
// the course's scenarios "a half-done change is finished by the next controller", "a deposed
// controller is fenced", "four controllers race under an unreliable network".
#include "gtest/gtest.h"
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

}  // namespace
}  // namespace kvd::shardctrler
