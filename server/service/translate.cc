#include "server/service/translate.h"

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "proto/limits.h"

namespace kvd::service {

using shard::Command;
using shard::Operation;

namespace {

absl::Status BadChecksum(std::string_view field, std::string_view key) {
  return CorruptionError(absl::StrCat(ToAbsl(field), " does not match the checksum sent with it"),
                         key);
}

// The stored checksum of a put; the one sent is checked, so that damage on the way is found here.
template <class Put>
absl::Status TakePut(Put* put, std::string* key, Operation* op) {
  op->type = Operation::Type::kPut;
  op->key = std::move(*key);
  op->value = std::move(*put->mutable_value());
  op->ttl_ms = put->ttl_ms();
  op->crc32c = ValueChecksum(op->key, op->value);
  if (put->has_crc32c() && put->crc32c() != op->crc32c) return BadChecksum("value", op->key);
  return absl::OkStatus();
}

template <class Append>
absl::Status TakeAppend(Append* append, std::string* key, Operation* op) {
  op->type = Operation::Type::kAppend;
  op->key = std::move(*key);
  op->value = std::move(*append->mutable_suffix());
  if (append->has_crc32c() && append->crc32c() != ValueChecksum(op->key, op->value)) {
    return BadChecksum("suffix", op->key);
  }
  return absl::OkStatus();
}

absl::Status TakeConditions(google::protobuf::RepeatedPtrField<v1::Condition>* from,
                            std::vector<shard::Condition>* to) {
  for (v1::Condition& in : *from) {
    shard::Condition& out = to->emplace_back();
    out.key = std::move(*in.mutable_key());
    switch (in.test_case()) {
      case v1::Condition::kValueEquals:
        out.test = shard::Condition::Test::kValueEquals;
        out.value = std::move(*in.mutable_value_equals());
        break;
      case v1::Condition::kVersionEquals:
        out.test = shard::Condition::Test::kVersionEquals;
        out.version = Timestamp(in.version_equals());
        break;
      case v1::Condition::kAbsent:
        out.test = in.absent() ? shard::Condition::Test::kAbsent : shard::Condition::Test::kPresent;
        break;
      case v1::Condition::TEST_NOT_SET:
        return absl::InvalidArgumentError(
            absl::StrCat("conditions: no test given for key ", Printable(out.key)));
    }
  }
  return absl::OkStatus();
}

absl::Status TakeOperations(google::protobuf::RepeatedPtrField<v1::BatchOperation>* from,
                            std::vector<Operation>* to) {
  for (v1::BatchOperation& in : *from) {
    Operation& out = to->emplace_back();
    absl::Status status;
    switch (in.operation_case()) {
      case v1::BatchOperation::kPut:
        status = TakePut(in.mutable_put(), in.mutable_key(), &out);
        break;
      case v1::BatchOperation::kAppend:
        status = TakeAppend(in.mutable_append(), in.mutable_key(), &out);
        break;
      case v1::BatchOperation::kDelete:
        out.type = Operation::Type::kDelete;
        out.key = std::move(*in.mutable_key());
        break;
      case v1::BatchOperation::kIncrement:
        out.type = Operation::Type::kIncrement;
        out.key = std::move(*in.mutable_key());
        out.delta = in.increment().delta();
        break;
      case v1::BatchOperation::OPERATION_NOT_SET:
        status = absl::InvalidArgumentError(
            absl::StrCat("operations: no operation given for key ", Printable(in.key())));
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status TakeWrite(RequestItem* item, Command* c) {
  Operation op;
  absl::Status status;
  switch (item->request_case()) {
    case RequestItem::kPut: {
      v1::PutRequest* put = item->mutable_put();
      if (put->lease_id() != 0) return LimitError("lease_id", 0, put->lease_id(), "");
      status = TakePut(put, put->mutable_key(), &op);
      if (status.ok()) status = TakeConditions(put->mutable_conditions(), &c->conditions);
      break;
    }
    case RequestItem::kAppend: {
      v1::AppendRequest* append = item->mutable_append();
      status = TakeAppend(append, append->mutable_key(), &op);
      if (status.ok()) status = TakeConditions(append->mutable_conditions(), &c->conditions);
      break;
    }
    case RequestItem::kDelete:
      op.type = Operation::Type::kDelete;
      op.key = std::move(*item->mutable_delete_()->mutable_key());
      status = TakeConditions(item->mutable_delete_()->mutable_conditions(), &c->conditions);
      break;
    case RequestItem::kIncrement:
      op.type = Operation::Type::kIncrement;
      op.key = std::move(*item->mutable_increment()->mutable_key());
      op.delta = item->increment().delta();
      status = TakeConditions(item->mutable_increment()->mutable_conditions(), &c->conditions);
      break;
    case RequestItem::kDeleteRange:
      c->kind = shard::CommandKind::kDeleteRange;
      c->range = {item->delete_range().range().start(), item->delete_range().range().end()};
      c->limit = item->delete_range().limit();
      return absl::OkStatus();
    case RequestItem::kBatch:
      status = TakeConditions(item->mutable_batch()->mutable_conditions(), &c->conditions);
      if (status.ok())
        status = TakeOperations(item->mutable_batch()->mutable_operations(), &c->operations);
      if (status.ok())
        status = TakeOperations(item->mutable_batch()->mutable_otherwise(), &c->otherwise);
      return status;
    default: return absl::InvalidArgumentError("request: the item holds none");
  }
  c->operations.push_back(std::move(op));
  return status;
}

}  // namespace

absl::StatusOr<Command> ToCommand(RequestItem* item) {
  Command command;
  const v1::RequestHeader* header = HeaderOf(*item);
  if (header == nullptr) return absl::InvalidArgumentError("request: the item holds none");
  command.writer = {ClientId(header->writer().client_id()), Sequence(header->writer().sequence())};
  command.attempt = std::max<uint32_t>(header->writer().attempt(), 1);
  command.token = Timestamp(header->writer().token());
  if (command.writer && !command.writer.sequence) {
    return LimitError("header.writer.sequence", 1, 0, "");
  }
  absl::Status status = TakeWrite(item, &command);
  if (!status.ok()) return status;
  status = shard::Validate(command);
  if (!status.ok()) return status;
  return command;
}

void ToResponse(const RequestItem& item, const shard::CommandResult& result, ResponseItem* out) {
  if (item.request_case() == RequestItem::kDeleteRange) {
    v1::DeleteRangeResponse* response = out->mutable_delete_range();
    response->set_deleted(result.deleted);
    response->set_more(result.more);
    response->set_resume_key(result.resume_key);
  } else if (item.request_case() == RequestItem::kBatch) {
    v1::BatchResponse* response = out->mutable_batch();
    response->set_conditions_held(result.conditions_held);
    response->set_version(result.version.value());
    response->set_failed_condition(result.failed_condition);
    response->set_current_version(result.current_version.value());
    for (const shard::OperationResult& in : result.items) {
      auto* item_out = response->add_items();
      item_out->set_existed(in.existed);
      item_out->set_counter(in.counter);
      item_out->set_length(in.length);
    }
  } else {
    v1::WriteResponse* response = out->mutable_write();
    response->set_applied(result.conditions_held);
    response->set_version(result.version.value());
    response->set_failed_condition(result.failed_condition);
    response->set_current_version(result.current_version.value());
    if (result.items.empty()) return;
    response->set_existed(result.items[0].existed);
    response->set_counter(result.items[0].counter);
    response->set_length(result.items[0].length);
  }
}

absl::StatusOr<shard::ReadSpec> ToReadSpec(const v1::ReadOptions& options) {
  shard::ReadSpec spec;
  switch (options.consistency()) {
    case v1::ReadOptions::LINEARIZABLE: spec.consistency = shard::Consistency::kLinearizable; break;
    case v1::ReadOptions::SNAPSHOT: spec.consistency = shard::Consistency::kSnapshot; break;
    case v1::ReadOptions::BOUNDED_STALE:
      spec.consistency = shard::Consistency::kBoundedStale;
      break;
    default:
      return LimitError("read.consistency", v1::ReadOptions::BOUNDED_STALE,
                        static_cast<uint64_t>(options.consistency()), "");
  }
  spec.timestamp = Timestamp(options.timestamp());
  if (options.staleness_ms_max() > kStalenessMillisMax) {
    return LimitError("read.staleness_ms_max", kStalenessMillisMax, options.staleness_ms_max(),
                      "ms");
  }
  spec.staleness_max = milliseconds(options.staleness_ms_max() == 0 ? kStalenessMillisDefault
                                                                    : options.staleness_ms_max());
  if (options.mode() == v1::ReadOptions::MODE_LEASE) spec.mode = raft::ReadMode::kLease;
  if (options.mode() == v1::ReadOptions::MODE_READ_INDEX) spec.mode = raft::ReadMode::kReadIndex;
  return spec;
}

absl::Status CheckKey(std::string_view field, std::string_view key) {
  if (key.empty()) return LimitError(field, 1, 0, "bytes");
  if (key.size() > kKeyBytesMax) return LimitError(field, kKeyBytesMax, key.size(), "bytes");
  return absl::OkStatus();
}

absl::Status CheckRange(const v1::KeyRange& range) {
  // One more than a key: the bound just behind a key of the longest length.
  if (range.start().size() > kKeyBytesMax + 1) {
    return LimitError("range.start", kKeyBytesMax + 1, range.start().size(), "bytes");
  }
  if (range.end().size() > kKeyBytesMax + 1) {
    return LimitError("range.end", kKeyBytesMax + 1, range.end().size(), "bytes");
  }
  if (!range.end().empty() && range.end() <= range.start()) {
    return absl::InvalidArgumentError(absl::StrCat("range: start ", Printable(range.start()),
                                                   " is not below end ", Printable(range.end())));
  }
  return absl::OkStatus();
}

void ToVersion(Timestamp timestamp, const storage::Version& version, bool keys_only,
               v1::Version* out) {
  if (!keys_only) out->set_value(version.value.data(), version.value.size());
  out->set_version(timestamp.value());
  out->set_crc32c(version.crc32c);
  out->set_expires_at(version.expiry.value());
}

void SetError(const absl::Status& status, ResponseItem* out) {
  out->clear_response();
  KVD_CHECK(out->mutable_error()->ParseFromString(SerializeStatus(status)));
}

absl::Status ErrorOf(const ResponseItem& item) {
  if (!item.has_error()) return absl::OkStatus();
  return ParseStatus(item.error().SerializeAsString());
}

void ToShard(GroupId group, const shard::ShardDescriptor& shard, v1::ShardDescriptor* out) {
  out->set_shard_id(shard.id.value());
  out->mutable_range()->set_start(shard.range.start);
  out->mutable_range()->set_end(shard.range.end);
  out->set_epoch(shard.epoch.value());
  out->set_group_id(group.value());
  out->set_state(static_cast<v1::ShardDescriptor::State>(shard.state));
}

}  // namespace kvd::service
