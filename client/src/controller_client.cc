#include "client/src/controller_client.h"

#include <grpcpp/create_channel.h>

#include "client/src/grpc_network.h"

namespace kvd::client {

std::unique_ptr<v1::Controller::Stub> ControllerClient::StubTo(const std::string& address) {
  return v1::Controller::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

absl::Status ControllerClient::Convert(const grpc::Status& status) { return FromGrpc(status); }

}  // namespace kvd::client
