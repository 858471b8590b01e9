// What the nemesis is made of, each tool that could lie: that a cut cuts, that a lost write is
// seen. Each test that touches the network runs in a sandbox of its own.
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/storage/rocks_engine.h"
#include "tests/cluster/control_group.h"
#include "tests/cluster/damage.h"
#include "tests/cluster/disk_image.h"
#include "tests/cluster/faults/fault.h"
#include "tests/cluster/load.h"
#include "tests/cluster/nemesis_run.h"
#include "tests/cluster/process.h"
#include "tests/cluster/replica_state.h"
#include "tests/cluster/sandbox.h"
#include "tests/cluster/tracer.h"
#include "tests/scratch_directory.h"

namespace kvd {
namespace {

using testing::HasSubstr;

#define SKIP_WITHOUT_SANDBOX() \
  if (!WhyNoSandbox().empty()) GTEST_SKIP() << WhyNoSandbox()

// Runs the body in a sandbox; what it finds wrong there it says and fails here.
void InSandbox(const std::function<void()>& body) {
  ScratchDirectory scratch;
  std::string log = scratch.path() + "/log";
  int code = WaitForSandbox(StartSandbox(log, [&] {
    body();
    return testing::Test::HasFailure() ? 1 : 0;
  }));
  EXPECT_EQ(code, 0) << ReadAll(log);
}

// A UDP socket of a store's namespace (0: the clients').
class Endpoint {
 public:
  explicit Endpoint(int n) {
    std::thread([&] {
      if (n > 0) {
        int ns = open(absl::StrCat("/run/netns/s", n).c_str(), O_RDONLY);
        EXPECT_EQ(setns(ns, CLONE_NEWNET), 0);
        close(ns);
      }
      fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      sockaddr_in address = AddressOf("0.0.0.0");
      EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }).join();
    int bytes = 4 << 20;
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }
  ~Endpoint() { close(fd_); }

