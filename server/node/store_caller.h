// The way from a store to another one for what controller, groups and stores say to each other.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "kvd/internal/v1/store.pb.h"
#include "raft/runtime/time.h"

namespace kvd::node {

namespace wire = internal::v1;

using StoreDone = std::function<void(absl::StatusOr<wire::StoreResponse>)>;

class StoreCaller {
 public:
  virtual ~StoreCaller() = default;
  // Calls back once, on the loop, within `timeout`, unless the caller is gone by then.
  virtual void Call(const std::string& address, wire::StoreRequest request, Duration timeout,
                    StoreDone done) = 0;
};

}  // namespace kvd::node
