// Stores near the end of their disks come back after a crash of all: what their logs hold that is
// applied promises no room, and what all of them hold can be committed however little is left.
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "tests/sim/cluster.h"

namespace kvd::sim {
namespace {

class DiskRoom : public testing::Test {
 protected:
  DiskRoom() : cluster_(Options()) {}

  static ClusterOptions Options() {
    ClusterOptions options;
    options.seed = 43;
    options.voters = 3;
    options.faults = false;
    options.log_entries_kept = 5000;
    return options;
  }

  bool Put(const std::string& key, size_t bytes) {
    if (!cluster_.Await([&] { return Ready(); })) return false;
    shard::Command command;
    shard::Operation op;
    op.key = key;
    op.value = std::string(bytes, 'x');
    op.crc32c = ValueChecksum(op.key, op.value);
    command.operations.push_back(op);
    auto put = std::make_shared<std::optional<absl::Status>>();
    cluster_.Leader()->group().Submit(command, [put](const auto& r) { *put = r.status(); });
    return cluster_.Await([&] { return put->has_value(); }) && (*put)->ok();
  }
  bool Ready() { return cluster_.Leader() != nullptr && cluster_.Leader()->group().ready(); }
  // What the file system gives, whatever was held in reserve.
  void CrashAllWithFree(uint64_t bytes) {
    for (auto& [id, store] : cluster_.stores()) {
      store->Crash();
      store->disk().ReleaseReserve();
      store->disk().SetFreeBytes(bytes);
    }
    for (auto& [id, store] : cluster_.stores()) store->Start();
  }
  bool AllAre(DiskState state) {
    for (auto& [id, store] : cluster_.stores()) {
      if (store->process().host->DiskOf(id) != state) return false;
    }
    return true;
  }

  Cluster cluster_;
};

TEST_F(DiskRoom, AnAppliedLogPromisesNone) {
  for (int i = 0; i < 120; ++i) ASSERT_TRUE(Put("key" + std::to_string(i), 100'000));
  cluster_.Elapse(std::chrono::seconds(3));  // all of it is flushed
  ASSERT_TRUE(Put("unflushed", 1));
  CrashAllWithFree(10'000'000);
  EXPECT_TRUE(cluster_.Await([&] { return Ready() && AllAre(DiskState::kOk); }))
      << cluster_.Describe();
  EXPECT_TRUE(Put("after", 1));
}

// Each is critical by what is not applied, and applies it once one more entry, the new leader's, is
// committed.
TEST_F(DiskRoom, WhatAllHoldIsCommittedWithoutRoom) {
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(Put("key" + std::to_string(i), 1000));
  CrashAllWithFree(260'000);
  ASSERT_TRUE(cluster_.Await([&] { return AllAre(DiskState::kCritical); }, milliseconds(300)));
  EXPECT_TRUE(cluster_.Await([&] { return Ready(); })) << cluster_.Describe();
  EXPECT_TRUE(cluster_.Await([&] { return AllAre(DiskState::kLow); })) << cluster_.Describe();
}

}  // namespace
}  // namespace kvd::sim
