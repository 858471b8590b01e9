// The hash by which replicas are compared: the same whatever a store has thrown away of what nobody
// may ask for, another one after any change that somebody could see.
#include "server/shard/state_hash.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "raft/runtime/random.h"
#include "server/shard/data_group.h"
#include "server/storage/memory_engine.h"
#include "server/storage/rocks_engine.h"
#include "tests/scratch_directory.h"

namespace kvd::shard {
namespace {

constexpr GroupId kGroup{1};
constexpr Timestamp kSafePoint{500};
constexpr Timestamp kClock{1000};

using storage::VersionKind;

class StateHashTest : public testing::TestWithParam<bool> {
 protected:
  StateHashTest() { engine_ = NewEngine("data"); }

  std::unique_ptr<storage::Engine> NewEngine(const std::string& name) {
    if (!GetParam()) return std::make_unique<storage::MemoryEngine>();
    storage::RocksEngineOptions options;
    options.safe_point = [](const storage::Engine&, GroupId) { return kSafePoint; };
    return *storage::RocksEngine::Open(directory_.path() + "/" + name, options);
  }

  static std::string Value(const std::string& key, VersionKind kind, uint64_t expiry,
                           const std::string& value) {
    storage::Version version;
    version.kind = kind;
    version.writer = {ClientId(7), Sequence(value.size() + 1)};
    version.expiry = Timestamp(expiry);
    version.crc32c = kind == VersionKind::kValue ? ValueChecksum(key, value) : 0;
    version.value = value;
    return storage::Encode(version);
  }

  void Put(const std::string& engine_key, const std::string& value) {
    auto batch = engine_->NewBatch();
    batch->Put(engine_key, value);
    ASSERT_TRUE(engine_->Write(*batch).ok());
  }

  void Write(const std::string& key, uint64_t timestamp, VersionKind kind, uint64_t expiry = 0) {
    Put(storage::VersionKey(kGroup, key, Timestamp(timestamp)),
        Value(key, kind, expiry, absl::StrCat("value ", timestamp)));
  }

  void Delete(const std::string& engine_key) {
    auto batch = engine_->NewBatch();
    batch->Delete(engine_key);
    ASSERT_TRUE(engine_->Write(*batch).ok());
  }

  // Histories of all shapes, on both sides of the safe point.
  void Fill(Random& random) {
    for (int k = 0; k < 60; ++k) {
      std::string key = absl::StrCat("key", k);
      for (uint64_t timestamp = random.Below(300) + 1; timestamp < 1000;
           timestamp += random.Below(300) + 1) {
        auto kind = random.Chance(0.2)   ? VersionKind::kTombstone
                    : random.Chance(0.2) ? VersionKind::kOutcome
                                         : VersionKind::kValue;
        bool expires = kind == VersionKind::kValue && random.Chance(0.3);
        Write(key, timestamp, kind, expires ? timestamp + random.Below(600) : 0);
      }
    }
    GroupMeta meta;
    meta.safe_point = meta.floor = kSafePoint;
    ASSERT_TRUE(meta.shards.Restore({ShardId(1), KeyRange(), Epoch(1)}));
    StepEffect effect;
    effect.changed = {ShardId(1)};
    auto batch = engine_->NewBatch();
    meta.StoreSafePoint(*batch, kGroup);
    meta.StoreShards(effect, *batch, kGroup);
    meta.fence = OperationId(3);
    meta.StoreFence(*batch, kGroup);
    ASSERT_TRUE(engine_->Write(*batch).ok());
  }

  void Compact(bool all_levels, Random& random) {
    if (GetParam()) {
      ASSERT_TRUE(static_cast<storage::RocksEngine&>(*engine_).CompactAll().ok());
      return;
    }
    storage::GcFilter filter([](GroupId) { return kSafePoint; }, all_levels);
    static_cast<storage::MemoryEngine&>(*engine_).Collect(
        std::move(filter), [&] { return all_levels || random.Chance(0.5); });
  }

  // The state goes to another replica as a snapshot.
  absl::Status Send(storage::Engine& target, std::function<absl::Status()> on_damaged) {
    GroupMeta meta;
    meta.replica = ReplicaId(1);
    meta.applied.index = Index(40);
    meta.clock = kClock;
    auto batch = engine_->NewBatch();
    meta.StoreApplied(*batch, kGroup);
    EXPECT_TRUE(engine_->Write(*batch).ok());
    DataGroupOptions options;
    options.snapshot_chunk_bytes = 300;
    auto from = DataGroup::Open(engine_.get(), kGroup, options);
    auto to = DataGroup::Open(&target, kGroup, options);
    EXPECT_TRUE(from.ok() && to.ok() && (*to)->Wipe(ReplicaId(2)).ok());
    (*to)->on_damaged_snapshot = std::move(on_damaged);
    auto reader = (*from)->TakeSnapshot();
    auto stage = (*to)->StageSnapshot();
    for (uint64_t i = 0;; ++i) {
      auto chunk = (*reader)->Read(i);
      if (!chunk.ok()) return chunk.status();
      EXPECT_TRUE((*stage)->Add(chunk->data).ok());
      if (chunk->last) break;
    }
    return (*to)->InstallSnapshot(*std::move(stage), (*reader)->meta(), ReplicaId(2));
  }

