// Executes requests in the form in which the pipeline carries them: on the group here that serves
// the key, or at the store that leads the one that does. A request that was certainly not executed
// because it came to the wrong place goes on to where it was sent; nothing else is tried twice. The
// one way in for unary calls, pipelines, and the simulator. Lives on the store's loop.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "raft/host.h"
#include "server/service/router.h"
#include "server/service/translate.h"

namespace kvd::service {

using ItemCallback = std::function<void(ResponseItem)>;

// Carries a request to another store.
class Forwarder {
 public:
  virtual ~Forwarder() = default;
  // Calls back once: with the answer, or with why there is none. UNAVAILABLE only if the request
  // certainly was not executed.
  virtual void Forward(const std::string& address, RequestItem item,
                       std::function<void(absl::StatusOr<ResponseItem>)> done) = 0;
};

struct Identity {
  ClusterId cluster;
  StoreId store;
  std::string address;
};

struct DispatcherOptions {
  // Requests for a shard that is just arriving wait for it so long, and so many of them.
  Duration hold_max = milliseconds(2000);
  size_t held_max = 8192;
  size_t held_bytes_max = 64 << 20;
};

class Dispatcher {
 public:
  // Requests that went on to another store.
  uint64_t forwarded() const { return forwarded_; }
  // All given outlive the dispatcher. `forwarder` may be null: then nothing is forwarded.
  Dispatcher(Loop* loop, raft::Host* host, Router* router, Forwarder* forwarder, Identity identity,
             const DispatcherOptions& options = {})
      : loop_(loop),
        host_(host),
        router_(router),
        forwarder_(forwarder),
        identity_(std::move(identity)),
        options_(options) {}
  // Requests that are held are refused.
  ~Dispatcher();

  // Calls back exactly once, perhaps at once.
  void Execute(RequestItem item, ItemCallback done);

  // The shards of a group here have changed: what was held may go on.
  void OnShardsChanged();

  const Identity& identity() const { return identity_; }
  Router* router() const { return router_; }
  uint64_t held() const { return held_.size(); }

 private:
  struct Request {
    RequestItem item;
    ItemCallback done;
    std::string key;  // that it goes by; with `reverse` the end of its range
    bool reverse = false;
    MonotonicTime held_until = kLongAgo;  // if it was held
    int hops = 0;                         // places that it may still go on to
    GroupId meant;                        // by the store that passed it on; 0: not told
  };
  using RequestPtr = std::shared_ptr<Request>;
  struct Held {
    RequestPtr request;
    size_t bytes = 0;
    std::unique_ptr<Timer> timer;
    uint64_t id = 0;
  };

  absl::Status Check(const RequestItem& item) const;
  void Dispatch(const RequestPtr& request);
  void ExecuteWrite(const RequestPtr& request, const Route& route);
  bool CanForward(const Request& request, const Route& route) const;
  void Forward(const RequestPtr& request, const Route& route);
  void OnForwarded(const RequestPtr& request, const Route& route, bool kept,
                   absl::StatusOr<ResponseItem> answer);
  void Hold(const RequestPtr& request);
  // The group here does not serve `key`: waits, goes on elsewhere, or refuses.
  void NotServed(const RequestPtr& request, const Route& route, std::string_view key);
  void Refuse(const RequestItem& item, const Route& route, const absl::Status& status,
              const ItemCallback& done) const;
  void FillHeader(v1::ResponseHeader* header, const Route& route, Timestamp token) const;
  Route RouteOf(const Request& request);
  // What was passed on to a group here is for that group, though the map here may not know yet that
  // it has, or is about to have, the keys: else both stores would send it to each other.
  Route RouteMeant(GroupId meant, std::string_view key, bool reverse);
  // The group refused when applying: with whom to ask instead.
  absl::Status WithNewOwner(const absl::Status& refusal, const Request& request,
                            const Route& route);

  // dispatcher_read.cc
  // Answers a read of one key, if that needs nobody else. Whether it did.
  // What this store knows of the map.
  void Locate(const RequestItem& item, const ItemCallback& done);
  bool GetAtOnce(const RequestItem& item, const ItemCallback& done);
  void ExecuteRead(const RequestPtr& request, const Route& route, bool read_index);
  void Read(const RequestPtr& request, const Route& route,
            const absl::StatusOr<shard::ReadPoint>& point);
  absl::Status ReadGet(const RequestItem& item, const Route& route, Timestamp at,
                       ResponseItem* out) const;
  absl::Status ReadMultiGet(const RequestItem& item, const Route& route, Timestamp at,
                            ResponseItem* out) const;
  static absl::StatusOr<KeyRange> FillScan(const v1::ScanRequest& request, const Route& route,
                                           Timestamp at, v1::ScanResponse* response);
  absl::Status ReadScan(const RequestItem& item, const Route& route, Timestamp at,
                        ResponseItem* out) const;
  // Keys of a multi-get that several groups own.
  class MultiGetGathering;
  bool Gather(const RequestPtr& request, const Route& route);

  Loop* const loop_;
  raft::Host* const host_;
  Router* const router_;
  Forwarder* const forwarder_;
  uint64_t forwarded_ = 0;
  const Identity identity_;
  const DispatcherOptions options_;
  std::deque<Held> held_;
  size_t held_bytes_ = 0;
  uint64_t next_held_ = 1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::service
