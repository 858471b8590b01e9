#include "client/src/items.h"

namespace kvd::client {
namespace {

const std::string& FirstOf(const v1::BatchRequest& batch) {
  static const std::string none;
  if (!batch.operations().empty()) return batch.operations(0).key();
  if (!batch.otherwise().empty()) return batch.otherwise(0).key();
  return batch.conditions().empty() ? none : batch.conditions(0).key();
}

}  // namespace

const v1::RequestHeader* HeaderOf(const RequestItem& item) {
  switch (item.request_case()) {
    case RequestItem::kGet: return &item.get().header();
    case RequestItem::kMultiGet: return &item.multi_get().header();
    case RequestItem::kScan: return &item.scan().header();
    case RequestItem::kPut: return &item.put().header();
    case RequestItem::kAppend: return &item.append().header();
    case RequestItem::kDelete: return &item.delete_().header();
    case RequestItem::kIncrement: return &item.increment().header();
    case RequestItem::kDeleteRange: return &item.delete_range().header();
    case RequestItem::kBatch: return &item.batch().header();
    case RequestItem::kLocate: return &item.locate().header();
    case RequestItem::kSealed:  // opened by who reads the stream
    case RequestItem::REQUEST_NOT_SET: return nullptr;
  }
  return nullptr;
}

v1::RequestHeader* MutableHeaderOf(RequestItem* item) {
  switch (item->request_case()) {
    case RequestItem::kGet: return item->mutable_get()->mutable_header();
    case RequestItem::kMultiGet: return item->mutable_multi_get()->mutable_header();
    case RequestItem::kScan: return item->mutable_scan()->mutable_header();
    case RequestItem::kPut: return item->mutable_put()->mutable_header();
    case RequestItem::kAppend: return item->mutable_append()->mutable_header();
    case RequestItem::kDelete: return item->mutable_delete_()->mutable_header();
    case RequestItem::kIncrement: return item->mutable_increment()->mutable_header();
    case RequestItem::kDeleteRange: return item->mutable_delete_range()->mutable_header();
    case RequestItem::kBatch: return item->mutable_batch()->mutable_header();
    case RequestItem::kLocate: return item->mutable_locate()->mutable_header();
    case RequestItem::kSealed:
    case RequestItem::REQUEST_NOT_SET: return nullptr;
  }
  return nullptr;
}

const v1::ResponseHeader* HeaderOf(const ResponseItem& item) {
  switch (item.response_case()) {
    case ResponseItem::kGet: return &item.get().header();
    case ResponseItem::kMultiGet: return &item.multi_get().header();
    case ResponseItem::kScan: return &item.scan().header();
    case ResponseItem::kWrite: return &item.write().header();
    case ResponseItem::kDeleteRange: return &item.delete_range().header();
    case ResponseItem::kBatch: return &item.batch().header();
    case ResponseItem::kLocate: return &item.locate().header();
    case ResponseItem::kSealed:
    case ResponseItem::RESPONSE_NOT_SET: return nullptr;
  }
  return nullptr;
}

v1::ResponseHeader* MutableHeaderOf(ResponseItem* item) {
  switch (item->response_case()) {
    case ResponseItem::kGet: return item->mutable_get()->mutable_header();
    case ResponseItem::kMultiGet: return item->mutable_multi_get()->mutable_header();
    case ResponseItem::kScan: return item->mutable_scan()->mutable_header();
    case ResponseItem::kWrite: return item->mutable_write()->mutable_header();
    case ResponseItem::kDeleteRange: return item->mutable_delete_range()->mutable_header();
    case ResponseItem::kBatch: return item->mutable_batch()->mutable_header();
    case ResponseItem::kLocate: return item->mutable_locate()->mutable_header();
    case ResponseItem::kSealed:
    case ResponseItem::RESPONSE_NOT_SET: return nullptr;
  }
  return nullptr;
}

bool IsRead(const RequestItem& item) {
  return item.has_get() || item.has_multi_get() || item.has_scan() || item.has_locate();
}

const std::string& RoutingKey(const RequestItem& item) {
  static const std::string none;
  switch (item.request_case()) {
    case RequestItem::kGet: return item.get().key();
    case RequestItem::kMultiGet:
      return item.multi_get().keys_size() > 0 ? item.multi_get().keys(0) : none;
    case RequestItem::kScan:
      return item.scan().reverse() ? item.scan().range().end() : item.scan().range().start();
    case RequestItem::kPut: return item.put().key();
    case RequestItem::kAppend: return item.append().key();
    case RequestItem::kDelete: return item.delete_().key();
    case RequestItem::kIncrement: return item.increment().key();
    case RequestItem::kDeleteRange: return item.delete_range().range().start();
    case RequestItem::kBatch: return FirstOf(item.batch());
    case RequestItem::kLocate: return item.locate().start();
    case RequestItem::kSealed:
    case RequestItem::REQUEST_NOT_SET: break;
  }
  return none;
}

}  // namespace kvd::client
