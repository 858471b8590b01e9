#include "server/service/request_keys.h"

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include "proto/limits.h"

namespace kvd::service {
namespace {

template <class Conditions>
void KeysOf(const Conditions& conditions, const std::function<void(const std::string&)>& f) {
  for (const auto& c : conditions) f(c.key());
}

absl::Status CheckMultiGet(const v1::MultiGetRequest& request) {
  if (request.keys().empty()) return LimitError("keys", 1, 0, "keys");
  if (static_cast<size_t>(request.keys_size()) > kMultiGetKeysMax) {
    return LimitError("keys", kMultiGetKeysMax, static_cast<uint64_t>(request.keys_size()), "keys");
  }
  for (const std::string& key : request.keys()) {
    absl::Status valid = CheckKey("keys", key);
    if (!valid.ok()) return valid;
  }
  return absl::OkStatus();
}

absl::Status CheckScan(const v1::ScanRequest& request) {
  absl::Status status = CheckRange(request.range());
  if (!status.ok() || request.page_bytes() == 0) return status;
  if (request.page_bytes() >= kScanPageBytesMin && request.page_bytes() <= kScanPageBytesMax)
    return status;
  return LimitError(
      "page_bytes",
      request.page_bytes() < kScanPageBytesMin ? kScanPageBytesMin : kScanPageBytesMax,
      request.page_bytes(), "bytes");
}

absl::Status CheckLocate(const v1::LocateRequest& request) {
  if (!request.end().empty() && request.end() <= request.start()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "end: ", Printable(request.end()), " is not behind start, ", Printable(request.start())));
  }
  if (request.limit() > kLocateShardsMax)
    return LimitError("limit", kLocateShardsMax, request.limit(), "shards");
  return absl::OkStatus();
}

}  // namespace

void ForEachKey(const RequestItem& item, const std::function<void(const std::string&)>& f) {
  switch (item.request_case()) {
    case RequestItem::kPut: f(item.put().key()); return KeysOf(item.put().conditions(), f);
    case RequestItem::kAppend: f(item.append().key()); return KeysOf(item.append().conditions(), f);
    case RequestItem::kDelete:
      f(item.delete_().key());
      return KeysOf(item.delete_().conditions(), f);
    case RequestItem::kIncrement: f(item.increment().key()); return;
    case RequestItem::kDeleteRange: f(item.delete_range().range().start()); return;
    case RequestItem::kBatch:
      KeysOf(item.batch().operations(), f);
      KeysOf(item.batch().otherwise(), f);
      return KeysOf(item.batch().conditions(), f);
    default: return;
  }
}

const v1::ReadOptions& ReadOptionsOf(const RequestItem& item) {
  if (item.has_get()) return item.get().read();
  return item.has_scan() ? item.scan().read() : item.multi_get().read();
}

absl::Status CheckRead(const RequestItem& item) {
  if (item.has_get()) return CheckKey("key", item.get().key());
  if (item.has_multi_get()) return CheckMultiGet(item.multi_get());
  if (item.has_scan()) return CheckScan(item.scan());
  if (item.has_locate()) return CheckLocate(item.locate());
  return absl::OkStatus();
}

}  // namespace kvd::service
