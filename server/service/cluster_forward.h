// How the Cluster service passes a call on to a group's leader. Private to the service.
#pragma once

#include "proto/error.h"
#include "server/service/cluster_service.h"

namespace kvd::service {

template <class Request, class Response, class Call>
bool ClusterService::Forwarded(GroupId group, Request* request, const Answer<Response>& answer,
                               Call call) {
  Route route = node_->router().To(group);
  if (route.here != nullptr && route.here->leads()) return false;
  bool elsewhere = route.leader && route.leader != node_->options().store && !route.address.empty();
  if (!elsewhere || request->forwarded()) {
    answer(NotLeaderError(group, route.leader, route.address), nullptr);
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
  state->stub = v1::Cluster::NewStub(network_->ChannelTo(route.address));
  state->request.Swap(request);
  state->request.set_forwarded(true);
  state->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(120));
  forwarded_.insert(&state->context);
  state->reader = call(state->stub.get(), &state->context, state->request, loop_->queue());
  state->reader->Finish(&state->response, &state->status,
                        CqOnce::Make([this, state, answer, route](bool) {
                          forwarded_.erase(&state->context);
                          absl::Status status = client::FromGrpc(state->status);
                          ErrorInfo info = InfoOf(status);
                          if (info.kind == ErrorKind::kNotLeader)
                            node_->router().Note("", false, route, info);
                          answer(status, &state->response);
                        }));
  return true;
}

}  // namespace kvd::service
