// Executes requests in the form in which the pipeline carries them: on the group here that serves
// the key, or, once, at the store that leads it. The one way in for unary calls, pipelines, and the
// simulator. Lives on the store's loop.
#pragma once

#include <functional>
#include <string>

#include "raft/host.h"
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

// Rows of a scan, a page at a time.
struct ScanPage {
  v1::ScanResponse response;
  std::string resume_key;  // where the next page begins (reverse: its exclusive end)
};

class Dispatcher {
 public:
  // All given outlive the dispatcher. `forwarder` may be null: then nothing is forwarded.
  Dispatcher(raft::Host* host, shard::DataGroup* group, Forwarder* forwarder, Identity identity)
      : host_(host), group_(group), forwarder_(forwarder), identity_(std::move(identity)) {}

  // Calls back exactly once, perhaps at once.
  void Execute(RequestItem item, ItemCallback done);

  // Where a scan may look; as DataGroup::PrepareRead, after checking the request.
  void PrepareScan(const v1::ScanRequest& request, shard::ReadPointCallback done);
  // One page of at most page_bytes at `point`, of what is left of the request's range.
  absl::StatusOr<ScanPage> ReadPage(const v1::ScanRequest& request, const shard::ReadPoint& point,
                                    uint64_t rows_so_far);

  // The address of the store that leads; empty if unknown.
  std::string LeaderAddress() const;
  void FillHeader(v1::ResponseHeader* header, Timestamp token) const;
  const Identity& identity() const { return identity_; }
  shard::DataGroup* group() const { return group_; }

 private:
  absl::Status CheckHeader(const v1::RequestHeader& header) const;
  void ExecuteWrite(RequestItem item, ItemCallback done);
  void ExecuteRead(RequestItem item, bool read_index, ItemCallback done);
  absl::Status ReadGet(const RequestItem& item, Timestamp at, ResponseItem* out) const;
  absl::Status ReadMultiGet(const RequestItem& item, Timestamp at, ResponseItem* out) const;
  void Refuse(const RequestItem& item, const absl::Status& status, const ItemCallback& done) const;
  bool CanForward(const RequestItem& item) const;
  void Forward(RequestItem item, ItemCallback done);

  raft::Host* const host_;
  shard::DataGroup* const group_;
  Forwarder* const forwarder_;
  const Identity identity_;
};

}  // namespace kvd::service