  StateTotals Hash() { return HashOf(*engine_); }
  static StateTotals HashOf(const storage::View& view) {
    auto totals = HashState(view, kGroup, kSafePoint, kClock);
    EXPECT_TRUE(totals.ok()) << totals.status();
    return *totals;
  }

  std::vector<std::pair<std::string, std::string>> Pairs() {
    std::vector<std::pair<std::string, std::string>> out;
    auto it = engine_->NewIterator({});
    for (it->Seek(""); it->Valid(); it->Next()) out.emplace_back(it->key(), it->value());
    return out;
  }

  ScratchDirectory directory_;
  std::unique_ptr<storage::Engine> engine_;
};

TEST_P(StateHashTest, CompactionsAndSweepsDoNotChangeIt) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Random random(seed);
    engine_ = NewEngine(absl::StrCat("data", seed));
    Fill(random);
    StateTotals before = Hash();
    EXPECT_GT(before.versions, before.keys);
    EXPECT_EQ(before.damaged, 0u) << before.first_damage;
    size_t pairs = Pairs().size();
    for (bool all_levels : {false, true}) {
      Compact(all_levels, random);
      StateTotals after = Hash();
      EXPECT_EQ(after.hash, before.hash);
      EXPECT_EQ(after.keys, before.keys);
      EXPECT_EQ(after.versions, before.versions);
    }
    storage::Sweeper sweeper(engine_.get(), kGroup, kClock);
    while (!sweeper.resting()) {
      auto removed = sweeper.Step(kSafePoint, 7);
      ASSERT_TRUE(removed.ok()) << removed.status();
      if (*removed == 0) break;
    }
    EXPECT_EQ(Hash().hash, before.hash);
    EXPECT_LT(Pairs().size(), pairs);
  }
}

TEST_P(StateHashTest, EveryVisibleChangeChangesIt) {
  Random random(3);
  Fill(random);
  Compact(/*all_levels=*/true, random);
  uint64_t before = Hash().hash;
  for (const auto& [key, value] : Pairs()) {
    std::string flipped = value;
    flipped.back() = static_cast<char>(flipped.back() ^ 1);
    Put(key, flipped);
    EXPECT_NE(Hash().hash, before) << "after a change of a value";
    Delete(key);
    EXPECT_NE(Hash().hash, before) << "after the loss of a pair";
    Put(key, value);
    ASSERT_EQ(Hash().hash, before);
  }
  Write("key1", 999, VersionKind::kValue);
  EXPECT_NE(Hash().hash, before);
}

TEST_P(StateHashTest, WhatNobodySeesDoesNotCount) {
  Write("key", 100, VersionKind::kValue);
  Write("key", 200, VersionKind::kTombstone);
  Write("key", 300, VersionKind::kOutcome);
  Write("other", 300, VersionKind::kValue, 400);
  uint64_t nothing = HashOf(*NewEngine("empty")).hash;
  EXPECT_EQ(Hash().hash, nothing);
  EXPECT_EQ(Hash().keys, 0u);
  Write("key", 501, VersionKind::kOutcome);
  EXPECT_NE(Hash().hash, nothing) << "an attempt of its writer may still ask for it";
}

TEST_P(StateHashTest, DamageIsCountedWhereverItLies) {
  Write("key", 100, VersionKind::kValue);
  Write("key", 200, VersionKind::kValue);
  StateTotals before = Hash();
  std::string old = storage::VersionKey(kGroup, "key", Timestamp(100));
  std::string value = **engine_->Get(old);
  value.back() = static_cast<char>(value.back() ^ 4);
  Put(old, value);
  EXPECT_EQ(Hash().damaged, 1u);
  EXPECT_EQ(Hash().first_damage, "a version of key \"key\" does not match its checksum");
  EXPECT_EQ(Hash().hash, before.hash) << "nobody can read that version";
  Put(storage::VersionKey(kGroup, "key", Timestamp(900)), "\xff");
  EXPECT_EQ(Hash().damaged, 2u);
  EXPECT_NE(Hash().hash, before.hash);
}

TEST_P(StateHashTest, AnInstalledSnapshotHasTheSame) {
  Random random(5);
  Fill(random);
  auto target = NewEngine("target");
  absl::Status installed = Send(*target, [] { return absl::InternalError("it is whole"); });
  ASSERT_TRUE(installed.ok()) << installed;
  EXPECT_EQ(HashOf(*target).hash, Hash().hash);
}

// Nobody has it whole: whoever takes it in keeps what it had before.
TEST_P(StateHashTest, ASnapshotWithDamageIsToldOfBeforeItIsTakenIn) {
  std::string value = Value("key", VersionKind::kValue, 0, "value");
  value.back() ^= 1;
  Put(storage::VersionKey(kGroup, "key", Timestamp(900)), value);
  auto target = NewEngine("target");
  EXPECT_TRUE(absl::IsUnavailable(Send(*target, [] { return absl::UnavailableError("no room"); })));
  EXPECT_EQ(HashOf(*target).damaged, 0u);
  int told = 0;
  absl::Status installed = Send(*target, [&told] {
    ++told;
    return absl::OkStatus();
  });
  ASSERT_TRUE(installed.ok()) << installed;
  EXPECT_EQ(told, 1);
  EXPECT_EQ(HashOf(*target).damaged, 1u);
}

INSTANTIATE_TEST_SUITE_P(Engines, StateHashTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Rocks" : "Memory"; });

}  // namespace
}  // namespace kvd::shard
