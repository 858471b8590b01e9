// One replica of the controller on an engine in memory: commands in, records as versions of its
// group, and the state in memory checked against them.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "server/storage/memory_engine.h"
#include "shardctrler/machine.h"

namespace kvd::shardctrler {

class LoneController : public storage::RecordSink {
 public:
  const State& state() const { return machine_.state(); }
  const Machine& machine() const { return machine_; }
  Timestamp now() const { return now_; }

  // One more entry of the log.
  absl::StatusOr<Result> Apply(const Command& command) {
    ++index_;
    now_ = now_ + 1000;
    batch_ = engine_.NewBatch();
    auto answer = machine_.Apply(Encode(command), {index_, now_}, this);
    EXPECT_TRUE(engine_.Write(*batch_).ok());
    state().CheckState();
    if (!answer.ok()) return answer.status();
    return DecodeResult(*answer);
  }

  // What it has in memory is lost, and read from its records.
  void Restart() {
    machine_ = Machine();
    ASSERT_TRUE(machine_.Load(reader(), now_).ok());
    state().CheckState();
  }

  // The whole config, in pages of `page` shards.
  absl::StatusOr<ShardMap> Query(ConfigNumber number, Timestamp safe_point = Timestamp(),
                                 size_t page = 7) const {
    ShardMap map;
    std::string from;
    do {
      auto part = ReadConfig(reader(), number, now_, safe_point, from, page);
      if (!part.ok()) return part.status();
      EXPECT_LE(part->shards.size(), page);
      for (const auto& [start, shard] : part->shards) map.Put(start, shard);
      from = part->next_key;
    } while (!from.empty());
    return map;
  }

  void Put(std::string_view key, std::string_view value) override {
    storage::Version version;
    version.crc32c = ValueChecksum(key, value);
    version.value = value;
    batch_->Put(storage::VersionKey(kControllerGroup, key, now_), storage::Encode(version));
  }
  void Delete(std::string_view key) override {
    storage::Version version;
    version.kind = storage::VersionKind::kTombstone;
    version.crc32c = ValueChecksum(key, {});
    batch_->Put(storage::VersionKey(kControllerGroup, key, now_), storage::Encode(version));
  }

 private:
  storage::MvccReader reader() const { return storage::MvccReader(&engine_, kControllerGroup); }

  storage::MemoryEngine engine_;
  Machine machine_;
  Index index_;
  Timestamp now_;
  std::unique_ptr<storage::WriteBatch> batch_;
};

}  // namespace kvd::shardctrler
