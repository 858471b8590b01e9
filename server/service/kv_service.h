// The public Kv service, asynchronous on the loop's queue. Translation only: requests go to the
// dispatcher in the pipeline's form.
#pragma once

#include <memory>

#include "client/src/grpc_network.h"
#include "kvd/v1/kv.grpc.pb.h"
#include "server/service/answer_budget.h"
#include "server/service/dispatcher.h"
#include "server/service/metrics.h"

namespace kvd::service {

// Forwards over the same pipelines that clients use.
class PipelineForwarder : public Forwarder {
 public:
  explicit PipelineForwarder(client::GrpcNetwork* network) : network_(network) {}
  void Forward(const std::string& address, RequestItem item,
               std::function<void(absl::StatusOr<ResponseItem>)> done) override;

 private:
  client::GrpcNetwork* const network_;
};

class KvService {
 public:
  // All given outlive the service.
  KvService(CqLoop* loop, Dispatcher* dispatcher, client::GrpcNetwork* network, Metrics* metrics)
      : loop_(loop), dispatcher_(dispatcher), network_(network), metrics_(metrics) {}

  grpc::Service* service() { return &service_; }
  void Start(grpc::ServerCompletionQueue* queue);
  void Stop() { stopped_ = true; }

 private:
  class PipelineStream;
  class ScanStream;

  // Dispatches and measures.
  void Execute(RequestItem item, ItemCallback done);
  void StartUnary();
  // In pipeline_stream.cc and scan_stream.cc: take streams from now on.
  void AcceptPipeline();
  void AcceptScan();

  CqLoop* const loop_;
  Dispatcher* const dispatcher_;
  client::GrpcNetwork* const network_;
  Metrics* const metrics_;
  v1::Kv::AsyncService service_;
  grpc::ServerCompletionQueue* queue_ = nullptr;
  // Calls may outlive the service.
  const std::shared_ptr<AnswerBudget> budget_ = std::make_shared<AnswerBudget>();
  bool stopped_ = false;
};

}  // namespace kvd::service
