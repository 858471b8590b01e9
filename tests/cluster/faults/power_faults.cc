// Power that fails: unlike a process that is killed, it takes along what was written but not
// synced.
#include <signal.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "tests/cluster/disk_image.h"
#include "tests/cluster/faults/fault.h"

namespace kvd {
namespace {

class PowerLoss : public Fault {
 public:
  void SetUp(RunSetup* setup) override {
    for (int n = 1; n <= setup->cluster.stores; ++n) {
      disks_.push_back(std::make_unique<DiskImage>(absl::StrCat(setup->directory, "/disk-", n),
                                                   absl::StrCat(setup->directory, "/store-", n),
                                                   kDiskBytes));
    }
  }
  void Inject(FaultCluster& cluster, Random& random) override {
    off_ = Choose(cluster, random);
    for (int n : off_) {
      if (cluster.Running(n)) Halt(cluster.Pid(n));
      Disk(n).CutPower();
    }
    for (int n : off_) {
      cluster.Note(absl::StrCat("the power of store ", n, " is off"));
      cluster.Kill(n);
    }
  }
  void Heal(FaultCluster&, Random&) override {
    for (int n : off_) Disk(n).RestorePower();
  }

 private:
  static constexpr uint64_t kDiskBytes = 512 << 20;

  // Its processors stop, so that it sees no error of its disk.
  static void Halt(pid_t pid) {
    siginfo_t seen = {};
    kill(pid, SIGSTOP);
    waitid(P_PID, static_cast<id_t>(pid), &seen, WSTOPPED | WEXITED | WNOWAIT);
  }
  virtual std::vector<int> Choose(FaultCluster& cluster, Random& random) {
    return {random.Chance(0.5) ? LeaderOrAny(cluster, random) : AnyStore(cluster, random)};
  }
  DiskImage& Disk(int n) { return *disks_[static_cast<size_t>(n - 1)]; }

  std::vector<std::unique_ptr<DiskImage>> disks_;
  std::vector<int> off_;
};

// What a quorum acknowledged is on no disk at all if it was not synced.
class PowerLossOfAll : public PowerLoss {
  std::vector<int> Choose(FaultCluster& cluster, Random&) override {
    std::vector<int> all;
    for (int n = 1; n <= cluster.size(); ++n) all.push_back(n);
    return all;
  }
};

}  // namespace

std::vector<FaultKind> PowerFaults() {
  return {
      {"power-loss", "the power of one store's machine fails: what it has not synced is gone",
       "writes go on; it starts again by itself", true, 200, 4000, MakeFault<PowerLoss>},
      {"power-loss-all", "the power of all stores fails at once: what they have not synced is gone",
       "everything acknowledged is there after the restart", false, 0, 1000,
       MakeFault<PowerLossOfAll>},
  };
}

}  // namespace kvd
