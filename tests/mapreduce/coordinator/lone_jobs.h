// One replica of the jobs' machine on an engine in memory: commands in, records as versions of its
// group, and the state in memory checked against them.
#pragma once

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "mapreduce/coordinator/machine.h"
#include "proto/crc32c.h"
#include "server/storage/machine_set.h"
#include "server/storage/memory_engine.h"

namespace kvd::jobs {

class LoneJobs : public storage::RecordSink {
 public:
  LoneJobs() { set_.Add(kCommandFormat, std::string(1, kRecordPrefix), &machine_); }

  const State& state() const { return machine_.state(); }
  const Entry& job(uint64_t id) const { return *state().Find(JobId(id)); }
  Timestamp now() const { return now_; }
  // The next command comes so much later.
  void Pass(uint64_t ms) { now_ = now_ + TimestampFromMillis(ms).value(); }

  absl::StatusOr<Result> Apply(const Command& command) {
    ++index_;
    now_ = now_ + 1'000;
    batch_ = engine_.NewBatch();
    auto answer = set_.Apply(Encode(command), {index_, now_}, this);
    EXPECT_TRUE(engine_.Write(*batch_).ok());
    state().CheckState();
    if (!answer.ok()) return answer.status();
    return DecodeResult(*answer);
  }

  // What it has in memory is lost, and read from its records.
  absl::Status Restart() {
    machine_ = JobsMachine();
    absl::Status loaded = set_.Load(reader(), now_);
    state().CheckState();
    return loaded;
  }
  storage::MvccReader reader() const { return storage::MvccReader(&engine_, GroupId(1)); }

  void Put(std::string_view key, std::string_view value) override {
    storage::Version version;
    version.crc32c = ValueChecksum(key, value);
    version.value = value;
    batch_->Put(storage::VersionKey(GroupId(1), key, now_), storage::Encode(version));
  }
  void Delete(std::string_view key) override {
    storage::Version version;
    version.kind = storage::VersionKind::kTombstone;
    version.crc32c = ValueChecksum(key, {});
    batch_->Put(storage::VersionKey(GroupId(1), key, now_), storage::Encode(version));
  }

 private:
  storage::MemoryEngine engine_;
  JobsMachine machine_;
  storage::MachineSet set_;
  Index index_;
  Timestamp now_ = TimestampFromMillis(1'000'000);
  std::unique_ptr<storage::WriteBatch> batch_;
};

}  // namespace kvd::jobs
