// Many groups on several loops of several stores, with real threads and real logs: every group
// replicates on its own loop, and all loops of a store share its log's syncs.
#include "raft/host_set.h"

#include <atomic>
#include <future>
#include <mutex>
#include <thread>

#include "gtest/gtest.h"
#include "raft/rocks_log_store.h"
#include "raft/runtime/cq_loop.h"
#include "tests/scratch_directory.h"

namespace kvd::raft {
namespace {

constexpr uint64_t kStores = 3;
constexpr uint64_t kLoops = 3;
constexpr uint64_t kGroups = 9;
constexpr uint64_t kCommands = 200;

// Keeps what was applied, in memory: not what is tested here.
class Recorder : public StateMachine {
 public:
  explicit Recorder(ReplicaId replica) : replica_(replica) {}
  ReplicaId replica() const override { return replica_; }
  SnapshotMeta applied() const override { return applied_; }
  Index DurableIndex() override { return Index(); }
  void OnStart(const Configuration& configuration) override {
    applied_.configuration = configuration;
  }
  absl::Status Wipe(ReplicaId) override { return absl::OkStatus(); }
  absl::Status Apply(absl::Span<const ApplyItem> items) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (thread_ == std::thread::id()) thread_ = std::this_thread::get_id();
    same_thread_ = same_thread_ && thread_ == std::this_thread::get_id();
    for (const ApplyItem& item : items) {
      applied_.index = item.entry->index;
      applied_.term = item.entry->term;
      if (item.entry->type == EntryType::kCommand) commands_.push_back(item.entry->data);
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<SnapshotReader>> TakeSnapshot() override {
    return absl::UnimplementedError("not in this test");
  }
  absl::StatusOr<std::unique_ptr<SnapshotStage>> StageSnapshot() override {
    return absl::UnimplementedError("not in this test");
  }
  absl::Status InstallSnapshot(std::unique_ptr<SnapshotStage>, const SnapshotMeta&,
                               ReplicaId) override {
    return absl::UnimplementedError("not in this test");
  }
  void OnRoleChange(bool leads, Term) override { leads_ = leads; }

  bool leads() const { return leads_; }
  std::vector<std::string> commands() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return commands_;
  }
  bool same_thread() const { return same_thread_; }

 private:
  const ReplicaId replica_;
  SnapshotMeta applied_;
  std::atomic<bool> leads_{false};
  mutable std::mutex mutex_;
  std::vector<std::string> commands_;
  std::thread::id thread_;
  bool same_thread_ = true;
};

class Discard : public Proposal {
 public:
  void Finish(absl::Status) override {}
};

struct Store;

// Delivers on the receiving store's first loop, in order and without loss.
class DirectTransport : public Transport {
 public:
  explicit DirectTransport(std::vector<std::unique_ptr<Store>>* stores) : stores_(stores) {}
  void Send(StoreId to, std::vector<GroupMessage> messages) override;
  void SendChunk(StoreId, SnapshotChunk) override {}
  void SendAck(StoreId, SnapshotAck) override {}

 private:
  std::vector<std::unique_ptr<Store>>* const stores_;
};

struct Store {
  Store(StoreId id, std::vector<std::unique_ptr<Store>>* stores) : transport(stores) {
    std::vector<Loop*> places;
    for (uint64_t i = 0; i < kLoops; ++i) {
      loops.push_back(std::make_unique<CqLoop>(std::make_unique<grpc::CompletionQueue>()));
      places.push_back(loops.back().get());
    }
    log = *RocksLogStore::Open(directory.path() + "/raft",
                               [](const std::string& why) { FAIL() << why; });
    HostOptions options;
    options.store = id;
    hosts = std::make_unique<HostSet>(places, log.get(), &transport, options);
    for (uint64_t g = 1; g <= kGroups; ++g) AddGroup(GroupId(g), ReplicaId(id.value()));
  }

