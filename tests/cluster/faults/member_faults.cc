// Leadership and membership that change under load.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/cluster/faults/fault.h"

namespace kvd {
namespace {

class Transfer : public Fault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    v1::TransferLeadershipRequest request;
    int to = AnyStore(cluster, random);
    request.set_store_id(cluster.StoreIdOf(to));
    client::ClusterClient client(cluster.Addresses(), std::chrono::seconds(3));
    auto answer = client.Transfer(request);
    cluster.Note(absl::StrCat("leadership to store ", to, ": ",
                              answer.ok() ? "done" : std::string(answer.status().message())));
  }
  void Heal(FaultCluster&, Random&) override {}
};

// Three vote, a fourth store takes the place of one that the leader can't reach. The one that was
// replaced is wiped and follows, ready to take the next one's place.
class ReplaceInPartition : public Fault {
 public:
  void SetUp(RunSetup* setup) override { setup->cluster.stores = 4; }
  void Inject(FaultCluster& cluster, Random& random) override {
    int leader = LeaderOrAny(cluster, random);
    do {
      old_ = AnyStore(cluster, random);
    } while (old_ == leader || old_ == spare_);
    cluster.Note(
        absl::StrCat("store ", old_, " can't be reached; store ", spare_, " takes its place"));
    cluster.network().CutBoth(leader, old_);
    v1::ChangeMembershipRequest request;
    request.set_change(v1::ChangeMembershipRequest::REPLACE);
    request.set_store_id(cluster.StoreIdOf(spare_));
    request.set_replaced_store_id(cluster.StoreIdOf(old_));
    client::ClusterClient client(cluster.Addresses(), std::chrono::seconds(3));
    auto answer = client.Change(request);
    if (!answer.ok()) cluster.Note(std::string(answer.status().message()));
  }
  void Heal(FaultCluster& cluster, Random&) override {
    cluster.network().HealAll();
    absl::Status taken = cluster.TakePlace(spare_, cluster.StoreIdOf(old_));
    if (!taken.ok()) return cluster.AddProblem(std::string(taken.message()));
    cluster.Kill(old_);
    std::filesystem::remove_all(cluster.DataDir(old_));
    spare_ = old_;
  }

 private:
  int old_ = 0;
  int spare_ = 4;
};

// The whole directory or the Raft log alone is gone. Nobody lends a hand: the store comes back
// under another id and takes its own place. The next disk is lost only then, since two of three are
// too many.
class LostDisk : public Fault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    store_ = AnyStore(cluster, random);
    bool log_alone = random.Chance(0.5);
    lost_id_ = cluster.StoreIdOf(store_);
    cluster.Note(
        absl::StrCat(log_alone ? "the Raft log" : "the disk", " of store ", store_, " is lost"));
    cluster.Kill(store_);
    cluster.LoseDisk(store_, log_alone);
  }
  void Heal(FaultCluster& cluster, Random&) override {
    absl::Status back = cluster.Start(store_);
    if (back.ok()) back = cluster.AwaitOwnPlace(store_, lost_id_);
    if (!back.ok()) cluster.AddProblem(std::string(back.message()));
  }

 private:
  int store_ = 0;
  uint64_t lost_id_ = 0;
};

}  // namespace

std::vector<FaultKind> MemberFaults() {
  return {
      {"transfer", "leadership is handed to any store", "writes go on", true, 0, 800,
       MakeFault<Transfer>},
      {"replace-in-partition", "a fourth store replaces a voter that the leader can't reach",
       "writes go on", true, 500, 4000, MakeFault<ReplaceInPartition>},
      {"lost-disk", "SIGKILL, the data directory or its raft/ is emptied",
       "it comes back by itself as another replica and takes its own place", true, 200, 3000,
       MakeFault<LostDisk>},
  };
}

}  // namespace kvd
