#include "shardctrler/command.h"

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include "proto/limits.h"
#include "shardctrler/codec.h"
#include "shardctrler/settings.h"

namespace kvd::shardctrler {
namespace {

void EncodeJoining(Writer& w, const std::vector<JoiningStore>& joining) {
  w.Varint(joining.size());
  for (const JoiningStore& store : joining) {
    w.Bytes(store.address);
    w.Fixed64(store.nonce);
    w.Varint(store.cores);
    EncodeLabels(w, store.labels);
    w.Varint(store.lost);
  }
}

bool DecodeJoining(Reader& r, std::vector<JoiningStore>* joining) {
  uint64_t count = r.Count();
  // Before room is made for them: Validate let no more into the log.
  if (count > kJoiningMax) return false;
  joining->resize(count);
  for (JoiningStore& store : *joining) {
    store.address = r.Bytes();
    store.nonce = r.Fixed64();
    store.cores = static_cast<uint32_t>(r.Varint());
    store.labels = DecodeLabels(r);
    store.lost = r.Id<StoreId>();
  }
  return r.ok();
}

bool DecodeFields(Reader& r, Command* c) {
  switch (c->kind) {
    case CommandKind::kBootstrap:
      c->cluster = ClusterId(r.Fixed64());
      return DecodeJoining(r, &c->joining) && c->joining.size() == 1;
    case CommandKind::kJoin: return DecodeJoining(r, &c->joining);
    case CommandKind::kUpdateStore:
      c->store = r.Id<StoreId>();
      return DecodeJoining(r, &c->joining) && c->joining.size() == 1;
    case CommandKind::kSetStoreState:
      c->store = r.Id<StoreId>();
      if (!DecodeEnum(r, StoreState::kGone, &c->state)) return false;
      c->lost = r.Byte() != 0;
      return r.ok();
    case CommandKind::kOpen:
    case CommandKind::kAdoptMembers: return DecodeFields(r, &c->operation);
    case CommandKind::kRecover:
      c->stores.resize(r.Count());
      for (StoreId& store : c->stores) store = r.Id<StoreId>();
      return r.ok();
    case CommandKind::kAdvance:
      c->id = r.Id<OperationId>();
      return DecodeEnum(r, Phase::kCancelled, &c->phase) &&
             DecodeEnum(r, Phase::kCancelled, &c->next);
    case CommandKind::kSet:
      c->name = r.Bytes();
      c->value = r.Fixed64();
      return r.ok();
    case CommandKind::kSetLabel:
      c->store = r.Id<StoreId>();
      c->name = r.Bytes();
      c->text = r.Bytes();
      return r.ok();
  }
  return false;
}

absl::Status CheckLabel(const std::string& name, const std::string& value) {
  if (name.empty()) return LimitError("labels.name", 1, 0, "bytes");
  if (std::max(name.size(), value.size()) > kLabelBytesMax) {
    return LimitError(absl::StrCat("label ", Printable(name)), kLabelBytesMax,
                      std::max(name.size(), value.size()), "bytes");
  }
  return absl::OkStatus();
}

absl::Status CheckJoining(const JoiningStore& store) {
  if (store.address.empty() || store.address.size() > kAddressBytesMax) {
    return LimitError("address", store.address.empty() ? 1 : kAddressBytesMax, store.address.size(),
                      "bytes");
  }
  if (store.cores == 0 || store.cores > kCoresMax) {
    return LimitError("cores", store.cores == 0 ? 1 : kCoresMax, store.cores, "cores");
  }
  if (store.labels.size() > kLabelsMax) {
    return LimitError("labels", kLabelsMax, store.labels.size(), "labels");
  }
  for (const auto& [name, value] : store.labels) {
    absl::Status status = CheckLabel(name, value);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckOperation(const Operation& o) {
  if (o.reason.size() > kReasonBytesMax) {
    return LimitError("reason", kReasonBytesMax, o.reason.size(), "bytes");
  }
  if (o.key.size() > kKeyBytesMax) return LimitError("key", kKeyBytesMax, o.key.size(), "bytes");
  size_t replicas = std::max(o.added.size(), o.removed.size());
  if (replicas > kReplicasMax) return LimitError("replicas", kReplicasMax, replicas, "replicas");
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const Command& c) {
  switch (c.kind) {
    case CommandKind::kBootstrap:
      if (!c.cluster) return absl::InvalidArgumentError("cluster: 0 is none");
      [[fallthrough]];
    case CommandKind::kUpdateStore:
    case CommandKind::kJoin: {
      if (c.joining.empty() || c.joining.size() > kJoiningMax) {
        return LimitError("stores", c.joining.empty() ? 1 : kJoiningMax, c.joining.size(),
                          "stores");
      }
      for (const JoiningStore& store : c.joining) {
        absl::Status status = CheckJoining(store);
        if (!status.ok()) return status;
        bool named = c.kind == CommandKind::kUpdateStore || store.nonce != 0;
        if (!named) return LimitError("join_nonce", 1, 0, "");
      }
      return absl::OkStatus();
    }
    case CommandKind::kOpen:
    case CommandKind::kAdoptMembers: return CheckOperation(c.operation);
    case CommandKind::kRecover:
      if (c.stores.size() <= kStoresLostMax) return absl::OkStatus();
      return LimitError("stores", kStoresLostMax, c.stores.size(), "stores");
    case CommandKind::kSet: return Settings::Check(c.name, c.value);
    case CommandKind::kSetLabel: return CheckLabel(c.name, c.text);
    case CommandKind::kSetStoreState:
    case CommandKind::kAdvance: return absl::OkStatus();
  }
  return absl::InternalError("unknown kind of command");
}

std::string Encode(const Command& c) {
  std::string out;
  Writer w(&out);
  w.Byte(kFormat);
  w.Byte(static_cast<uint8_t>(c.kind));
  switch (c.kind) {
    case CommandKind::kBootstrap: w.Fixed64(c.cluster.value()); [[fallthrough]];
    case CommandKind::kJoin: EncodeJoining(w, c.joining); break;
    case CommandKind::kUpdateStore:
      w.Varint(c.store);
      EncodeJoining(w, c.joining);
      break;
    case CommandKind::kSetStoreState:
      w.Varint(c.store);
      w.Byte(static_cast<uint8_t>(c.state));
      w.Byte(c.lost);
      break;
    case CommandKind::kOpen:
    case CommandKind::kAdoptMembers: EncodeFields(w, c.operation); break;
    case CommandKind::kRecover:
      w.Varint(c.stores.size());
      for (StoreId store : c.stores) w.Varint(store);
      break;
    case CommandKind::kAdvance:
      w.Varint(c.id);
      w.Byte(static_cast<uint8_t>(c.phase));
      w.Byte(static_cast<uint8_t>(c.next));
      break;
    case CommandKind::kSet:
      w.Bytes(c.name);
      w.Fixed64(c.value);
      break;
    case CommandKind::kSetLabel:
      w.Varint(c.store);
      w.Bytes(c.name);
      w.Bytes(c.text);
      break;
  }
  return out;
}

absl::StatusOr<Command> DecodeCommand(std::string_view bytes) {
  Reader r(bytes);
  Command c;
  uint8_t format = r.Byte();
  c.kind = static_cast<CommandKind>(r.Byte());
  if (format != kFormat || !DecodeFields(r, &c) || !r.Done()) {
    return absl::InvalidArgumentError("a command of the controller is malformed");
  }
  return c;
}

std::string Encode(const Result& result) {
  std::string out;
  Writer w(&out);
  w.Byte(kFormat);
  w.Varint(result.stores.size());
  for (StoreId id : result.stores) w.Varint(id);
  w.Varint(result.operation);
  w.Varint(result.config);
  return out;
}

absl::StatusOr<Result> DecodeResult(std::string_view bytes) {
  Reader r(bytes);
  Result result;
  uint8_t format = r.Byte();
  result.stores.resize(r.Count());
  for (StoreId& id : result.stores) id = r.Id<StoreId>();
  result.operation = r.Id<OperationId>();
  result.config = r.Id<ConfigNumber>();
  if (format != kFormat || !r.Done()) {
    return absl::InvalidArgumentError("an answer of the controller is malformed");
  }
  return result;
}

}  // namespace kvd::shardctrler
