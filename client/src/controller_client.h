// Blocking calls of the Controller service, at whichever of the given stores answers.
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/statusor.h"
#include "kvd/v1/controller.grpc.pb.h"

namespace kvd::client {

class ControllerClient {
 public:
  ControllerClient(std::vector<std::string> addresses, std::chrono::milliseconds deadline)
      : addresses_(std::move(addresses)), deadline_(deadline) {}

  // One of the service's calls, at the first address that can be reached; again while none can, or
  // the controller has no leader, until the deadline. `method` is the stub's.
  template <class Request, class Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::Controller::Stub::*method)(grpc::ClientContext*,
                                                                             const Request&,
                                                                             Response*),
                                const Request& request) {
    auto end = std::chrono::system_clock::now() + deadline_;
    absl::Status last;
    do {
      for (const std::string& address : addresses_) {
        grpc::ClientContext context;
        context.set_deadline(end);
        Response response;
        absl::Status status = Convert(((*StubTo(address)).*method)(&context, request, &response));
        if (status.ok()) return response;
        if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return status;
        last = absl::Status(status.code(), address + ": " + std::string(status.message()));
        // It may have begun already.
        if (std::is_same_v<Request, v1::BeginRequest> && !IsRefused(status)) return last;
      }
      Pause();
    } while (std::chrono::system_clock::now() < end);
    return last;
  }

 private:
  static std::unique_ptr<v1::Controller::Stub> StubTo(const std::string& address);
  static absl::Status Convert(const grpc::Status& status);
  // Whether the status says that nothing was done.
  static bool IsRefused(const absl::Status& status);
  static void Pause();

  const std::vector<std::string> addresses_;
  const std::chrono::milliseconds deadline_;
};

}  // namespace kvd::client