  void Send(int to, const std::string& text) const {
    sockaddr_in address = AddressOf(Network::HostOf(to));
    sendto(fd_, text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
  // Empty if nothing comes within `ms`.
  std::string Receive(int ms) const {
    pollfd polled = {fd_, POLLIN, 0};
    if (poll(&polled, 1, ms) <= 0) return "";
    char buffer[2000];
    ssize_t size = recv(fd_, buffer, sizeof buffer, 0);
    return std::string(buffer, size > 0 ? static_cast<size_t>(size) : 0);
  }
  std::vector<std::string> ReceiveAll() const {
    std::vector<std::string> all;
    for (std::string text = Receive(1000); !text.empty(); text = Receive(200)) all.push_back(text);
    return all;
  }

 private:
  static sockaddr_in AddressOf(const std::string& host) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(7000);
    inet_pton(AF_INET, host.c_str(), &address.sin_addr);
    return address;
  }
  int fd_ = -1;
};

// Whether something sent arrives; sent again for a while, since a link needs a moment to come up.
bool Passes(const Endpoint& from, const Endpoint& to, int to_number, int times = 30) {
  for (int i = 0; i < times; ++i) {
    from.Send(to_number, "ping");
    if (to.Receive(50).empty()) continue;
    while (!to.Receive(100).empty()) {
    }
    return true;
  }
  return false;
}

bool IsCut(const Endpoint& from, const Endpoint& to, int to_number) {
  return !Passes(from, to, to_number, 10);
}

TEST(Network, ACutCutsThisPairInThisDirectionOnly) {
  SKIP_WITHOUT_SANDBOX();
  InSandbox([] {
    Network network(3);
    Endpoint clients(0), one(1), two(2), three(3);
    ASSERT_TRUE(Passes(one, two, 2));
    ASSERT_TRUE(Passes(two, one, 1));
    network.Cut(1, 2);
    EXPECT_TRUE(IsCut(one, two, 2));
    EXPECT_TRUE(Passes(two, one, 1));
    EXPECT_TRUE(Passes(one, three, 3));
    network.Isolate(3);
    EXPECT_TRUE(IsCut(one, three, 3));
    EXPECT_TRUE(IsCut(three, two, 2));
    EXPECT_TRUE(Passes(clients, three, 3));
    network.Heal(1, 2);
    EXPECT_TRUE(Passes(one, two, 2));
    network.HealAll();
    EXPECT_TRUE(Passes(three, two, 2));
  });
}

TEST(Network, LossDuplicationAndShapingDoWhatTheySay) {
  SKIP_WITHOUT_SANDBOX();
  InSandbox([] {
    Network network(2);
    Endpoint one(1), two(2);
    ASSERT_TRUE(Passes(one, two, 2));
    network.Lose(2, 0.3);
    for (int i = 0; i < 400; ++i) one.Send(2, "x");
    size_t arrived = two.ReceiveAll().size();
    EXPECT_GT(arrived, 200u);
    EXPECT_LT(arrived, 360u);
    network.HealAll();
    network.Duplicate(1);
    for (int i = 0; i < 20; ++i) one.Send(2, "x");
    EXPECT_EQ(two.ReceiveAll().size(), 40u);
    network.HealAll();
    network.LimitBandwidth(1, 64);
    for (int i = 0; i < 100; ++i) one.Send(2, std::string(1000, 'x'));
    EXPECT_LT(two.ReceiveAll().size(), 50u);
    network.HealAll();
    for (int i = 0; i < 100; ++i) one.Send(2, std::string(1000, 'x'));
    EXPECT_EQ(two.ReceiveAll().size(), 100u);
  });
}

TEST(Network, ASlowLinkDelaysReordersRepeatsAndDamages) {
  SKIP_WITHOUT_SANDBOX();
  InSandbox([] {
    Network network(2, true);
    Endpoint clients(0), one(1), two(2);
    ASSERT_TRUE(Passes(one, two, 2));
    network.slow_link(1)->Set({std::chrono::milliseconds(80), std::chrono::milliseconds(80)});
    auto start = std::chrono::steady_clock::now();
    one.Send(2, "x");
    EXPECT_EQ(two.Receive(5000), "x");
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(80));
    network.slow_link(1)->Set({std::chrono::milliseconds(0), std::chrono::milliseconds(50)});
    for (int i = 0; i < 100; ++i) one.Send(2, absl::StrCat(100 + i));
    auto arrived = two.ReceiveAll();
    EXPECT_EQ(arrived.size(), 100u);
    EXPECT_FALSE(std::is_sorted(arrived.begin(), arrived.end()));
    network.slow_link(1)->Set({.duplicate = 1});
    for (int i = 0; i < 20; ++i) one.Send(2, "x");
    EXPECT_EQ(two.ReceiveAll().size(), 40u);
    network.slow_link(1)->Set({.corrupt = 1});
    one.Send(2, "x");
    EXPECT_EQ(two.Receive(500), "") << "a damaged packet passed its checksum";
    network.slow_link(1)->Set({.corrupt_unseen = 1});
    std::string sent = "damaged so that no checksum of UDP or TCP tells it";
    one.Send(2, sent);
    std::string received = two.Receive(5000);
    EXPECT_EQ(received.size(), sent.size());
    EXPECT_NE(received, sent);
    ASSERT_TRUE(Passes(clients, one, 1));
    clients.Send(1, sent);
    EXPECT_EQ(one.Receive(5000), sent);
    network.HealAll();
    EXPECT_TRUE(Passes(one, two, 2));
  });
}

TEST(Sandbox, EverythingEndsWithIt) {
  SKIP_WITHOUT_SANDBOX();
  ScratchDirectory scratch;
  std::string mark = scratch.path() + "/mark";
  pid_t sandbox = StartSandbox(scratch.path() + "/log", [&] {
    Network network(1);
    // Keeps a lock for as long as it lives.
    Spawn({"/usr/bin/flock", mark, "/bin/sleep", "1000"}, scratch.path() + "/out");
    std::this_thread::sleep_for(std::chrono::seconds(1000));
    return 0;
  });
  auto locked = [&] {
    return RunProgram({"/usr/bin/flock", "-n", mark, "/bin/true"}).exit_code != 0;
  };
  ASSERT_TRUE(Await([&] { return std::filesystem::exists(mark) && locked(); }, 20))
      << ReadAll(scratch.path() + "/log");
  kill(sandbox, SIGKILL);
  WaitForSandbox(sandbox);
  EXPECT_TRUE(Await([&] { return !locked(); }, 20));
  EXPECT_FALSE(std::filesystem::exists("/run/netns/s1"));
}

// Syncs a file until one fails; its exit code is the number of that one.
pid_t StartSyncer(const std::string& path) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  int fd = open(path.c_str(), O_WRONLY | O_CREAT, 0644);
  while (access((path + ".go").c_str(), F_OK) != 0) usleep(1000);
  int done = 0;
  while (done < 200 && write(fd, "x", 1) == 1 && fdatasync(fd) == 0) ++done;
  _exit(done + 1);
}

TEST(Tracer, TheNthSyncFails) {
  SKIP_WITHOUT_SANDBOX();
  ScratchDirectory scratch;
  std::string path = scratch.path() + "/file";
  pid_t pid = StartSyncer(path);
  Tracer tracer(pid, "fdatasync", "error=EIO:when=7", scratch.path() + "/strace");
  ASSERT_TRUE(tracer.attached());
  EXPECT_FALSE(tracer.Injected());
  std::ofstream(path + ".go") << "go";
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(ExitCode(status), 7);
  EXPECT_TRUE(Await([&] { return tracer.Injected(); }, 10));
}

TEST(Tracer, TheNthSyncKills) {
  SKIP_WITHOUT_SANDBOX();
  ScratchDirectory scratch;
  std::string path = scratch.path() + "/file";
  pid_t pid = StartSyncer(path);
  Tracer tracer(pid, "fdatasync", "signal=SIGKILL:when=5", scratch.path() + "/strace");
  ASSERT_TRUE(tracer.attached());
  std::ofstream(path + ".go") << "go";
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(ExitCode(status), -SIGKILL);
  EXPECT_EQ(std::filesystem::file_size(path), 5u);
}

TEST(Process, IsEndingOnceItIsKilled) {
  ScratchDirectory scratch;
  pid_t pid = Spawn({"/bin/sleep", "60"}, scratch.path() + "/out");
  EXPECT_FALSE(IsEnding(pid));
  // Stopped first, so that there is always something between the signal and the end.
  kill(pid, SIGSTOP);
  EXPECT_FALSE(IsEnding(pid));
  kill(pid, SIGKILL);
  EXPECT_TRUE(IsEnding(pid));
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(ExitCode(status), -SIGKILL);
}

TEST(ControlGroup, MemoryBeyondTheLimitKills) {
  SKIP_WITHOUT_SANDBOX();
  ControlGroup group(absl::StrCat("kvd-test-", getpid()));
  auto words = group.Launcher();
  words.insert(words.end(),
               {"/bin/sh", "-c", "head -c 100000000 /dev/zero | tail -c 90000000 > /dev/null"});
  EXPECT_EQ(RunProgram(words).exit_code, 0);
  group.LimitMemory(20 << 20);
  EXPECT_NE(RunProgram(words).exit_code, 0);
  group.UnlimitMemory();
  EXPECT_EQ(RunProgram(words).exit_code, 0);
}

TEST(ClockJump, MovesTheWallClockOfThePrograms) {
  ScratchDirectory scratch;
  RunSetup setup;
  setup.directory = scratch.path();
  auto fault = FindFaultKind("clock-jump")->make();
  fault->SetUp(&setup);
  auto now = [&] {
    auto words = setup.cluster.launcher(1);
    words.insert(words.end(), {"/bin/date", "+%s"});
    int64_t seconds = 0;
    std::string told = RunProgram(words).output;
    EXPECT_TRUE(absl::SimpleAtoi(told, &seconds)) << told;
    return seconds;
  };
  int64_t before = now();
  std::ofstream(scratch.path() + "/clock-1") << "+7200\n";
  EXPECT_GE(now(), before + 7200);
}

TEST(Damage, ChangesOneBitOrCutsOrZeroes) {
  ScratchDirectory scratch;
  std::string path = scratch.path() + "/file";
  Random random(1);
  for (int i = 0; i < 50; ++i) {
    std::string before(5000, 'x');
    std::ofstream(path, std::ios::binary) << before;
    ASSERT_TRUE(DamageFile(path, Damage::kFlippedBit, random));
    std::string after = ReadAll(path);
    ASSERT_EQ(after.size(), before.size());
    int bits = 0;
    for (size_t at = 0; at < after.size(); ++at)
      bits += __builtin_popcount(static_cast<unsigned char>(after[at] ^ before[at]));
    EXPECT_EQ(bits, 1);
    ASSERT_TRUE(DamageFile(path, Damage::kZeroedBlock, random));
    EXPECT_EQ(ReadAll(path).size(), before.size());
    EXPECT_NE(ReadAll(path).find(std::string(392, '\0')), std::string::npos);
    ASSERT_TRUE(DamageFile(path, Damage::kCutShort, random));
    EXPECT_LT(ReadAll(path).size(), before.size());
  }
  std::ofstream(path, std::ios::binary) << std::string(5000, '\0');
  EXPECT_FALSE(DamageFile(path, Damage::kZeroedBlock, random)) << "zeroes were zeroed";
}

TEST(DiskImage, ACutOfItsPowerLosesWhatWasNotSynced) {
  SKIP_WITHOUT_SANDBOX();
  InSandbox([] {
    ScratchDirectory scratch;
    std::string directory = scratch.path() + "/disk";
    DiskImage disk(scratch.path() + "/image", directory, 64 << 20);
    int folder = open(directory.c_str(), O_RDONLY | O_DIRECTORY);
    for (int life = 1; life <= 2; ++life) {
      std::string path = absl::StrCat(directory, "/file-", life);
      int fd = open(path.c_str(), O_WRONLY | O_CREAT, 0644);
      EXPECT_EQ(write(fd, "synced", 6), 6);
      EXPECT_EQ(fdatasync(fd), 0);
      EXPECT_EQ(fsync(folder), 0);
      EXPECT_EQ(write(fd, "unsynced", 8), 8);
      EXPECT_EQ(ReadAll(path), "syncedunsynced");
      disk.CutPower();
      EXPECT_NE(fdatasync(fd), 0);
      close(fd);
      close(folder);
      disk.RestorePower();
      EXPECT_EQ(ReadAll(path), "synced");
      folder = open(directory.c_str(), O_RDONLY | O_DIRECTORY);
    }
    close(folder);
    EXPECT_EQ(ReadAll(directory + "/file-1"), "synced");
    EXPECT_EQ(umount2(directory.c_str(), 0), 0);
  });
}

TEST(History, ALostWriteAndALongGapAreSeen) {
  History history;
  auto add = [&](check::Operation::Kind kind, std::string argument, uint64_t length, int64_t at) {
    check::Operation op;
    op.kind = kind;
    op.argument = std::move(argument);
    op.length = length;
    op.called = at;
    op.returned = at + 1;
    history.Add("k", op);
  };
  add(check::Operation::Kind::kAppend, "a", 1, 1'000'000);
  add(check::Operation::Kind::kAppend, "b", 2, 3'002'000'000);
  EXPECT_THAT(history.Problems(), testing::IsEmpty());
  EXPECT_EQ(history.longest_gap_ms(), 3001);
  add(check::Operation::Kind::kGet, "", 0, 3'003'000'000);  // reads nothing
  EXPECT_THAT(history.Problems(), testing::ElementsAre(HasSubstr("not linearizable")));
}

TEST(RunReport, IsReadAsItWasWritten) {
  RunReport report;
  report.operations = 5;
  report.longest_gap_ms = 7;
  report.problems = {"one\n  with two lines", "another"};
  RunReport read = RunReport::Decode(report.Encode());
  EXPECT_EQ(read.operations, 5u);
  EXPECT_EQ(read.longest_gap_ms, 7);
  EXPECT_EQ(read.problems, report.problems);
  EXPECT_FALSE(RunReport::Decode("operations 5\n").problems.empty())
      << "half a report counts as well";
}

TEST(FaultCluster, SeesAnEndThatNobodyAllowed) {
  SKIP_WITHOUT_SANDBOX();
  InSandbox([] {
    ScratchDirectory scratch;
    FaultCluster cluster(scratch.path(), ClusterSetup{.stores = 1});
    ASSERT_TRUE(cluster.StartAll().ok());
    for (Ending may : {Ending::kNone, Ending::kOneLine, Ending::kKilled}) {
      ASSERT_TRUE(cluster.Start(1).ok());
      cluster.MayEnd(1, may);
      size_t before = cluster.problems().size();
      kill(cluster.Pid(1), SIGKILL);
      EXPECT_TRUE(cluster.AwaitEnd(1, 10));
      EXPECT_EQ(cluster.problems().size() - before, may == Ending::kKilled ? 0u : 1u);
    }
  });
}

// Ends a store behind the cluster's back.
class PlantedEnd : public Fault {
 public:
  void Inject(FaultCluster& cluster, Random&) override { kill(cluster.Pid(2), SIGKILL); }
  void Heal(FaultCluster& cluster, Random&) override { cluster.AwaitEnd(2, 10); }
};

TEST(Run, ThatFoundAProblemHasFailed) {
  SKIP_WITHOUT_SANDBOX();
  ScratchDirectory scratch;
  FaultKind kind = {"planted", "", "", true, 0, 0, MakeFault<PlantedEnd>};
  RunOptions options;
  options.fault = &kind;
  options.seconds = 1;
  options.clients = 4;
  options.name = absl::StrCat("kvd-test-run-", getpid());
  options.directory = scratch.path();
  volatile pid_t pid = 0;
  RunReport report = RunInSandbox(options, &pid);
  EXPECT_THAT(report.problems, testing::ElementsAre(HasSubstr("store 2 ended with -9")));
  EXPECT_GT(report.operations, 0u) << ReadAll(scratch.path() + "/run.log");
}

// A replica that silently lost a key: planted in the files of a stopped store.
void RemoveKeysWith(const std::string& part, const std::string& data_dir) {
  auto engine = storage::RocksEngine::Open(data_dir + "/data", {});
  ASSERT_TRUE(engine.ok()) << engine.status();
  auto batch = (*engine)->NewBatch();
  int removed = 0;
  auto it = (*engine)->NewIterator({});
  for (it->Seek(""); it->Valid(); it->Next()) {
    if (it->key().find(part) == std::string_view::npos) continue;
    batch->Delete(it->key());
    ++removed;
  }
  EXPECT_GT(removed, 0);
  ASSERT_TRUE((*engine)->Write(*batch).ok());
  ASSERT_TRUE((*engine)->Flush().ok());
}

TEST(ReplicaState, AReplicaThatDiffersIsFound) {
  SKIP_WITHOUT_SANDBOX();
  InSandbox([] {
    ScratchDirectory scratch;
    FaultCluster cluster(scratch.path(), {});
    ASSERT_TRUE(cluster.StartAll().ok());
    ClientOptions options;
    options.addresses = cluster.Addresses();
    auto client = *Client::Connect(options);
    ASSERT_TRUE(client->Put("planted", "value").ok());
    ASSERT_TRUE(client->Put("other", "value").ok());
    EXPECT_TRUE(CompareReplicas(cluster).ok());
    cluster.Stop(2);
    RemoveKeysWith("planted", cluster.DataDir(2));
    ASSERT_TRUE(cluster.Start(2).ok());
    absl::Status different = CompareReplicas(cluster, 5);
    EXPECT_THAT(std::string(different.message()), HasSubstr("differ: key planted"));
  });
}

}  // namespace
}  // namespace kvd
