// Blocking calls of the Controller service, at whichever of the given stores answers.
#pragma once

#include <grpcpp/channel.h>
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
  // Requires: there is an address.
  ControllerClient(std::vector<std::string> addresses, std::chrono::milliseconds deadline)
      : addresses_(std::move(addresses)), deadline_(deadline) {}

  // One of the service's calls, at the first address that can be reached, from the one on that
  // answered last; again while none can, or the controller has no leader, until the deadline. Each
  // try has its share of what is left of it: an address that is silent leaves the others theirs.
  // `method` is the stub's.
  template <class Request, class Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::Controller::Stub::*method)(grpc::ClientContext*,
                                                                             const Request&,
                                                                             Response*),
                                const Request& request) {
    Time end = std::chrono::system_clock::now() + deadline_;
    absl::Status last;
    do {
      for (size_t tried = 0; tried < addresses_.size(); ++tried) {
        const std::string& address = addresses_[first_];
        Time until = ShareOf(end, addresses_.size() - tried);
        auto channel = Connect(address, until);
        absl::Status status = NotReached();
        if (channel != nullptr) {
          grpc::ClientContext context;
          context.set_deadline(until);
          Response response;
          status = Convert((v1::Controller::Stub(channel).*method)(&context, request, &response));
          if (status.ok()) return response;
          if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return status;
        }
        last = absl::Status(status.code(), address + ": " + std::string(status.message()));
        // It may have begun already.
        bool sent = channel != nullptr && !IsRefused(status);
        if (std::is_same_v<Request, v1::BeginRequest> && sent) return last;
        first_ = (first_ + 1) % addresses_.size();
      }
      Pause();
    } while (std::chrono::system_clock::now() < end);
    return last;
  }

 private:
  using Time = std::chrono::system_clock::time_point;

  // Until when one of so many tries may take, if they share what is left until `end`.
  static Time ShareOf(Time end, size_t tries);
  // Null if it can't be reached until then, or not within what reaching a store takes: nothing was
  // sent there.
  static std::shared_ptr<grpc::Channel> Connect(const std::string& address, Time until);
  static absl::Status NotReached();
  static absl::Status Convert(const grpc::Status& status);
  // Whether the status says that nothing was done.
  static bool IsRefused(const absl::Status& status);
  static void Pause();

  const std::vector<std::string> addresses_;
  const std::chrono::milliseconds deadline_;
  size_t first_ = 0;  // of addresses_: where the next try goes
};

}  // namespace kvd::client
