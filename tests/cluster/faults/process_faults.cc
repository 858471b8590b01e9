// Stores that are ended, or stopped for a while, and clocks that jump.
#include <signal.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/cluster/faults/fault.h"

namespace kvd {
namespace {

class KillOne : public Fault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    cluster.Kill(AnyStore(cluster, random));
  }
  void Heal(FaultCluster&, Random&) override {}
};

class KillLeader : public Fault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    cluster.Kill(LeaderOrAny(cluster, random));
  }
  void Heal(FaultCluster&, Random&) override {}
};

class KillAll : public Fault {
 public:
  void Inject(FaultCluster& cluster, Random&) override {
    for (int n = 1; n <= cluster.size(); ++n) cluster.Kill(n);
  }
  void Heal(FaultCluster&, Random&) override {}
};

// Each store in turn, asked to end and started again.
class RollingRestart : public Fault {
 public:
  void Inject(FaultCluster& cluster, Random&) override {
    next_ = next_ % cluster.size() + 1;
    cluster.Stop(next_);
  }
  void Heal(FaultCluster&, Random&) override {}

 private:
  int next_ = 0;
};

class Pause : public Fault {
 public:
  explicit Pause(bool leader) : leader_(leader) {}
  void Inject(FaultCluster& cluster, Random& random) override {
    paused_ = leader_ ? LeaderOrAny(cluster, random) : Follower(cluster, random);
    cluster.Note(absl::StrCat("store ", paused_, " is paused"));
    if (cluster.Running(paused_)) kill(cluster.Pid(paused_), SIGSTOP);
  }
  void Heal(FaultCluster& cluster, Random&) override {
    if (cluster.Running(paused_)) kill(cluster.Pid(paused_), SIGCONT);
  }

 private:
  const bool leader_;
  int paused_ = 0;
};

class PauseLeader : public Pause {
 public:
  PauseLeader() : Pause(true) {}
};

class PauseFollower : public Pause {
 public:
  PauseFollower() : Pause(false) {}
};

// The clock that runs at an even rate is left alone: leases rely on it, wall clocks on nothing.
class WallClockJump : public Fault {
 public:
  void SetUp(RunSetup* setup) override {
    directory_ = setup->directory;
    for (int n = 1; n <= setup->cluster.stores; ++n) SetClock(n, 0);
    setup->cluster.launcher = [this](int n) {
      return std::vector<std::string>{"/usr/bin/env", "LD_PRELOAD=" WALL_CLOCK_LIBRARY,
                                      "WALL_CLOCK_FILE=" + File(n)};
    };
  }
  void Inject(FaultCluster& cluster, Random& random) override {
    static constexpr int kJumps[] = {-7200, -600, -5, 5, 600, 7200};
    // The leader's, some store's, or everyone's.
    auto pick = random.Below(3);
    int jump = kJumps[random.Below(6)];
    int one = pick == 0 ? LeaderOrAny(cluster, random) : AnyStore(cluster, random);
    for (int n = 1; n <= cluster.size(); ++n) {
      if (pick < 2 && n != one) continue;
      cluster.Note(absl::StrCat("the wall clock of store ", n, " jumps by ", jump, " s"));
      SetClock(n, jump);
    }
  }
  void Heal(FaultCluster& cluster, Random& random) override {
    if (random.Chance(0.5)) return;  // the next jump starts from there
    for (int n = 1; n <= cluster.size(); ++n) SetClock(n, 0);
  }

 private:
  std::string File(int n) const { return absl::StrCat(directory_, "/clock-", n); }
  void SetClock(int n, int seconds) {
    // Replaced as a whole: it is read at any time.
    std::string next = File(n) + ".new";
    std::ofstream(next) << seconds << "\n";
    KVD_CHECK(rename(next.c_str(), File(n).c_str()) == 0);
  }

  std::string directory_;
};

}  // namespace

std::vector<FaultKind> ProcessFaults() {
  return {
      {"kill", "SIGKILL of any store", "writes go on; it starts again by itself", true, 200, 4000,
       MakeFault<KillOne>},
      {"kill-leader", "SIGKILL of the leader", "writes go on after an election", true, 200, 4000,
       MakeFault<KillLeader>},
      {"kill-all", "SIGKILL of all stores at once", "all is there after the restart", false, 0,
       1000, MakeFault<KillAll>},
      {"restart", "SIGTERM of each store in turn", "exit code 0, leadership is handed over", true,
       0, 2000, MakeFault<RollingRestart>},
      {"pause-leader", "SIGSTOP, SIGCONT of the leader", "no stale read when it wakes", true, 300,
       5000, MakeFault<PauseLeader>},
      {"pause-follower", "SIGSTOP, SIGCONT of another store", "nobody notices", true, 300, 5000,
       MakeFault<PauseFollower>},
      {"clock-jump", "wall clocks jump by up to 2 h either way", "nobody notices", true, 500, 4000,
       MakeFault<WallClockJump>},
  };
}

}  // namespace kvd
