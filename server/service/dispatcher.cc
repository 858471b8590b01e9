#include "server/service/dispatcher.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/fault_point.h"
#include "proto/limits.h"
#include "server/service/request_keys.h"

namespace kvd::service {
namespace {

constexpr int kHopsMax = 3;
// A larger request is not kept to be sent on elsewhere.
constexpr size_t kKeptBytesMax = 256 << 10;

// One log entry is one group's: what names keys of several can't be done at once.
absl::Status CheckOneGroup(const RequestItem& item, Router* router) {
  absl::Status status;
  Route route = router->Find(RoutingKey(item));
  ForEachKey(item, [&](const std::string& key) {
    if (!status.ok()) return;
    Route other = router->Find(key);
    if (!other.group || other.group == route.group) return;
    // No verdict: an earlier attempt may have been applied when they were one group's.
    status = AcrossGroupsError(
        key,
        absl::StrCat("keys of one write must be in one group: key ", Printable(RoutingKey(item)),
                     " is in group ", route.group.value(), ", key ", Printable(key), " in group ",
                     other.group.value(), "; send them apart"));
  });
  return status;
}

}  // namespace

Dispatcher::~Dispatcher() {
  std::deque<Held> held;
  held.swap(held_);
  for (Held& h : held) {
    Refuse(h.request->item, Route(), absl::UnavailableError("the store is stopping"),
           h.request->done);
  }
}

void Dispatcher::FillHeader(v1::ResponseHeader* header, const Route& route, Timestamp token) const {
  header->set_cluster_id(identity_.cluster.value());
  header->set_store_id(identity_.store.value());
  header->set_group_id(route.group.value());
  header->set_token(token.value());
  header->set_leader_address(route.address);
}

absl::Status Dispatcher::Check(const RequestItem& item) const {
  const v1::RequestHeader* header = HeaderOf(item);
  if (header == nullptr) return absl::InvalidArgumentError("request: the item holds none");
  ClusterId named(header->cluster_id());
  if (named && named != identity_.cluster) return WrongClusterError(identity_.cluster, named);
  size_t bytes = item.ByteSizeLong();
  if (bytes > kMessageBytesMax) return LimitError("request", kRequestBytesMax, bytes, "bytes");
  return CheckRead(item);
}

void Dispatcher::Refuse(const RequestItem& item, const Route& route, const absl::Status& status,
                        const ItemCallback& done) const {
  ResponseItem out;
  out.set_id(item.id());
  absl::Status told = status;
  // Who is in the way here knows of no addresses.
  if (InfoOf(status).kind == ErrorKind::kNotLeader)
    told = NotLeaderError(route.group, route.leader, route.address);
  SetError(told, &out);
  done(std::move(out));
}

void Dispatcher::Execute(RequestItem item, ItemCallback done) {
  absl::Status status = Check(item);
  if (!status.ok()) return Refuse(item, Route(), status, done);
  if (item.has_locate()) return Locate(item, done);
  if (item.has_get() && GetAtOnce(item, done)) return;
  auto request = std::make_shared<Request>();
  request->key = RoutingKey(item);
  request->reverse = item.has_scan() && item.scan().reverse();
  bool forwarded = HeaderOf(item)->forwarded();
  request->hops = forwarded ? 0 : kHopsMax;
  if (forwarded) request->meant = GroupId(HeaderOf(item)->group_id());
  request->item = std::move(item);
  request->done = std::move(done);
  Dispatch(request);
}

void Dispatcher::Locate(const RequestItem& item, const ItemCallback& done) {
  constexpr size_t kUsual = 100;
  const v1::LocateRequest& request = item.locate();
  size_t most = request.limit() == 0 ? kUsual : request.limit();
  ResponseItem out;
  out.set_id(item.id());
  FillHeader(out.mutable_locate()->mutable_header(), Route(), Timestamp());
  for (const LocatedShard& located : router_->Locate(request.start(), request.end(), most)) {
    auto* shard = out.mutable_locate()->add_shards();
    shard->set_start(located.range.start);
    shard->set_end(located.range.end);
    shard->set_shard_id(located.shard.value());
    shard->set_epoch(located.epoch.value());
    shard->set_group_id(located.route.group.value());
    shard->set_leader_address(located.route.address);
  }
  if (request.stores()) {
    for (std::string& address : router_->StoreAddresses(kLocateStoresMax))
      out.mutable_locate()->add_store_addresses(std::move(address));
  }
  done(std::move(out));
}

Route Dispatcher::RouteMeant(GroupId meant, std::string_view key, bool reverse) {
  if (meant) {
    Route route = router_->To(meant);
    if (route.here != nullptr) return route;
  }
  return reverse ? router_->FindBefore(key) : router_->Find(key);
}

Route Dispatcher::RouteOf(const Request& request) {
  return RouteMeant(request.meant, request.key, request.reverse);
}

absl::Status Dispatcher::WithNewOwner(const absl::Status& refusal, const Request& request,
                                      const Route& route) {
  if (InfoOf(refusal).kind != ErrorKind::kShardMoved) return refusal;
  ErrorInfo now = router_->WhoHas(request.key, request.reverse, route.group);
  return now.group ? ShardMovedError(FromAbsl(refusal.message()), now) : refusal;
}

void Dispatcher::Dispatch(const RequestPtr& request) {
  Route route = RouteOf(*request);
  if (!route.group) {
    return Refuse(request->item, route,
                  absl::UnavailableError(absl::StrCat("who owns key ", Printable(request->key),
                                                      " is not known here yet")),
                  request->done);
  }
  if (Gather(request, route)) return;
  bool read = IsRead(request->item);
  bool elsewhere = route.here == nullptr || (!read && !route.here->leads());
  if (elsewhere && CanForward(*request, route)) return Forward(request, route);
  if (route.here == nullptr) {
    return Refuse(request->item, route, NotLeaderError(route.group, route.leader, route.address),
                  request->done);
  }
  if (read) return ExecuteRead(request, route, /*read_index=*/false);
  ExecuteWrite(request, route);
}

// Whether its keys are served is decided when it is applied; what would be refused then goes
// elsewhere at once.
void Dispatcher::ExecuteWrite(const RequestPtr& request, const Route& route) {
  if (route.here->ready()) {
    const shard::ShardTable& shards = route.here->meta().shards;
    std::optional<std::string> missing;
    ForEachKey(request->item, [&](const std::string& key) {
      if (!missing && shards.Serving(key) == nullptr) missing = key;
    });
    if (missing) {
      absl::Status across = CheckOneGroup(request->item, router_);
      if (!across.ok()) return Refuse(request->item, route, across, request->done);
      return NotServed(request, route, *missing);
    }
  }
  auto command = ToCommand(&request->item);
  if (!command.ok()) return Refuse(request->item, route, command.status(), request->done);
  // What is left of the item tells which response to make.
  route.here->Submit(
      *std::move(command), [this, request, route](absl::StatusOr<shard::CommandResult> result) {
        if (!result.ok())
          return Refuse(request->item, RouteOf(*request),
                        WithNewOwner(result.status(), *request, route), request->done);
        KVD_FAULT_POINT(kAnswering);
        ResponseItem out;
        out.set_id(request->item.id());
        ToResponse(request->item, *result, &out);
        FillHeader(MutableHeaderOf(&out), route, result->applied_at);
        request->done(std::move(out));
      });
}

void Dispatcher::NotServed(const RequestPtr& request, const Route& route, std::string_view key) {
  const shard::ShardTable& shards = route.here->meta().shards;
  bool before = request->reverse;
  const shard::ShardDescriptor* shard = before ? shards.Before(key) : shards.At(key);
  if (shard != nullptr && shard->state == shard::ShardState::kImporting && route.here->ready())
    return Hold(request);
  ErrorInfo now = router_->WhoHas(key, before, route.group);
  absl::Status status = ShardMovedError(
      absl::StrCat("group ", route.group.value(), " does not serve key ", Printable(key)), now);
  if (request->hops > 0 && now.group && now.group != route.group) {
    --request->hops;
    router_->Note(key, before, route, InfoOf(status));
    // The keys of a multi-get may be several groups' by now.
    if (request->item.has_multi_get() || RouteOf(*request).group != route.group)
      return Dispatch(request);
  }
  Refuse(request->item, route, status, request->done);
}

// It is about to be served here: whoever sent it was told so by the group that had it.
void Dispatcher::Hold(const RequestPtr& request) {
  size_t bytes = request->item.ByteSizeLong();
  if (held_.size() >= options_.held_max || held_bytes_ + bytes > options_.held_bytes_max) {
    return Refuse(request->item, Route(),
                  BusyError("too many requests wait for a shard to arrive", 50), request->done);
  }
  uint64_t id = next_held_++;
  Held held{request, bytes, nullptr, id};
  // Other shards' changes look at it again, and give it no more time.
  if (request->held_until == kLongAgo) request->held_until = loop_->Now() + options_.hold_max;
  Duration left = std::max<Duration>(request->held_until - loop_->Now(), Duration::zero());
  held.timer = loop_->After(left, [this, id] {
    auto it = std::find_if(held_.begin(), held_.end(), [id](const Held& h) { return h.id == id; });
    if (it == held_.end()) return;
    Held late = std::move(*it);
    held_.erase(it);
    held_bytes_ -= late.bytes;
    loop_->Post([timer = std::shared_ptr<Timer>(std::move(late.timer))] {});
    Refuse(late.request->item, Route(), BusyError("the shard has not arrived here yet", 50),
           late.request->done);
  });
  held_.push_back(std::move(held));
  held_bytes_ += bytes;
}

// Not within the turn that applies the change.
void Dispatcher::OnShardsChanged() {
  if (held_.empty()) return;
  loop_->Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    std::deque<Held> held;
    held.swap(held_);
    held_bytes_ = 0;
    for (Held& h : held) Dispatch(h.request);
  });
}

