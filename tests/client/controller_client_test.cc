// Calls of the Controller service at stores of which some don't answer.
#include "client/src/controller_client.h"

#include <arpa/inet.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvd::client {
namespace {

using std::chrono::milliseconds;
using Stub = v1::Controller::Stub;

// A port on which connections are taken and nothing is ever said.
class Silent {
 public:
  Silent() : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(socket_, 100), 0);
    EXPECT_EQ(getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  }
  ~Silent() { close(socket_); }
  const std::string& address() const { return address_; }

 private:
  const int socket_;
  std::string address_;
};

// A store that answers, or takes calls and answers none until it stops.
class Store : public v1::Controller::Service {
 public:
  explicit Store(bool answers) : answers_(answers) {
    int port = 0;
    server_ = grpc::ServerBuilder()
                  .AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port)
                  .RegisterService(this)
                  .BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~Store() override { server_->Shutdown(std::chrono::system_clock::now()); }
  const std::string& address() const { return address_; }
  int calls() const { return calls_; }

  grpc::Status ListSettings(grpc::ServerContext* context, const v1::ListSettingsRequest*,
                            v1::ListSettingsResponse* out) override {
    Answer(context);
    out->add_settings()->set_name(address_);
    return grpc::Status::OK;
  }
  grpc::Status Begin(grpc::ServerContext* context, const v1::BeginRequest*,
                     v1::BeginResponse* out) override {
    Answer(context);
    out->set_operation_id(7);
    return grpc::Status::OK;
  }

 private:
  void Answer(grpc::ServerContext* context) {
    ++calls_;
    // The caller's deadline ends it.
    while (!answers_ && !context->IsCancelled()) usleep(1'000);
  }

  const bool answers_;
  std::atomic<int> calls_ = 0;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

absl::StatusOr<std::string> Ask(ControllerClient& client) {
  auto told = client.Call(&Stub::ListSettings, v1::ListSettingsRequest());
  if (!told.ok()) return told.status();
  return told->settings(0).name();
}

TEST(ControllerClient, OneThatIsSilentLeavesTheOthersTheirShare) {
  Silent first, second;
  Store store(/*answers=*/true);
  ControllerClient client({first.address(), second.address(), store.address()},
                          milliseconds(6'000));
  auto told = Ask(client);
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(*told, store.address());
}

TEST(ControllerClient, OneThatTakesCallsAndAnswersNone) {
  Store first(/*answers=*/false), second(/*answers=*/true);
  ControllerClient client({first.address(), second.address()}, milliseconds(4'000));
  for (int i = 0; i < 3; ++i) {
    auto told = Ask(client);
    ASSERT_TRUE(told.ok()) << told.status();
    EXPECT_EQ(*told, second.address());
  }
  EXPECT_EQ(first.calls(), 1) << "who answered last is asked first";
}

// Nothing was sent to who can't be reached; but who took it may have begun.
TEST(ControllerClient, AnOperationIsBegunOnce) {
  Silent silent;
  Store mute(/*answers=*/false), store(/*answers=*/true);
  ControllerClient past_silent({silent.address(), store.address()}, milliseconds(4'000));
  auto begun = past_silent.Call(&Stub::Begin, v1::BeginRequest());
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_EQ(begun->operation_id(), 7u);
  ControllerClient past_mute({mute.address(), store.address()}, milliseconds(2'000));
  begun = past_mute.Call(&Stub::Begin, v1::BeginRequest());
  EXPECT_EQ(begun.status().code(), absl::StatusCode::kDeadlineExceeded) << begun.status();
  EXPECT_EQ(store.calls(), 1);
}

TEST(ControllerClient, NobodyIsThere) {
  Silent silent;
  ControllerClient client({silent.address(), "127.0.0.1:1"}, milliseconds(500));
  auto told = Ask(client);
  EXPECT_EQ(told.status().code(), absl::StatusCode::kUnavailable) << told.status();
  EXPECT_THAT(std::string(told.status().message()), testing::HasSubstr("can't be reached"));
}

}  // namespace
}  // namespace kvd::client
