// The dispatcher's reads.
#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/fault_point.h"
#include "proto/limits.h"
#include "server/service/dispatcher.h"
#include "server/service/request_keys.h"
#include "server/service/scan_page.h"

namespace kvd::service {
namespace {

// A key that the group does not serve.
absl::Status Elsewhere(std::string_view key) {
  ErrorInfo none;
  return ShardMovedError(std::string(key), none);
}

}  // namespace

bool Dispatcher::GetAtOnce(const RequestItem& item, const ItemCallback& done) {
  const v1::RequestHeader& header = *HeaderOf(item);
  GroupId meant = header.forwarded() ? GroupId(header.group_id()) : GroupId();
  Route route = RouteMeant(meant, item.get().key(), /*reverse=*/false);
  auto spec = ToReadSpec(item.get().read());
  if (route.here == nullptr || !spec.ok()) return false;
  auto point = route.here->TryPrepareRead(*spec);
  if (!point) return false;
  KVD_FAULT_POINT(kReadPrepared);
  ResponseItem out;
  out.set_id(item.id());
  absl::Status status = ReadGet(item, route, point->at, &out);
  if (!status.ok()) return false;
  KVD_FAULT_POINT(kReadDone);
  if (!route.here->Confirm(*point)) return false;
  FillHeader(MutableHeaderOf(&out), route, point->at);
  done(std::move(out));
  return true;
}

void Dispatcher::ExecuteRead(const RequestPtr& request, const Route& route, bool read_index) {
  auto spec = ToReadSpec(ReadOptionsOf(request->item));
  if (!spec.ok()) return Refuse(request->item, route, spec.status(), request->done);
  if (read_index) spec->mode = raft::ReadMode::kReadIndex;
  route.here->PrepareRead(*spec,
                          [this, request, route](const absl::StatusOr<shard::ReadPoint>& point) {
                            Read(request, route, point);
                          });
}

void Dispatcher::Read(const RequestPtr& request, const Route& route,
                      const absl::StatusOr<shard::ReadPoint>& point) {
  if (!point.ok()) {
    Route now = RouteOf(*request);
    if (InfoOf(point.status()).kind == ErrorKind::kNotLeader && CanForward(*request, now))
      return Forward(request, now);
    return Refuse(request->item, now, point.status(), request->done);
  }
  KVD_FAULT_POINT(kReadPrepared);
  ResponseItem out;
  out.set_id(request->item.id());
  absl::Status status;
  switch (request->item.request_case()) {
    case RequestItem::kGet: status = ReadGet(request->item, route, point->at, &out); break;
    case RequestItem::kScan: status = ReadScan(request->item, route, point->at, &out); break;
    default: status = ReadMultiGet(request->item, route, point->at, &out); break;
  }
  if (InfoOf(status).kind == ErrorKind::kShardMoved)
    return NotServed(request, route, FromAbsl(status.message()));
  if (!status.ok()) return Refuse(request->item, route, status, request->done);
  KVD_FAULT_POINT(kReadDone);
  // The lease may have run out while reading: then only a round of heartbeats can tell.
  if (!route.here->Confirm(*point)) return ExecuteRead(request, route, /*read_index=*/true);
  FillHeader(MutableHeaderOf(&out), route, point->at);
  request->done(std::move(out));
}

absl::Status Dispatcher::ReadGet(const RequestItem& item, const Route& route, Timestamp at,
                                 ResponseItem* out) const {
  const std::string& key = item.get().key();
  const shard::ShardDescriptor* shard = route.here->meta().shards.Serving(key);
  if (shard == nullptr) return Elsewhere(key);
  route.here->NoteRead(*shard, key);
  auto found = route.here->Get(key, at);
  if (!found.ok()) return route.here->Unreadable(found.status());
  v1::GetResponse* response = out->mutable_get();
  response->set_read_timestamp(at.value());
  if (!found->has_value()) return absl::OkStatus();
  response->set_found(true);
  ToVersion((*found)->timestamp, (*found)->version, false, response->mutable_version());
  return absl::OkStatus();
}

absl::Status Dispatcher::ReadMultiGet(const RequestItem& item, const Route& route, Timestamp at,
                                      ResponseItem* out) const {
  v1::MultiGetResponse* response = out->mutable_multi_get();
  response->set_read_timestamp(at.value());
  size_t bytes = 0;
  for (const std::string& key : item.multi_get().keys()) {
    const shard::ShardDescriptor* shard = route.here->meta().shards.Serving(key);
    if (shard == nullptr) return Elsewhere(key);
    route.here->NoteRead(*shard, key);
    auto found = route.here->Get(key, at);
    if (!found.ok()) return route.here->Unreadable(found.status());
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

namespace {

// Most pages that are bounded in rows end in their first shards; the others may be many thousand.
constexpr size_t kLookedAtFirst = 32;

KeyRange Served(const shard::ShardTable& shards, const v1::ScanRequest& request,
                size_t shards_max) {
  KeyRange asked{request.range().start(), request.range().end()};
  return request.reverse() ? shards.ServedEnd(asked, shards_max)
                           : shards.ServedStart(asked, shards_max);
}

bool HasEnough(const v1::ScanRequest& request, const v1::ScanResponse& response) {
  return request.limit() != 0 && response.count() >= request.limit();
}

}  // namespace

// Fills in the rows; the part of the range that this group serves, of which they are the first. May
// be less than it serves if that has rows enough.
absl::StatusOr<KeyRange> Dispatcher::FillScan(const v1::ScanRequest& request, const Route& route,
                                              Timestamp at, v1::ScanResponse* response) {
  const shard::ShardTable& shards = route.here->meta().shards;
  bool few = request.limit() != 0 && !request.probe();
  KeyRange served = Served(shards, request, few ? kLookedAtFirst : ~size_t{0});
  if (served.Empty() || request.probe()) return served;
  absl::Status filled = FillPage(request, served, at, route.here->reader(), response);
  if (!filled.ok()) return filled;
  if (!few || HasEnough(request, *response)) return served;
  KeyRange all = Served(shards, request, ~size_t{0});
  if (all == served || !response->done()) return all;
  response->Clear();
  filled = FillPage(request, all, at, route.here->reader(), response);
  if (!filled.ok()) return filled;
  return all;
}

// One page, of what this group serves of the range without a gap.
absl::Status Dispatcher::ReadScan(const RequestItem& item, const Route& route, Timestamp at,
                                  ResponseItem* out) const {
  const v1::ScanRequest& request = item.scan();
  const shard::ShardTable& shards = route.here->meta().shards;
  KeyRange asked{request.range().start(), request.range().end()};
  const std::string& first = request.reverse() ? asked.end : asked.start;
  const shard::ShardDescriptor* shard = request.reverse() ? shards.Before(first) : shards.At(first);
  if (Served(shards, request, 1).Empty()) return Elsewhere(first);
  if (shard != nullptr) route.here->NoteRead(*shard, std::max(first, shard->range.start));
  // Between pages the history may have been given up.
  if (at < route.here->meta().floor) {
    return absl::OutOfRangeError(
        absl::StrCat("the scan took longer than history is kept: it reads at timestamp ",
                     at.value(), ", the history begins at ", route.here->meta().floor.value()));
  }
  v1::ScanResponse* response = out->mutable_scan();
  response->set_done(true);
  auto served = FillScan(request, route, at, response);
  if (!served.ok()) return route.here->Unreadable(served.status());
  response->set_read_timestamp(at.value());
  response->set_rest_elsewhere(*served != asked);
  if (!response->done() || *served == asked || HasEnough(request, *response))
    return absl::OkStatus();
  // The rest is another group's.
  response->set_done(false);
  response->set_resume_key(request.reverse() ? served->start : served->end);
  return absl::OkStatus();
}

}  // namespace kvd::service