  void AddGroup(GroupId group, ReplicaId replica) {
    GroupLog started;
    started.group = group;
    started.replica = replica;
    for (uint64_t i = 1; i <= kStores; ++i) {
      started.start.configuration.voters.push_back({ReplicaId(i), StoreId(i)});
    }
    LogWrite write;
    write.group = group;
    write.replica = replica;
    write.reset = started.start;
    write.hard_state = HardState();
    std::vector<LogWrite> writes;
    writes.push_back(std::move(write));
    log->WriteNow(writes);
    machines[group] = std::make_unique<Recorder>(replica);
    ASSERT_TRUE(hosts->HostOf(group)->StartGroup(std::move(started), machines[group].get()).ok());
  }

  void Run() {
    for (auto& loop : loops) threads.emplace_back([&loop] { loop->Run(); });
  }

  void Stop() {
    for (uint64_t i = 0; i < kLoops; ++i) {
      std::promise<void> stopped;
      loops[i]->Post([&] {
        hosts->Stop(i);
        stopped.set_value();
      });
      stopped.get_future().wait();
    }
    for (auto& loop : loops) loop->Stop();
    for (auto& thread : threads) thread.join();
    for (auto& loop : loops) loop->Drain();
  }

  ScratchDirectory directory;
  std::vector<std::unique_ptr<CqLoop>> loops;
  std::unique_ptr<RocksLogStore> log;
  DirectTransport transport;
  std::map<GroupId, std::unique_ptr<Recorder>> machines;
  std::unique_ptr<HostSet> hosts;
  std::vector<std::thread> threads;
};

void DirectTransport::Send(StoreId to, std::vector<GroupMessage> messages) {
  Store* store = (*stores_)[to.value() - 1].get();
  store->loops[0]->Post([store, messages = std::move(messages)]() mutable {
    store->hosts->OnMessages(std::move(messages));
  });
}

bool Await(const std::function<bool()>& condition) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

TEST(HostSet, GroupsOnSeveralLoopsReplicateAndShareSyncs) {
  std::vector<std::unique_ptr<Store>> stores;
  for (uint64_t i = 1; i <= kStores; ++i)
    stores.push_back(std::make_unique<Store>(StoreId(i), &stores));
  EXPECT_NE(stores[0]->hosts->LoopOf(GroupId(1)), stores[0]->hosts->LoopOf(GroupId(2)));
  EXPECT_EQ(stores[0]->hosts->LoopOf(GroupId(1)), stores[0]->hosts->LoopOf(GroupId(1 + kLoops)));
  for (auto& store : stores) store->Run();
  auto leader = [&](GroupId group) -> Store* {
    for (auto& store : stores) {
      if (store->machines[group]->leads()) return store.get();
    }
    return nullptr;
  };
  for (uint64_t g = 1; g <= kGroups; ++g) {
    ASSERT_TRUE(Await([&] { return leader(GroupId(g)) != nullptr; })) << "group " << g;
  }
  uint64_t syncs_before = stores[0]->log->stats().syncs;
  for (uint64_t n = 0; n < kCommands; ++n) {
    for (uint64_t g = 1; g <= kGroups; ++g) {
      Store* store = leader(GroupId(g));
      ASSERT_NE(store, nullptr);
      store->hosts->LoopOf(GroupId(g))->Post([store, g, n] {
        (void)store->hosts->HostOf(GroupId(g))
            ->Propose(GroupId(g), std::to_string(g) + ":" + std::to_string(n),
                      std::make_unique<Discard>());
      });
    }
  }
  for (uint64_t g = 1; g <= kGroups; ++g) {
    for (auto& store : stores) {
      Recorder& machine = *store->machines[GroupId(g)];
      ASSERT_TRUE(Await([&] { return machine.commands().size() == kCommands; })) << "group " << g;
      auto commands = machine.commands();
      for (uint64_t n = 0; n < kCommands; ++n) {
        EXPECT_EQ(commands[n], std::to_string(g) + ":" + std::to_string(n));
      }
      EXPECT_TRUE(machine.same_thread());
    }
  }
  uint64_t syncs = stores[0]->log->stats().syncs - syncs_before;
  EXPECT_LT(syncs, kCommands * kGroups / 2) << "syncs are not shared";
  for (auto& store : stores) store->Stop();
}

}  // namespace
}  // namespace kvd::raft
