// Disks that are slow, full, fail or decay, and processes that end at a sync.
#include <fcntl.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "tests/cluster/damage.h"
#include "tests/cluster/disk_image.h"
#include "tests/cluster/faults/fault.h"
#include "tests/cluster/replica_state.h"
#include "tests/cluster/tracer.h"

namespace kvd {
namespace {

// Something that strace does to a store's syncs.
class SyncFault : public Fault {
 public:
  void Heal(FaultCluster&, Random&) override { tracer_.reset(); }
  bool HasStruck() const override { return tracer_->Injected(); }

 protected:
  void Trace(FaultCluster& cluster, int n, const std::string& injection) {
    store_ = n;
    cluster.Note(absl::StrCat("fdatasync of store ", n, ": ", injection));
    tracer_ = std::make_unique<Tracer>(cluster.Pid(n), "fdatasync", injection,
                                       cluster.DataDir(n) + ".strace");
  }

  int store_ = 0;
  std::unique_ptr<Tracer> tracer_;
};

class CrashAtSync : public SyncFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    int n = AnyStore(cluster, random);
    cluster.MayEnd(n, Ending::kKilled);
    Trace(cluster, n, absl::StrCat("signal=SIGKILL:when=", random.Between(1, 200)));
  }
};

class SyncError : public SyncFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    int n = AnyStore(cluster, random);
    cluster.MayEnd(n, Ending::kOneLine);
    Trace(cluster, n, absl::StrCat("error=EIO:when=", random.Between(1, 100)));
  }
  void Heal(FaultCluster& cluster, Random& random) override {
    // What was not synced may be gone: going on would be a lie.
    if (tracer_->Injected() && !cluster.AwaitEnd(store_, 10)) {
      cluster.AddProblem(absl::StrCat("store ", store_, " went on after a sync that failed"));
    }
    SyncFault::Heal(cluster, random);
  }
};

class SlowSync : public SyncFault {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    int n = random.Chance(0.5) ? LeaderOrAny(cluster, random) : AnyStore(cluster, random);
    Trace(cluster, n, absl::StrCat("delay_enter=", random.Between(10, 300) * 1000));
  }
};

// The data lies on a small file system of its own, which another program fills.
class DiskFull : public Fault {
 public:
  void SetUp(RunSetup* setup) override {
    setup->cluster.flags = {"--write-buffer-mb", "1", "--log-keep-mb", "1"};
    setup->filler_bytes_max = 16 << 10;
    for (int n = 1; n <= setup->cluster.stores; ++n) {
      DiskImage(absl::StrCat(setup->directory, "/disk-", n),
                absl::StrCat(setup->directory, "/store-", n), kDiskBytes);
    }
  }
  void Inject(FaultCluster& cluster, Random& random) override {
    store_ = AnyStore(cluster, random);
    cluster.MayEnd(store_, Ending::kOneLine);
    cluster.Note(absl::StrCat("the disk of store ", store_, " is full"));
    ballast_ = cluster.DataDir(store_) + "/ballast";
    Fill(random.Below(2 << 20));
  }
  void Heal(FaultCluster&, Random&) override { std::filesystem::remove(ballast_); }

 private:
  static constexpr uint64_t kDiskBytes = 512 << 20;

