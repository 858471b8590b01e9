#include "client/src/convert.h"

#include "absl/strings/str_cat.h"
#include "proto/crc32c.h"
#include "proto/error.h"

namespace kvd::client {
namespace {

void FillRead(const ReadOptions& options, v1::ReadOptions* out) {
  switch (options.consistency) {
    case Consistency::kLinearizable: break;
    case Consistency::kSnapshot: out->set_consistency(v1::ReadOptions::SNAPSHOT); break;
    case Consistency::kBoundedStale: out->set_consistency(v1::ReadOptions::BOUNDED_STALE); break;
  }
  out->set_timestamp(options.timestamp);
  if (options.consistency == Consistency::kBoundedStale) {
    out->set_staleness_ms_max(static_cast<uint64_t>(options.staleness_max.count()));
  }
}

template <class Request>
void FillConditions(const WriteOptions& options, Request* request) {
  for (const Condition& in : options.conditions) {
    v1::Condition* out = request->add_conditions();
    out->set_key(in.key);
    switch (in.test) {
      case Condition::Test::kValueEquals: out->set_value_equals(in.value); break;
      case Condition::Test::kVersionEquals: out->set_version_equals(in.version); break;
      case Condition::Test::kAbsent: out->set_absent(true); break;
      case Condition::Test::kPresent: out->set_absent(false); break;
    }
  }
}

void FillOperation(const Operation& in, v1::BatchOperation* out) {
  out->set_key(in.key);
  switch (in.type) {
    case Operation::Type::kPut:
      out->mutable_put()->set_value(in.value);
      out->mutable_put()->set_crc32c(ValueChecksum(in.key, in.value));
      out->mutable_put()->set_has_crc32c(true);
      break;
    case Operation::Type::kAppend:
      out->mutable_append()->set_suffix(in.value);
      out->mutable_append()->set_crc32c(ValueChecksum(in.key, in.value));
      out->mutable_append()->set_has_crc32c(true);
      break;
    case Operation::Type::kDelete: out->mutable_delete_(); break;
    case Operation::Type::kIncrement: out->mutable_increment()->set_delta(in.delta); break;
  }
}

absl::StatusOr<std::optional<Value>> TakeValue(std::string_view key, bool found,
                                               v1::Version* version) {
  if (!found) return std::nullopt;
  if (ValueChecksum(key, version->value()) != version->crc32c()) {
    return CorruptionError("the value received does not match its checksum", key);
  }
  return Value{std::move(*version->mutable_value()), version->version(), version->expires_at()};
}

WriteResult ToResult(const v1::WriteResponse& in) {
  WriteResult out;
  out.applied = in.applied();
  out.version = in.version();
  out.existed = in.existed();
  out.counter = in.counter();
  out.length = in.length();
  out.failed_condition = in.failed_condition();
  out.current_version = in.current_version();
  return out;
}

}  // namespace

RequestItem GetItem(std::string_view key, const ReadOptions& options) {
  RequestItem item;
  item.mutable_get()->set_key(std::string(key));
  FillRead(options, item.mutable_get()->mutable_read());
  return item;
}

RequestItem PutItem(std::string_view key, std::string_view value, const WriteOptions& options) {
  RequestItem item;
  v1::PutRequest* put = item.mutable_put();
  put->set_key(std::string(key));
  put->set_value(std::string(value));
  put->set_crc32c(ValueChecksum(key, value));
  put->set_has_crc32c(true);
  put->set_ttl_ms(static_cast<uint64_t>(options.ttl.count()));
  FillConditions(options, put);
  return item;
}

RequestItem AppendItem(std::string_view key, std::string_view suffix, const WriteOptions& options) {
  RequestItem item;
  v1::AppendRequest* append = item.mutable_append();
  append->set_key(std::string(key));
  append->set_suffix(std::string(suffix));
  append->set_crc32c(ValueChecksum(key, suffix));
  append->set_has_crc32c(true);
  FillConditions(options, append);
  return item;
}

RequestItem DeleteItem(std::string_view key, const WriteOptions& options) {
  RequestItem item;
  item.mutable_delete_()->set_key(std::string(key));
  FillConditions(options, item.mutable_delete_());
  return item;
}

RequestItem IncrementItem(std::string_view key, int64_t delta, const WriteOptions& options) {
  RequestItem item;
  item.mutable_increment()->set_key(std::string(key));
  item.mutable_increment()->set_delta(delta);
  FillConditions(options, item.mutable_increment());
  return item;
}

RequestItem MultiGetItem(const std::vector<std::string>& keys, const ReadOptions& options) {
  RequestItem item;
  for (const std::string& key : keys) item.mutable_multi_get()->add_keys(key);
  FillRead(options, item.mutable_multi_get()->mutable_read());
  return item;
}

RequestItem BatchItem(const std::vector<Operation>& operations, const WriteOptions& options,
                      const std::vector<Operation>& otherwise) {
  RequestItem item;
  for (const Operation& op : operations) FillOperation(op, item.mutable_batch()->add_operations());
  for (const Operation& op : otherwise) FillOperation(op, item.mutable_batch()->add_otherwise());
  FillConditions(options, item.mutable_batch());
  return item;
}

absl::StatusOr<WriteResult> WriteAnswer(const absl::StatusOr<ResponseItem>& answer) {
  if (!answer.ok()) return answer.status();
  return ToResult(answer->write());
}

absl::StatusOr<std::optional<Value>> GetAnswer(std::string_view key,
                                               absl::StatusOr<ResponseItem> answer) {
  if (!answer.ok()) return answer.status();
  v1::GetResponse* get = answer->mutable_get();
  return TakeValue(key, get->found(), get->mutable_version());
}

absl::StatusOr<std::vector<std::optional<Value>>> MultiGetAnswer(
    const std::vector<std::string>& keys, absl::StatusOr<ResponseItem> answer) {
  if (!answer.ok()) return answer.status();
  if (answer->multi_get().items_size() != static_cast<int>(keys.size())) {
    return absl::InternalError(absl::StrCat("asked for ", keys.size(), " keys, the answer holds ",
                                            answer->multi_get().items_size()));
  }
  std::vector<std::optional<Value>> values;
  for (size_t i = 0; i < keys.size(); ++i) {
    auto* found = answer->mutable_multi_get()->mutable_items(static_cast<int>(i));
    auto value = TakeValue(keys[i], found->found(), found->mutable_version());
    if (!value.ok()) return value.status();
    values.push_back(*std::move(value));
  }
  return values;
}

absl::StatusOr<BatchResult> BatchAnswer(const absl::StatusOr<ResponseItem>& answer) {
  if (!answer.ok()) return answer.status();
  BatchResult result;
  result.conditions_held = answer->batch().conditions_held();
  result.version = answer->batch().version();
  for (const auto& in : answer->batch().items()) {
    WriteResult& out = result.items.emplace_back();
    out.version = result.version;
    out.existed = in.existed();
    out.counter = in.counter();
    out.length = in.length();
  }
  return result;
}

}  // namespace kvd::client