bool Dispatcher::CanForward(const Request& request, const Route& route) const {
  if (forwarder_ == nullptr || HeaderOf(request.item)->forwarded()) return false;
  return route.leader != identity_.store && !route.address.empty();
}

void Dispatcher::Forward(const RequestPtr& request, const Route& route) {
  KVD_FAULT_POINT(kForwarding);
  ++forwarded_;
  bool kept = request->hops > 0 && request->item.ByteSizeLong() <= kKeptBytesMax;
  bool read = IsRead(request->item);
  RequestItem item;
  if (kept) {
    item = request->item;
  } else {
    item.set_id(request->item.id());
    item.Swap(&request->item);
    request->item.set_id(item.id());
  }
  MutableHeaderOf(&item)->set_forwarded(true);
  MutableHeaderOf(&item)->set_group_id(route.group.value());
  forwarder_->Forward(route.address, std::move(item),
                      [this, request, route, kept, read](absl::StatusOr<ResponseItem> answer) {
                        // Whether a read was executed is all the same.
                        if (!answer.ok() && read) {
                          answer = absl::UnavailableError(absl::StrCat(
                              "store ", route.leader.value(),
                              " gave no answer: ", std::string(answer.status().message())));
                        }
                        OnForwarded(request, route, kept, std::move(answer));
                      });
}

void Dispatcher::OnForwarded(const RequestPtr& request, const Route& route, bool kept,
                             absl::StatusOr<ResponseItem> answer) {
  ErrorInfo info = InfoOf(answer.ok() ? ErrorOf(*answer) : answer.status());
  bool elsewhere = info.kind == ErrorKind::kNotLeader || info.kind == ErrorKind::kShardMoved;
  if (!answer.ok()) router_->NoteLost(route);
  if (elsewhere) router_->Note(request->key, request->reverse, route, info);
  // Certainly not executed there.
  bool free = elsewhere || (!answer.ok() && absl::IsUnavailable(answer.status()));
  if (free && kept && request->hops > 0) {
    Route next = RouteOf(*request);
    bool other = next.group != route.group || next.leader != route.leader;
    --request->hops;
    if (other && next.group) return Dispatch(request);
  }
  if (!answer.ok()) return Refuse(request->item, route, answer.status(), request->done);
  answer->set_id(request->item.id());
  request->done(*std::move(answer));
}

}  // namespace kvd::service