  // All but so many bytes.
  void Fill(uint64_t left) {
    int fd = open(ballast_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    KVD_CHECK_MSG(fd >= 0, ballast_);
    struct statvfs space = {};
    KVD_CHECK(fstatvfs(fd, &space) == 0);
    uint64_t free = space.f_bavail * space.f_frsize;
    // Room may go meanwhile: ask for less until it is given.
    uint64_t bytes = free > left ? free - left : 0;
    while (bytes > 0 && posix_fallocate(fd, 0, static_cast<off_t>(bytes)) != 0)
      bytes -= std::min<uint64_t>(bytes, 1 << 20);
    close(fd);
  }

  int store_ = 0;
  std::string ballast_;
};

// One store's files decay while it does not run. Always the same one until it was replaced: two
// damaged copies of three are more than is promised.
class DecayedFiles : public Fault {
 public:
  void SetUp(RunSetup* setup) override {
    setup->cluster.flags = {"--write-buffer-mb", "1", "--log-keep-mb", "4"};
    setup->filler_bytes_max = 4 << 10;
  }
  void Inject(FaultCluster& cluster, Random& random) override {
    if (store_ == 0 || !cluster.Damaged(store_)) store_ = AnyStore(cluster, random);
    cluster.Kill(store_);
    std::vector<std::string> files;
    while (files.empty()) {
      const FileKind& kind = FileKinds()[random.Below(FileKinds().size())];
      files = FilesOf(kind, cluster.DataDir(store_));
      state_ = std::string(kind.folder) == "data";
    }
    auto damage = static_cast<Damage>(random.Below(3));
    auto done = DamageFile(files[random.Below(files.size())], damage, random);
    if (!state_) cluster.MarkDamaged(store_);
    cluster.Note(done.value_or("nothing was damaged"));
  }
  void Heal(FaultCluster& cluster, Random&) override {
    if (state_) MendsItself(cluster, store_);
  }

  // A store whose state alone was damaged starts, finds it and is rebuilt, without a hand.
  static void MendsItself(FaultCluster& cluster, int n) {
    absl::Status whole = cluster.Start(n);
    if (whole.ok()) whole = AwaitUndamaged(cluster, n);
    if (!whole.ok()) {
      cluster.AddProblem(absl::StrCat("store ", n, " did not get over the damage in its state: ",
                                      std::string(whole.message())));
    }
  }

 private:
  int store_ = 0;
  bool state_ = false;
};

// Several places of a store's state decay, half of the time under the running store.
class DecayedState : public DecayedFiles {
 public:
  void Inject(FaultCluster& cluster, Random& random) override {
    store_ = random.Chance(0.5) ? LeaderOrAny(cluster, random) : AnyStore(cluster, random);
    bool running = random.Chance(0.5) && cluster.Running(store_);
    // Stands still meanwhile, so that no file is replaced.
    if (running) {
      kill(cluster.Pid(store_), SIGSTOP);
    } else {
      cluster.Kill(store_);
    }
    const FileKind sorted = {"data SST", "data", "", ".sst"};
    std::vector<std::string> files = FilesOf(sorted, cluster.DataDir(store_));
    for (uint64_t n = random.Between(1, 5); n > 0 && !files.empty(); --n) {
      auto damage = random.Chance(0.5) ? Damage::kFlippedBit : Damage::kZeroedBlock;
      auto done = DamageFile(files[random.Below(files.size())], damage, random);
      cluster.Note(done.value_or("nothing was damaged"));
    }
    if (running) kill(cluster.Pid(store_), SIGCONT);
  }
  void Heal(FaultCluster& cluster, Random&) override { MendsItself(cluster, store_); }

 private:
  int store_ = 0;
};

}  // namespace

std::vector<FaultKind> DiskFaults() {
  return {
      {"crash-at-sync", "SIGKILL at the n-th fdatasync (strace)",
       "writes go on; it starts again by itself", true, 500, 4000, MakeFault<CrashAtSync>},
      {"sync-error", "the n-th fdatasync of a thread gives EIO (strace)",
       "the process ends with one line and starts again by itself", true, 500, 4000,
       MakeFault<SyncError>},
      {"slow-disk", "every fdatasync takes 10 to 300 ms longer (strace)", "slow, nothing worse",
       false, 1000, 5000, MakeFault<SlowSync>},
      {"disk-full", "a 512 MiB ext4 of one store is filled but for 0 to 2 MiB",
       "the store takes in less or nothing, or ends with one line; the others go on; with room it "
       "does too",
       false, 1000, 6000, MakeFault<DiskFull>},
      {"decay", "a flipped bit, a cut file or a zeroed block in a stopped store's files",
       "the store repairs itself, or ends with one line and is replaced; no wrong answer", true,
       300, 2000, MakeFault<DecayedFiles>},
      {"decay-state",
       "flipped bits and zeroed blocks in the state of a store, that runs or does not",
       "the store goes out and is rebuilt from the others by itself; no wrong answer", true, 300,
       2000, MakeFault<DecayedState>},
  };
}

}  // namespace kvd
