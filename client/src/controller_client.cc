#include "client/src/controller_client.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <thread>

#include "client/src/grpc_network.h"
#include "proto/error.h"

namespace kvd::client {

ControllerClient::Time ControllerClient::ShareOf(Time end, size_t tries) {
  Time now = std::chrono::system_clock::now();
  return now + (end - now) / static_cast<int64_t>(tries);
}

std::shared_ptr<grpc::Channel> ControllerClient::Connect(const std::string& address, Time until) {
  // A store that is there accepts at once, wherever it is.
  constexpr std::chrono::seconds kConnectMax(3);
  auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  Time limit = std::min<Time>(until, std::chrono::system_clock::now() + kConnectMax);
  auto state = channel->GetState(/*try_to_connect=*/true);
  while (state != GRPC_CHANNEL_READY) {
    // One that refuses is not waited for.
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) return nullptr;
    if (!channel->WaitForStateChange(state, limit)) return nullptr;
    state = channel->GetState(/*try_to_connect=*/true);
  }
  return channel;
}

absl::Status ControllerClient::NotReached() {
  return absl::UnavailableError("it can't be reached");
}

absl::Status ControllerClient::Convert(const grpc::Status& status) { return FromGrpc(status); }

bool ControllerClient::IsRefused(const absl::Status& status) {
  return InfoOf(status).kind == ErrorKind::kNotLeader;
}

void ControllerClient::Pause() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }

}  // namespace kvd::client
