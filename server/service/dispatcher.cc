#include "server/service/dispatcher.h"

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include "proto/fault_point.h"
#include "proto/limits.h"

namespace kvd::service {

std::string Dispatcher::LeaderAddress() const {
  StoreId leader = host_->LeaderStore(group_->group());
  if (leader == identity_.store) return identity_.address;
  auto it = group_->meta().stores.find(leader);
  return it == group_->meta().stores.end() ? "" : it->second.address;
}

void Dispatcher::FillHeader(v1::ResponseHeader* header, Timestamp token) const {
  header->set_cluster_id(identity_.cluster.value());
  header->set_store_id(identity_.store.value());
  header->set_group_id(group_->group().value());
  header->set_token(token.value());
  header->set_leader_address(LeaderAddress());
}

absl::Status Dispatcher::CheckHeader(const v1::RequestHeader& header) const {
  ClusterId named(header.cluster_id());
  if (named && named != identity_.cluster) return WrongClusterError(identity_.cluster, named);
  return absl::OkStatus();
}

void Dispatcher::Refuse(const RequestItem& item, const absl::Status& status,
                        const ItemCallback& done) const {
  ResponseItem out;
  out.set_id(item.id());
  absl::Status told = status;
  if (InfoOf(status).kind == ErrorKind::kNotLeader) {
    told = NotLeaderError(group_->group(), host_->LeaderStore(group_->group()), LeaderAddress());
  }
  SetError(told, &out);
  done(std::move(out));
}

void Dispatcher::Execute(RequestItem item, ItemCallback done) {
  const v1::RequestHeader* header = HeaderOf(item);
  if (header == nullptr) {
    return Refuse(item, absl::InvalidArgumentError("request: the item holds none"), done);
  }
  absl::Status status = CheckHeader(*header);
  size_t bytes = item.ByteSizeLong();
  if (bytes > kMessageBytesMax) status = LimitError("request", kRequestBytesMax, bytes, "bytes");
  if (!status.ok()) return Refuse(item, status, done);
  if (IsRead(item)) return ExecuteRead(std::move(item), /*read_index=*/false, std::move(done));
  if (!group_->leads() && CanForward(item)) return Forward(std::move(item), std::move(done));
  ExecuteWrite(std::move(item), std::move(done));
}

void Dispatcher::ExecuteWrite(RequestItem item, ItemCallback done) {
  auto command = ToCommand(&item);
  if (!command.ok()) return Refuse(item, command.status(), done);
  // What is left of the item tells which response to make.
  group_->Submit(*std::move(command), [this, item = std::move(item), done = std::move(done)](
                                          absl::StatusOr<shard::CommandResult> result) {
    if (!result.ok()) return Refuse(item, result.status(), done);
    KVD_FAULT_POINT(kAnswering);
    ResponseItem out;
    out.set_id(item.id());
    ToResponse(item, *result, &out);
    FillHeader(MutableHeaderOf(&out), result->applied_at);
    done(std::move(out));
  });
}

void Dispatcher::ExecuteRead(RequestItem item, bool read_index, ItemCallback done) {
  const v1::ReadOptions& options =
      item.request_case() == RequestItem::kGet ? item.get().read() : item.multi_get().read();
  auto spec = ToReadSpec(options);
  if (!spec.ok()) return Refuse(item, spec.status(), done);
  if (read_index) spec->mode = raft::ReadMode::kReadIndex;
  group_->PrepareRead(*spec, [this, item = std::move(item), done = std::move(done)](
                                 absl::StatusOr<shard::ReadPoint> point) mutable {
    if (!point.ok()) {
      if (InfoOf(point.status()).kind == ErrorKind::kNotLeader && CanForward(item)) {
        return Forward(std::move(item), std::move(done));
      }
      return Refuse(item, point.status(), done);
    }
    KVD_FAULT_POINT(kReadPrepared);
    ResponseItem out;
    out.set_id(item.id());
    absl::Status status = item.request_case() == RequestItem::kGet
                              ? ReadGet(item, point->at, &out)
                              : ReadMultiGet(item, point->at, &out);
    if (!status.ok()) return Refuse(item, status, done);
    KVD_FAULT_POINT(kReadDone);
    // The lease may have run out while reading: then only a round of heartbeats can tell.
    if (!group_->Confirm(*point)) {
      return ExecuteRead(std::move(item), /*read_index=*/true, std::move(done));
    }
    FillHeader(MutableHeaderOf(&out), point->at);
    done(std::move(out));
  });
}

absl::Status Dispatcher::ReadGet(const RequestItem& item, Timestamp at, ResponseItem* out) const {
  const std::string& key = item.get().key();
  absl::Status valid = CheckKey("key", key);
  if (!valid.ok()) return valid;
  if (group_->meta().shards.Serving(key) == nullptr) {
    return ShardMovedError(
        absl::StrCat("group ", group_->group().value(), " does not serve key ", Printable(key)));
  }
  auto found = group_->Get(key, at);
  if (!found.ok()) return group_->Unreadable(found.status());
  v1::GetResponse* response = out->mutable_get();
  response->set_read_timestamp(at.value());
  if (!found->has_value()) return absl::OkStatus();
  response->set_found(true);
  ToVersion((*found)->timestamp, (*found)->version, false, response->mutable_version());
  return absl::OkStatus();
}

absl::Status Dispatcher::ReadMultiGet(const RequestItem& item, Timestamp at,
                                      ResponseItem* out) const {
  const v1::MultiGetRequest& request = item.multi_get();
  if (request.keys().empty()) return LimitError("keys", 1, 0, "keys");
  if (static_cast<size_t>(request.keys_size()) > kMultiGetKeysMax) {
    return LimitError("keys", kMultiGetKeysMax, static_cast<uint64_t>(request.keys_size()), "keys");
  }
  v1::MultiGetResponse* response = out->mutable_multi_get();
  response->set_read_timestamp(at.value());
  size_t bytes = 0;
  for (const std::string& key : request.keys()) {
    absl::Status valid = CheckKey("keys", key);
    if (!valid.ok()) return valid;
    if (group_->meta().shards.Serving(key) == nullptr) {
      return ShardMovedError(absl::StrCat("keys: ", Printable(key), " is served by another group"));
    }
    auto found = group_->Get(key, at);
    if (!found.ok()) return group_->Unreadable(found.status());
    auto* row = response->add_items();
    if (!found->has_value()) continue;
    row->set_found(true);
    ToVersion((*found)->timestamp, (*found)->version, false, row->mutable_version());
    bytes += (*found)->version.value.size();
    if (bytes > kRequestBytesMax) {
      return LimitError("response (ask for fewer keys)", kRequestBytesMax, bytes, "bytes");
    }
  }
  return absl::OkStatus();
}

bool Dispatcher::CanForward(const RequestItem& item) const {
  if (forwarder_ == nullptr || HeaderOf(item)->forwarded()) return false;
  return host_->LeaderStore(group_->group()) != identity_.store && !LeaderAddress().empty();
}

void Dispatcher::Forward(RequestItem item, ItemCallback done) {
  KVD_FAULT_POINT(kForwarding);
  MutableHeaderOf(&item)->set_forwarded(true);
  RequestItem told;  // what a refusal needs
  told.set_id(item.id());
  forwarder_->Forward(
      LeaderAddress(), std::move(item),
      [this, told = std::move(told), done = std::move(done)](absl::StatusOr<ResponseItem> answer) {
        if (!answer.ok()) return Refuse(told, answer.status(), done);
        answer->set_id(told.id());
        done(*std::move(answer));
      });
}

void Dispatcher::PrepareScan(const v1::ScanRequest& request, shard::ReadPointCallback done) {
  absl::Status status = CheckHeader(request.header());
  if (status.ok()) status = CheckRange(request.range());
  if (status.ok() && request.page_bytes() != 0 &&
      (request.page_bytes() < kScanPageBytesMin || request.page_bytes() > kScanPageBytesMax)) {
    status =
        LimitError("page_bytes",
                   request.page_bytes() < kScanPageBytesMin ? kScanPageBytesMin : kScanPageBytesMax,
                   request.page_bytes(), "bytes");
  }
  if (!status.ok()) return done(std::move(status));
  auto spec = ToReadSpec(request.read());
  if (!spec.ok()) return done(spec.status());
  group_->PrepareRead(*spec, std::move(done));
}

absl::StatusOr<ScanPage> Dispatcher::ReadPage(const v1::ScanRequest& request,
                                              const shard::ReadPoint& point, uint64_t rows_so_far) {
  // Between pages the history may have been given up.
  if (point.at < group_->meta().safe_point) {
    return absl::OutOfRangeError(absl::StrCat(
        "the scan took longer than history is kept: it reads at timestamp ", point.at.value(),
        ", the history begins at ", group_->meta().safe_point.value()));
  }
  size_t page_bytes = request.page_bytes() == 0 ? kScanPageBytesDefault : request.page_bytes();
  // Counting sends nothing: bounded in rows instead, so that the loop gets its turn.
  constexpr uint64_t kRowsMax = 10'000;
  ScanPage page;
  uint64_t rows = 0;
  size_t bytes = 0;
  size_t examined_bytes = 0;  // checked, whether or not they are sent
  bool more = false;
  storage::ScanOptions options;
  options.range = {request.range().start(), request.range().end()};
  options.at = point.at;
  options.reverse = request.reverse();
  // Dead versions cost time as well: the loop must get its turn.
  options.examined_max = 50'000;
  auto row = [&](const std::string& key, Timestamp timestamp, const storage::Version& version) {
    if (request.limit() != 0 && rows_so_far + rows == request.limit()) return false;
    if (bytes >= page_bytes || examined_bytes >= kScanPageBytesMax || rows == kRowsMax) {
      more = true;
      // Forward goes on at this key; reverse at it too, as the exclusive end just behind it.
      page.resume_key = request.reverse() ? key + '\0' : key;
      return false;
    }
    ++rows;
    examined_bytes += version.value.size();
    if (request.count_only()) return true;
    auto* out = page.response.add_rows();
    out->set_key(key);
    ToVersion(timestamp, version, request.keys_only(), out->mutable_version());
    bytes += key.size() + (request.keys_only() ? 0 : version.value.size()) + 16;
    return true;
  };
  auto scanned = group_->reader().Scan(options, row);
  if (!scanned.ok()) return group_->Unreadable(scanned.status());
  if (scanned->has_value()) {
    more = true;
    page.resume_key = request.reverse() ? **scanned + '\0' : **scanned;
  }
  FillHeader(page.response.mutable_header(), point.at);
  page.response.set_read_timestamp(point.at.value());
  page.response.set_count(rows_so_far + rows);
  page.response.set_done(!more);
  return page;
}

}  // namespace kvd::service
