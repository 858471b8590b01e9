// The simulator in the form that every change runs: a fixed set of seeds, and that a seed replays.
#include "gtest/gtest.h"
#include "tests/sim/cluster.h"

namespace kvd::sim {
namespace {

TEST(Simulation, ASeedReplaysExactly) {
  for (uint64_t seed : {3, 17, 29}) {
    ClusterOptions options;
    options.seed = seed;
    Report first = Cluster(options).Run();
    Report second = Cluster(options).Run();
    EXPECT_EQ(first.ToString(), second.ToString());
    EXPECT_GT(first.operations, 0u);
  }
}

TEST(Simulation, WithoutFaultsNothingIsUnknown) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    ClusterOptions options;
    options.seed = seed;
    options.faults = false;
    Report report = Cluster(options).Run();
    EXPECT_EQ(report.unknown, 0u);
    EXPECT_EQ(report.elections, 1u);
    EXPECT_GT(report.operations, 100u);
  }
}

// Row caches of all sizes are simulated: none, of a few rows, of all.
TEST(Simulation, ReadsAreAnsweredByRowCaches) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    ClusterOptions options;
    options.seed = seed;
    Report report = Cluster(options).Run();
    EXPECT_EQ(report.cached_reads > 0, seed % 3 != 0) << seed;
  }
}

}  // namespace
}  // namespace kvd::sim
