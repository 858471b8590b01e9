// The internal Stores service, and the client's side of it: how stores ask each other for what
// controller and groups need.
#pragma once

#include <memory>
#include <set>

#include "client/src/grpc_network.h"
#include "kvd/internal/v1/store.grpc.pb.h"
#include "server/node/node.h"

namespace kvd::service {

class GrpcStoreCaller : public node::StoreCaller {
 public:
  // Both outlive it.
  GrpcStoreCaller(CqLoop* loop, client::GrpcNetwork* network) : loop_(loop), network_(network) {}

  void Call(const std::string& address, internal::v1::StoreRequest request, Duration timeout,
            node::StoreDone done) override;
  // Ends all calls; they fail.
  void Stop();

 private:
  struct State;

  CqLoop* const loop_;
  client::GrpcNetwork* const network_;
  bool stopped_ = false;
  std::set<grpc::ClientContext*> calls_;
};

class StoreService {
 public:
  explicit StoreService(node::Node* node) : node_(node) {}

  grpc::Service* service() { return &service_; }
  void Start(grpc::ServerCompletionQueue* queue);
  void Stop() { stopped_ = true; }

 private:
  node::Node* const node_;
  internal::v1::Stores::AsyncService service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;
  bool stopped_ = false;
};

}  // namespace kvd::service
