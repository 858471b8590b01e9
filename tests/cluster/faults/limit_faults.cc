// Memory, descriptors and processor time that run short.
#include <sys/resource.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/cluster/control_group.h"
#include "tests/cluster/faults/fault.h"

namespace kvd {
namespace {

// Each store in a control group of its own.
class GroupFault : public Fault {
 public:
  void SetUp(RunSetup* setup) override {
    for (int n = 1; n <= setup->cluster.stores; ++n) {
      groups_.push_back(std::make_unique<ControlGroup>(absl::StrCat(setup->name, "-", n)));
    }
    setup->cluster.launcher = [this](int n) { return Group(n).Launcher(); };
  }

 protected:
  ControlGroup& Group(int n) { return *groups_[static_cast<size_t>(n - 1)]; }
  int store_ = 0;

 private:
  std::vector<std::unique_ptr<ControlGroup>> groups_;
};

class MemoryLimit : public GroupFault {
 public:
  void SetUp(RunSetup* setup) override {
    GroupFault::SetUp(setup);
    setup->filler_bytes_max = 16 << 10;
  }
  void Inject(FaultCluster& cluster, Random& random) override {
    store_ = AnyStore(cluster, random);
    cluster.MayEnd(store_, Ending::kAny);
    uint64_t bytes = Group(store_).MemoryBytes() + random.Between(1, 4 << 20);
    cluster.Note(absl::StrCat("store ", store_, " may use ", bytes >> 10, " KiB of memory"));
    Group(store_).LimitMemory(bytes);
  }
  void Heal(FaultCluster&, Random&) override { Group(store_).UnlimitMemory(); }
};

class CpuLimit : public GroupFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    store_ = random.Chance(0.5) ? LeaderOrAny(cluster, random) : AnyStore(cluster, random);
    auto percent = static_cast<int>(random.Between(2, 20));
    cluster.Note(absl::StrCat("store ", store_, " gets ", percent, " % of a processor"));
    Group(store_).LimitCpu(percent);
  }
  void Heal(FaultCluster&, Random&) override { Group(store_).UnlimitCpu(); }
};

class DescriptorLimit : public Fault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    store_ = AnyStore(cluster, random);
    pid_ = cluster.Pid(store_);
    cluster.MayEnd(store_, Ending::kOneLine);
    rlim_t open = 0;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator(absl::StrCat("/proc/", pid_, "/fd"), error)) {
      open += entry.exists(error) ? 1 : 0;
    }
    rlimit limit = {open + random.Below(4), 0};
    KVD_CHECK(prlimit(pid_, RLIMIT_NOFILE, nullptr, &before_) == 0);
    limit.rlim_max = before_.rlim_max;
    cluster.Note(absl::StrCat("store ", store_, " may open ", limit.rlim_cur, " descriptors, ",
                              open, " are"));
    KVD_CHECK(prlimit(pid_, RLIMIT_NOFILE, &limit, nullptr) == 0);
  }
  void Heal(FaultCluster& cluster, Random&) override {
    cluster.Poll();
    if (cluster.Pid(store_) == pid_) prlimit(pid_, RLIMIT_NOFILE, &before_, nullptr);
  }

 private:
  int store_ = 0;
  pid_t pid_ = 0;
  rlimit before_ = {};
};

}  // namespace

std::vector<FaultKind> LimitFaults() {
  return {
      {"memory", "1 to 4 MiB more memory than in use for one store (control group)",
       "it is killed, or ends with one line, and starts again by itself", true, 1000, 6000,
       MakeFault<MemoryLimit>},
      {"cpu", "2 to 20 % of a processor for one store (control group)", "slow, nothing worse",
       false, 1000, 5000, MakeFault<CpuLimit>},
      {"descriptors", "0 to 3 more descriptors than are open for one store (prlimit)",
       "it goes on, or ends with one line and starts again by itself", true, 1000, 6000,
       MakeFault<DescriptorLimit>},
  };
}

}  // namespace kvd
