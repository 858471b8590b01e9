// What a record machine keeps in the group.
#include "proto/crc32c.h"
#include "server/shard/data_group.h"

namespace kvd::shard {
namespace {

// Gathers records as versions.
class VersionSink : public storage::RecordSink {
 public:
  VersionSink(GroupId group, Timestamp timestamp, storage::WriteBatch* batch,
              storage::RowCache* rows)
      : group_(group), timestamp_(timestamp), batch_(batch), rows_(rows) {}

  void Put(std::string_view key, std::string_view value) override {
    storage::Version version;
    version.crc32c = ValueChecksum(key, value);
    version.value = value;
    Write(key, version);
  }
  void Delete(std::string_view key) override {
    storage::Version version;
    version.kind = storage::VersionKind::kTombstone;
    Write(key, version);
    deleted_ = true;
  }

  bool deleted() const { return deleted_; }

 private:
  void Write(std::string_view key, const storage::Version& version) {
    std::string encoded = storage::Encode(version);
    batch_->Put(storage::VersionKey(group_, key, timestamp_), encoded);
    rows_->Replace(key, timestamp_, encoded);
  }

  const GroupId group_;
  const Timestamp timestamp_;
  storage::WriteBatch* const batch_;
  storage::RowCache* const rows_;
  bool deleted_ = false;
};

}  // namespace

void DataGroup::ExecuteMachine(const Command& command, Timestamp timestamp, CommandResult* result,
                               storage::WriteBatch& batch) {
  if (options_.machine == nullptr) {
    result->status = absl::UnimplementedError("this group keeps no records of that kind");
    return;
  }
  VersionSink sink(group_, timestamp, &batch, &row_cache_);
  auto answer =
      options_.machine->Apply(command.payload, {meta_.applied.index + 1, timestamp}, &sink);
  if (sink.deleted()) sweeper_.NoteDeath(timestamp);
  if (!answer.ok()) {
    result->status = answer.status();
    return;
  }
  result->answer = *std::move(answer);
}

absl::Status DataGroup::LoadMachine() {
  if (options_.machine == nullptr) return absl::OkStatus();
  return options_.machine->Load(reader(), meta_.clock);
}

}  // namespace kvd::shard
