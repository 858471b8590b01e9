// How the Cluster service passes a call on to the leader. Private to the service.
#pragma once

#include "proto/error.h"
#include "server/service/cluster_service.h"

namespace kvd::service {

template <class Request, class Response, class Call>
bool ClusterService::Forwarded(Request* request, const Answer<Response>& answer, Call call) {
  if (group_->leads()) return false;
  std::string leader = dispatcher_->LeaderAddress();
  if (leader.empty() || request->forwarded()) {
    answer(NotLeaderError(group_->group(), host_->LeaderStore(group_->group()), leader), nullptr);
    return true;
  }
  struct State {
    std::unique_ptr<v1::Cluster::Stub> stub;
    grpc::ClientContext context;
    Request request;
    Response response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;
  };
  auto state = std::make_shared<State>();
  state->stub = v1::Cluster::NewStub(network_->ChannelTo(leader));
  state->request.Swap(request);
  state->request.set_forwarded(true);
  state->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(120));
  forwarded_.insert(&state->context);
  state->reader = call(state->stub.get(), &state->context, state->request, loop_->queue());
  state->reader->Finish(&state->response, &state->status, CqOnce::Make([this, state, answer](bool) {
    forwarded_.erase(&state->context);
    answer(client::FromGrpc(state->status), &state->response);
  }));
  return true;
}

}  // namespace kvd::service
