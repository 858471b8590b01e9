// The hot pieces one by one, so that a regression is seen without a cluster. Times are per
// operation and this machine's: compare two builds, never two machines.
#include <benchmark/benchmark.h>
#include <rocksdb/db.h>

#include "proto/check.h"
#include "proto/crc32c.h"
#include "raft/core/core.h"
#include "server/shard/command.h"
#include "server/storage/mvcc_reader.h"
#include "server/storage/rocks_engine.h"
#include "tests/scratch_directory.h"

namespace kvd {
namespace {

constexpr GroupId kGroup{1};
constexpr uint64_t kKeys = 100'000;

std::string KeyOf(uint64_t n) { return "bench/" + std::to_string(1'000'000 + n); }

shard::Command PutCommand() {
  shard::Command command;
  shard::Operation op;
  op.key = KeyOf(7);
  op.value = std::string(256, 'v');
  command.timestamp = Timestamp(1);
  command.operations.push_back(std::move(op));
  return command;
}

void CommandEncode(benchmark::State& state) {
  shard::Command command = PutCommand();
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(shard::Encode(command));
}
BENCHMARK(CommandEncode);

void CommandDecode(benchmark::State& state) {
  std::string bytes = shard::Encode(PutCommand());
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(shard::DecodeCommand(bytes));
}
BENCHMARK(CommandDecode);

storage::WriteBatch& AddVersion(storage::WriteBatch& batch, uint64_t n, Timestamp at) {
  static const std::string value(256, 'v');
  std::string key = KeyOf(n);
  storage::Version version;
  version.value = value;
  version.crc32c = ValueChecksum(key, value);
  batch.Put(storage::VersionKey(kGroup, key, at), storage::Encode(version));
  return batch;
}

struct Loaded {
  Loaded() {
    auto opened = storage::RocksEngine::Open(directory.path() + "/data", {});
    KVD_CHECK(opened.ok());
    engine = *std::move(opened);
    for (uint64_t n = 0; n < kKeys; ++n) {
      auto batch = engine->NewBatch();
      KVD_CHECK(engine->Write(AddVersion(*batch, n, Timestamp(1))).ok());
    }
  }
  ScratchDirectory directory;
  std::unique_ptr<storage::RocksEngine> engine;
};

void MvccGet(benchmark::State& state) {
  Loaded loaded;
  Random random(1);
  storage::MvccReader reader(loaded.engine.get(), kGroup);
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(reader.Get(KeyOf(random.Below(kKeys)), Timestamp(9)));
}
BENCHMARK(MvccGet);

void MvccScan100(benchmark::State& state) {
  Loaded loaded;
  Random random(1);
  storage::MvccReader reader(loaded.engine.get(), kGroup);
  for ([[maybe_unused]] auto _ : state) {
    int rows = 0;
    storage::ScanOptions options;
    options.range.start = KeyOf(random.Below(kKeys - 100));
    options.at = Timestamp(9);
    KVD_CHECK(
        reader.Scan(options, [&](const auto&, auto, const auto&) { return ++rows < 100; }).ok());
  }
  state.SetItemsProcessed(100 * state.iterations());
}
BENCHMARK(MvccScan100);

// What a scan over the network is held against. From sorted files, where nearly everything lies.
void RocksScan100(benchmark::State& state) {
  Loaded loaded;
  KVD_CHECK(loaded.engine->Flush().ok());
  Random random(1);
  for ([[maybe_unused]] auto _ : state) {
    rocksdb::ReadOptions options;
    options.total_order_seek = true;
    std::unique_ptr<rocksdb::Iterator> it(loaded.engine->db()->NewIterator(options));
    size_t bytes = 0;
    it->Seek(storage::VersionsPrefix(kGroup, KeyOf(random.Below(kKeys - 100))));
    for (int rows = 0; rows < 100; ++rows, it->Next()) {
      KVD_CHECK(it->Valid());
      bytes += it->key().size() + it->value().size();
    }
    benchmark::DoNotOptimize(bytes);
  }
  state.SetItemsProcessed(100 * state.iterations());
}
BENCHMARK(RocksScan100);

// Of so many versions in one batch.
void BatchApply(benchmark::State& state) {
  Loaded loaded;
  Random random(1);
  uint64_t at = 1;
  for ([[maybe_unused]] auto _ : state) {
    auto batch = loaded.engine->NewBatch();
    for (int64_t i = 0; i < state.range(0); ++i)
      AddVersion(*batch, random.Below(kKeys), Timestamp(++at));
    KVD_CHECK(loaded.engine->Write(*batch).ok());
  }
  state.SetItemsProcessed(state.range(0) * state.iterations());
}
BENCHMARK(BatchApply)->Arg(1)->Arg(64);

class NoReader : public raft::LogReader {
 public:
  std::vector<raft::EntryPtr> Read(Index, Index, size_t) const override { return {}; }
};

// A leader by its own vote: proposals of one turn, their output, their write, their application.
void CoreRound(benchmark::State& state) {
  NoReader reader;
  raft::InitialState initial;
  initial.start.configuration.voters = {{ReplicaId(1), StoreId(1)}};
  MonotonicTime now(std::chrono::seconds(1));
  raft::Core core(ReplicaId(1), {}, initial, &reader, now, 1);
  auto settle = [&] {
    for (int i = 0; i < 3; ++i) {
      raft::Output output = core.TakeOutput();
      if (!output.entries.empty())
        core.OnPersisted(now, output.entries.back()->index, output.entries.back()->term);
      if (!output.committed.empty()) core.OnApplied(output.committed.back()->index);
    }
  };
  core.Campaign(now);
  settle();
  KVD_CHECK(core.IsLeader());
  std::string command(300, 'c');
  for ([[maybe_unused]] auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) KVD_CHECK(core.Propose(now, command).ok());
    settle();
    core.Compact(core.applied_index());
  }
  state.SetItemsProcessed(state.range(0) * state.iterations());
}
BENCHMARK(CoreRound)->Arg(1)->Arg(64);

}  // namespace
}  // namespace kvd

BENCHMARK_MAIN();
