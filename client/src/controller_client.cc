#include "client/src/controller_client.h"

#include <grpcpp/create_channel.h>

#include <thread>

#include "client/src/grpc_network.h"
#include "proto/error.h"

namespace kvd::client {

std::unique_ptr<v1::Controller::Stub> ControllerClient::StubTo(const std::string& address) {
  return v1::Controller::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

absl::Status ControllerClient::Convert(const grpc::Status& status) { return FromGrpc(status); }

bool ControllerClient::IsRefused(const absl::Status& status) {
  return InfoOf(status).kind == ErrorKind::kNotLeader;
}

void ControllerClient::Pause() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }

}  // namespace kvd::client
