// Several faults at once.
#include <iterator>
#include <set>

#include "tests/cluster/faults/fault.h"

namespace kvd {
namespace {

// Of those that go together: none needs stores that are started in a way of its own, none takes
// more than a process or a link from the cluster.
constexpr const char* kParts[] = {"kill",     "kill-leader", "pause-leader",   "pause-follower",
                                  "cut-pair", "cut-one-way", "isolate-leader", "loss",
                                  "resets",   "bandwidth",   "slow-disk",      "transfer"};

class Storm : public Fault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    std::set<std::string> names;
    while (names.size() < 3) {
      const char* name = kParts[random.Below(std::size(kParts))];
      if (!names.insert(name).second) continue;
      cluster.Note(name);
      parts_.push_back(FindFaultKind(name)->make());
      parts_.back()->Inject(cluster, random);
    }
  }
  void Heal(FaultCluster& cluster, Random& random) override {
    // The last one first: what it changed may rest on what the others had changed.
    for (; !parts_.empty(); parts_.pop_back()) parts_.back()->Heal(cluster, random);
  }

 private:
  std::vector<std::unique_ptr<Fault>> parts_;
};

}  // namespace

std::vector<FaultKind> Storms() {
  return {
      {"storm", "three of the faults of processes, links and leadership at once",
       "writes go on once healed", false, 300, 4000, MakeFault<Storm>},
  };
}

}  // namespace kvd
