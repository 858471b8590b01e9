#include "shardctrler/machine.h"

#include <optional>

namespace kvd::shardctrler {
namespace {

// Says of each key only the last that it was told.
class LastOfEach : public storage::RecordSink {
 public:
  void Put(std::string_view key, std::string_view value) override {
    records_[std::string(key)] = std::string(value);
  }
  void Delete(std::string_view key) override { records_[std::string(key)] = std::nullopt; }

  void GiveTo(storage::RecordSink* sink, Timestamp at, ChangeLog* changes) const {
    for (const auto& [key, value] : records_) {
      changes->Note(at, key);
      if (value) {
        sink->Put(key, *value);
      } else {
        sink->Delete(key);
      }
    }
  }

 private:
  std::map<std::string, std::optional<std::string>> records_;
};

}  // namespace

absl::Status Machine::Load(const storage::MvccReader& reader, Timestamp at) {
  changes_.Restart(at);
  return state_.Load(reader, at);
}

absl::StatusOr<std::string> Machine::Apply(std::string_view command, const Position& position,
                                           storage::RecordSink* records) {
  auto decoded = DecodeCommand(command);
  if (!decoded.ok()) return decoded.status();
  absl::Status valid = Validate(*decoded);
  if (!valid.ok()) return valid;
  LastOfEach changes;
  Result result;
  absl::Status handled = Handle(*decoded, {position, &changes}, &result);
  if (!handled.ok()) return handled;
  changes.GiveTo(records, position.timestamp, &changes_);
  changes_.Reach(position.timestamp);
  result.config = state_.ids().config;
  return Encode(result);
}

absl::Status Machine::Handle(const Command& command, const Context& context, Result* result) {
  if (command.kind == CommandKind::kBootstrap) return Bootstrap(command, context, result);
  if (!state_.ids().cluster) {
    return absl::UnavailableError("the cluster is not bootstrapped yet");
  }
  switch (command.kind) {
    case CommandKind::kBootstrap: break;
    case CommandKind::kJoin: return Join(command, context, result);
    case CommandKind::kUpdateStore: return UpdateStore(command, context);
    case CommandKind::kSetStoreState: return SetStoreState(command, context);
    case CommandKind::kSetLabel: return SetLabel(command, context);
    case CommandKind::kOpen: return Open(command.operation, context, result);
    case CommandKind::kAdvance: return Advance(command, context);
    case CommandKind::kRecover: Recover(command, context); return absl::OkStatus();
    case CommandKind::kAdoptMembers: return AdoptMembers(command, context);
    case CommandKind::kSet:
      state_.PutSetting(command.name, command.value, context.records);
      return absl::OkStatus();
  }
  return absl::InternalError("unknown kind of command");
}

}  // namespace kvd::shardctrler
