// The client's way to the stores over gRPC: one Pipeline stream per address. What is submitted
// while a message is being written leaves together in the next one. Also carries requests that one
// store forwards to another. Lives on its loop.
#pragma once

#include <grpcpp/channel.h>

#include <map>
#include <memory>
#include <string>

#include "client/src/session.h"
#include "kvd/v1/kv.grpc.pb.h"
#include "raft/runtime/cq_loop.h"

namespace kvd::client {

class GrpcNetwork : public Network {
 public:
  // `sealed`: what is sent and answered has a checksum, see Sealed in kv.proto.
  explicit GrpcNetwork(CqLoop* loop, bool sealed = false) : loop_(loop), sealed_(sealed) {}
  ~GrpcNetwork() override;

  void Call(const std::string& address, RequestItem item, Duration timeout,
            std::function<void(absl::StatusOr<ResponseItem>)> done) override;

  // The channel to an address, shared with the pipeline's.
  std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address);
  // Ends all streams; their calls fail.
  void Stop();

 private:
  class Stream;

  CqLoop* const loop_;
  const bool sealed_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;
  std::map<std::string, std::shared_ptr<Stream>> streams_;
  bool stopped_ = false;
};

// A gRPC status with its typed details as an absl::Status.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace kvd::client
