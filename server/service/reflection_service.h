// gRPC's standard reflection protocol on the loop's own queue, for the same reason as the health
// service: gRPC's built-in one brings polling threads. Lives on the loop.
#pragma once

#include <string>
#include <vector>

#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "raft/runtime/cq_loop.h"

namespace kvd::service {

class ReflectionService {
 public:
  // Full names of the services to tell of; their descriptors are the generated ones.
  explicit ReflectionService(std::vector<std::string> services) : services_(std::move(services)) {}

  grpc::Service* service() { return &service_; }
  void Start(grpc::ServerCompletionQueue* queue);
  // Takes no more calls; streams under way end with the server.
  void Stop() { stopped_ = true; }

 private:
  class Stream;
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;
  void Answer(const Request& request, Response* response) const;

  const std::vector<std::string> services_;
  grpc::reflection::v1alpha::ServerReflection::AsyncService service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;
  bool stopped_ = false;
};

}  // namespace kvd::service
