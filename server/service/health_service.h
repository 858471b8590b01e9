// gRPC's standard health protocol on the loop's own queue. gRPC's built-in one brings threads of
// its own, which poll the same connections: each request then costs wake-ups between threads. Lives
// on the loop.
#pragma once

#include <set>

#include "grpc/health/v1/health.grpc.pb.h"
#include "raft/runtime/cq_loop.h"

namespace kvd::service {

class HealthService {
 public:
  explicit HealthService(std::set<std::string> services) : services_(std::move(services)) {}

  grpc::Service* service() { return &service_; }
  void Start(grpc::ServerCompletionQueue* queue);
  // Takes no more calls and ends the watches.
  void Stop();
  // Tells those who watch, if it changes.
  void SetServing(bool serving);

 private:
  class Watch;

  const std::set<std::string> services_;  // full names
  grpc::health::v1::Health::AsyncService service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;
  bool stopped_ = false;
  bool serving_ = false;
  std::set<Watch*> watches_;
};

}  // namespace kvd::service
