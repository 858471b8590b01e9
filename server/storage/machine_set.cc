#include "server/storage/machine_set.h"

#include "proto/bytes.h"
#include "proto/check.h"

namespace kvd::storage {
namespace {

// Passes on what is within one machine's part.
class PartSink : public RecordSink {
 public:
  PartSink(const std::string& bytes, RecordSink* sink) : bytes_(bytes), sink_(sink) {}

  void Put(std::string_view key, std::string_view value) override {
    CheckOwn(key);
    sink_->Put(key, value);
  }
  void Delete(std::string_view key) override {
    CheckOwn(key);
    sink_->Delete(key);
  }

 private:
  void CheckOwn(std::string_view key) const {
    bool own = !key.empty() && bytes_.find(key[0]) != std::string::npos;
    KVD_CHECK_MSG(own, Printable(key));
  }

  const std::string& bytes_;
  RecordSink* const sink_;
};

}  // namespace

void MachineSet::Add(char command_byte, std::string_view record_bytes, RecordMachine* machine) {
  KVD_CHECK(!record_bytes.empty());
  for (const Member& m : members_) {
    KVD_CHECK(m.command_byte != command_byte);
    KVD_CHECK(m.record_bytes.find_first_of(record_bytes) == std::string::npos);
  }
  members_.push_back({command_byte, std::string(record_bytes), machine});
}

absl::Status MachineSet::Load(const MvccReader& reader, Timestamp at) {
  for (const Member& m : members_) {
    absl::Status loaded = m.machine->Load(reader, at);
    if (!loaded.ok()) return loaded;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> MachineSet::Apply(std::string_view command, const Position& position,
                                              RecordSink* records) {
  for (const Member& m : members_) {
    if (command.empty() || command[0] != m.command_byte) continue;
    PartSink sink(m.record_bytes, records);
    return m.machine->Apply(command, position, &sink);
  }
  return absl::InvalidArgumentError("a command that is none of this group's machines'");
}

}  // namespace kvd::storage
