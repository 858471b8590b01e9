// What the controller's decisions cost and move at some scale, as a table of figures.
//
//   scale [stores] [groups] [shards] [turns]
//
// `turns`: decisions of each scenario at most; 0, the default: until it comes to rest.
#include <cstdio>
#include <cstdlib>

#include "tests/shardctrler/large_cluster.h"

int main(int argc, char** argv) {
  using namespace kvd::shardctrler;
  LargeOptions options;
  auto argument = [&](int i, uint64_t initial) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : initial;
  };
  options.stores = argument(1, options.stores);
  options.groups = argument(2, options.groups);
  options.shards = argument(3, options.shards);
  uint64_t turns = argument(4, 0);
  LargeCluster cluster(options);
  std::printf("memory: state %.0f MB, loads %.0f MB\n",
              static_cast<double>(cluster.state_bytes()) / 1e6,
              static_cast<double>(cluster.load_bytes()) / 1e6);
  auto run = [&](const char* what) {
    Effort effort;
    if (turns == 0) {
      effort = cluster.Settle();
    } else {
      for (uint64_t i = 0; i < turns && cluster.Turn(&effort); ++i) continue;
    }
    std::printf("%s: %s\n", what, effort.ToString().c_str());
    std::fflush(stdout);
  };
  run("at rest");
  // Once all pairs of neighbours have been looked at.
  Effort looking, idle;
  for (uint64_t i = 0; i < 2 + options.shards / kMergesLookedAt; ++i) cluster.Turn(&looking);
  for (int i = 0; i < 100; ++i) cluster.Turn(&idle);
  std::printf("looking on: %s\nnothing has changed: %s\n", looking.ToString().c_str(),
              idle.ToString().c_str());
  cluster.Lose(0);
  run("a zone is lost");
  cluster.Join(0, options.stores / options.zones);
  run("as many stores join");
  cluster.Join(1, options.stores / 50);
  run("2 % more join");
  return 0;
}
