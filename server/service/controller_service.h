// The public Controller service, at any store: each call goes to the controller's leader.
#pragma once

#include "kvd/v1/controller.grpc.pb.h"
#include "raft/runtime/cq_loop.h"
#include "server/node/node.h"

namespace kvd::service {

class ControllerService {
 public:
  explicit ControllerService(node::Node* node) : node_(node) {}

  grpc::Service* service() { return &service_; }
  void Start(grpc::ServerCompletionQueue* queue);
  void Stop() { stopped_ = true; }

 private:
  node::Node* const node_;
  v1::Controller::AsyncService service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;
  bool stopped_ = false;
};

}  // namespace kvd::service
