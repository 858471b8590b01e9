// What a bad client gets at the gRPC port (server/listener.h), and that the store serves on.
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <deque>
#include <fstream>

#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "kvd/v1/kv.grpc.pb.h"
#include "server/listener.h"
#include "server/service/answer_budget.h"
#include "tests/cluster/mini_cluster.h"
#include "tests/cluster/raw_http2.h"

namespace kvd {
namespace {

using server::ListenerLimits;
using testing::HasSubstr;

int PortOf(const std::string& address) { return std::stoi(address.substr(address.rfind(':') + 1)); }

class BadClientTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { cluster_ = new MiniCluster(1); }
  static void TearDownTestSuite() { delete cluster_; }

  BadClientTest() : kv_(v1::Kv::NewStub(Channel())) {}
  void TearDown() override {
    EXPECT_TRUE(cluster_->Connect()->Put("alive", "yes").ok()) << "the store serves on";
  }

  static std::shared_ptr<grpc::Channel> Channel() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel(cluster_->Address(1), grpc::InsecureChannelCredentials(),
                                     arguments);
  }
  static int Port() { return PortOf(cluster_->Address(1)); }

  static MiniCluster* cluster_;
  std::unique_ptr<v1::Kv::Stub> kv_;
};
MiniCluster* BadClientTest::cluster_ = nullptr;

TEST_F(BadClientTest, AMessageBeyondTheLimitIsRefusedByName) {
  v1::WriteResponse response;
  v1::PutRequest put;
  put.set_key("k");
  put.set_value(std::string(ListenerLimits::kReceiveBytesMax + 1, 'v'));
  grpc::ClientContext first;
  grpc::Status status = kv_->Put(&first, put, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr(std::to_string(ListenerLimits::kReceiveBytesMax)));
  // Accepted by the transport, above what a request may be.
  put.set_value(std::string(kMessageBytesMax + 1, 'v'));
  grpc::ClientContext second;
  status = kv_->Put(&second, put, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              HasSubstr("the limit is " + std::to_string(kRequestBytesMax)));
}

TEST_F(BadClientTest, TooMuchMetadataIsRefused) {
  v1::GetRequest get;
  get.set_key("k");
  v1::GetResponse response;
  grpc::ClientContext context;
  context.AddMetadata("burden", std::string(ListenerLimits::kMetadataBytesMax + 1, 'm'));
  grpc::Status status = kv_->Get(&context, get, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("metadata"));
}

// Calls that stay open, on one connection.
class Watches {
 public:
  Watches(std::shared_ptr<grpc::Channel> channel, int count)
      : stub_(grpc::health::v1::Health::NewStub(std::move(channel))),
        calls_(static_cast<size_t>(count)) {
    for (Call& call : calls_) {
      call.reader = stub_->PrepareAsyncWatch(&call.context, {}, &queue_);
      call.reader->StartCall(&call);
      call.reader->Read(&call.response, &call);
    }
  }
  ~Watches() {
    for (Call& call : calls_) call.context.TryCancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  // Waits until so many have been answered; false if that takes longer.
  bool AwaitAnswered(int count, std::chrono::seconds limit = std::chrono::seconds(30)) {
    auto end = std::chrono::system_clock::now() + limit;
    while (answered_ < count) {
      void* tag = nullptr;
      bool ok = false;
      if (queue_.AsyncNext(&tag, &ok, end) != grpc::CompletionQueue::GOT_EVENT) return false;
      auto& call = *static_cast<Call*>(tag);
      // The first event of a call is that it was sent, the second its answer.
      if (ok && ++call.events == 2) ++answered_;
    }
    return true;
  }
  // Ends so many of the answered calls.
  void CancelAnswered(int count) {
    for (Call& call : calls_) {
      if (count > 0 && call.events == 2) {
        call.context.TryCancel();
        --count;
      }
    }
  }

 private:
  struct Call {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckResponse response;
    std::unique_ptr<grpc::ClientAsyncReader<grpc::health::v1::HealthCheckResponse>> reader;
    int events = 0;
  };

  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
  std::deque<Call> calls_;
  int answered_ = 0;
};

TEST_F(BadClientTest, CallsBeyondTheLimitOfAConnectionWait) {
  constexpr int kMore = 5;
  Watches watches(Channel(), ListenerLimits::kStreamsMax + kMore);
  ASSERT_TRUE(watches.AwaitAnswered(ListenerLimits::kStreamsMax));
  // Others, on connections of their own, are served meanwhile.
  ASSERT_TRUE(cluster_->Connect()->Put("meanwhile", "yes").ok());
  EXPECT_FALSE(watches.AwaitAnswered(ListenerLimits::kStreamsMax + 1, std::chrono::seconds(0)));
  watches.CancelAnswered(kMore);
  EXPECT_TRUE(watches.AwaitAnswered(ListenerLimits::kStreamsMax + kMore)) << "once there is room";
}

TEST_F(BadClientTest, AClientThatIgnoresTheLimitOfCallsIsCutOff) {
  RawConnection raw(Port());
  ASSERT_TRUE(raw.Greet());
  // The limit binds a client that has acknowledged it: its acknowledgement comes after the
  // settings.
  ASSERT_TRUE(raw.Receive().has_value());
  ASSERT_TRUE(raw.SendFrame(RawConnection::kSettings, 1, 0, ""));
  bool open = true;
  for (uint32_t i = 0; open && i < 2 * ListenerLimits::kStreamsMax; ++i) {
    open = raw.OpenCall(2 * i + 1, "/kvd.v1.Kv/Pipeline");
  }
  EXPECT_TRUE(raw.AwaitClose(30));
}

// Opened and taken back at once, again and again: none is under way, so no limit of calls binds.
TEST_F(BadClientTest, ARapidResetHoldsNothingUp) {
  auto client = cluster_->Connect();
  RawConnection raw(Port());
  ASSERT_TRUE(raw.Greet());
  constexpr uint32_t kCalls = 20'000;
  std::string cancel("\0\0\0\x08", 4);
  bool open = true;
  for (uint32_t i = 0; open && i < kCalls; ++i) {
    open = raw.OpenCall(2 * i + 1, "/kvd.v1.Kv/Get") &&
           raw.SendFrame(RawConnection::kReset, 0, 2 * i + 1, cancel);
    // Others are served meanwhile.
    if (i % 1000 == 0) {
      ASSERT_TRUE(client->Put("during", std::to_string(i)).ok());
    }
  }
  if (!open) return;  // cut off: better still
  // A call on the same connection is answered after them, or the connection is closed: no call is
  // left.
  uint32_t last = 2 * kCalls + 1;
  if (!raw.OpenCall(last, "/kvd.v1.Kv/Get") || !raw.SendMessage(last, "")) return;
  bool answered = false;
  while (auto frame = raw.Receive()) {
    answered = frame->stream == last || frame->type == RawConnection::kGoAway;
    if (answered) break;
  }
  EXPECT_TRUE(answered || raw.AwaitClose(1));
}

// gRPC 1.51 measures header fields frame by frame and keeps them until they end: see the limits in
// server/README.md. Others are served meanwhile, and so many give no call.
TEST_F(BadClientTest, HeadersOfManyFramesHoldNobodyUp) {
  auto client = cluster_->Connect();
  RawConnection raw(Port());
  ASSERT_TRUE(raw.Greet());
  ASSERT_TRUE(raw.BeginHeaders(1, "/kvd.v1.Kv/Get"));
  std::string fields;
  while (fields.size() < 8192)
    fields += RawConnection::HeaderField("burden", std::string(100, 'm'));
  constexpr uint8_t kEndHeaders = 4;
  for (int i = 0; i < 1024; ++i) {
    ASSERT_TRUE(raw.SendFrame(RawConnection::kContinuation, 0, 1, fields)) << i;
    if (i % 128 == 0) {
      ASSERT_TRUE(client->Put("during", std::to_string(i)).ok());
    }
  }
  ASSERT_TRUE(raw.SendFrame(RawConnection::kContinuation, kEndHeaders, 1, ""));
  ASSERT_TRUE(raw.SendMessage(1, ""));
  bool answered = false;
  while (auto frame = raw.Receive()) {
    answered = frame->stream == 1 || frame->type == RawConnection::kGoAway;
    if (answered) break;
  }
  EXPECT_TRUE(answered);
}

TEST_F(BadClientTest, AFloodOfPingsIsAnsweredWithGoAway) {
  RawConnection raw(Port());
  ASSERT_TRUE(raw.Greet());
  for (int i = 0; i < 10; ++i) (void)raw.SendFrame(RawConnection::kPing, 0, 0, std::string(8, 'p'));
  EXPECT_EQ(raw.AwaitGoAway(), RawConnection::kEnhanceYourCalm);
  EXPECT_TRUE(raw.AwaitClose(30));
}

TEST_F(BadClientTest, AHandshakeThatNeverEndsIsCutOff) {
  RawConnection silent(Port());
  RawConnection halfway(Port());
  ASSERT_TRUE(silent.connected() && halfway.Send("PRI * HTTP/2.0\r\n\r\nSM"));
  constexpr int kSeconds = 6 * ListenerLimits::kHandshakeMillisMax / 1000;
  EXPECT_TRUE(silent.AwaitClose(kSeconds));
  EXPECT_TRUE(halfway.AwaitClose(kSeconds));
}

TEST_F(BadClientTest, GarbageClosesItsConnection) {
  std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  std::string tls("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(1 << 20, '\xa5'),
        preface + std::string(4096, '\xff'), preface + std::string(4096, '\0'),
        tls + std::string(512, '\x17')}) {
    RawConnection raw(Port());
    ASSERT_TRUE(raw.connected());
    (void)raw.Send(garbage);
    EXPECT_TRUE(raw.AwaitClose(6 * ListenerLimits::kHandshakeMillisMax / 1000))
        << garbage.substr(0, 30);
  }
}

TEST_F(BadClientTest, ACallOfGarbageHurtsOnlyItself) {
  RawConnection raw(Port());
  ASSERT_TRUE(raw.Greet());
  uint32_t stream = 1;
  for (const char* path :
       {"/kvd.v1.Kv/Get", "/kvd.v1.Kv/Batch", "/kvd.v1.Kv/Pipeline", "/kvd.v1.Kv/Scan",
        "/kvd.v1.Cluster/Join", "/kvd.internal.v1.RaftTransport/Messages", "/no/such"}) {
    ASSERT_TRUE(raw.OpenCall(stream, path));
    ASSERT_TRUE(raw.SendMessage(stream, std::string(100, '\xff')));
    // Its headers or trailers: an answer to this call, on a connection that lives on.
    bool answered = false;
    while (auto frame = raw.Receive()) {
      answered = frame->stream == stream;
      if (answered) break;
    }
    EXPECT_TRUE(answered) << path;
    stream += 2;
  }
}

// The first frames of an answer to `get` come, its value does not: the window is closed.
void AskAndNotRead(RawConnection& raw, const v1::GetRequest& get, int times) {
  for (int i = 0; i < times; ++i) {
    auto stream = static_cast<uint32_t>(2 * i + 1);
    ASSERT_TRUE(raw.OpenCall(stream, "/kvd.v1.Kv/Get"));
    ASSERT_TRUE(raw.SendMessage(stream, get.SerializeAsString()));
    bool answered = false;
    while (auto frame = raw.Receive()) {
      answered = frame->stream == stream && frame->type == RawConnection::kHeaders;
      if (answered) break;
    }
    ASSERT_TRUE(answered) << i;
  }
}

TEST_F(BadClientTest, AnswersThatNobodyReadsAreBounded) {
  auto client = cluster_->Connect();
  constexpr size_t kBytes = 8 << 20;
  ASSERT_TRUE(client->Put("large", std::string(kBytes, 'v')).ok());
  v1::GetRequest get;
  get.set_key("large");
  v1::GetResponse response;
  {
    RawConnection raw(Port());
    ASSERT_TRUE(raw.Greet(/*window=*/0));
    AskAndNotRead(raw, get, service::AnswerBudget::kBytesMax / kBytes);
    grpc::ClientContext context;
    grpc::Status status = kv_->Get(&context, get, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.error_message(),
                HasSubstr("the limit is " + std::to_string(service::AnswerBudget::kBytesMax)));
    EXPECT_TRUE(client->Put("small", "yes").ok());
    EXPECT_EQ((*client->Get("small"))->bytes, "yes");
  }
  // Its connection has ended.
  auto large = [&] {
    grpc::ClientContext context;
    return kv_->Get(&context, get, &response).ok();
  };
  EXPECT_TRUE(MiniCluster::Await(large));
}

// A store whose process may have few descriptors.
class FewDescriptors {
 public:
  static constexpr rlim_t kLimit = 300;

  FewDescriptors() : address_("127.0.0.1:" + std::to_string(FreePortPair())) {
    std::string data = directory_.path() + "/data";
    pid_ = fork();
    if (pid_ == 0) {
      rlimit limit = {kLimit, kLimit};
      setrlimit(RLIMIT_NOFILE, &limit);
      execl(KvdPath().c_str(), "kvd", "--listen", address_.c_str(), "--data-dir", data.c_str(),
            nullptr);
      _exit(127);
    }
  }
  ~FewDescriptors() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::unique_ptr<Client> Connect() const {
    ClientOptions options;
    options.addresses = {address_};
    options.deadline = std::chrono::seconds(30);
    return *Client::Connect(options);
  }
  int port() const { return PortOf(address_); }
  bool alive() const { return waitpid(pid_, nullptr, WNOHANG) == 0; }

 private:
  ScratchDirectory directory_;
  const std::string address_;
  pid_t pid_ = 0;
};

TEST(ConnectionFlood, OtherClientsAreServedDuringAndAfterIt) {
  FewDescriptors store;
  auto early = store.Connect();
  ASSERT_TRUE(early->Put("before", "1").ok());
  {
    std::vector<std::unique_ptr<RawConnection>> flood;
    for (rlim_t i = 0; i < 2 * FewDescriptors::kLimit; ++i) {
      flood.push_back(std::make_unique<RawConnection>(store.port()));
      ASSERT_TRUE(flood.back()->connected());
      (void)flood.back()->Greet();
    }
    EXPECT_TRUE(flood.back()->AwaitClose(30)) << "what comes when there is no room is refused";
    // Files are still to be had: enough is written to make some.
    for (int i = 0; i < 100; ++i)
      ASSERT_TRUE(early->Put("during" + std::to_string(i), std::string(100'000, 'v')).ok());
    EXPECT_TRUE(store.alive());
  }
  EXPECT_TRUE(store.Connect()->Put("after", "1").ok());
  EXPECT_TRUE(store.alive());
}

// A server under the store's limits, some of them smaller, that answers the health protocol.
class ImpatientServer {
 public:
  explicit ImpatientServer(const server::ListenerPatience& patience) {
    grpc::ServerBuilder builder;
    server::ApplyLimits(builder, patience);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
  }
  ~ImpatientServer() { server_->Shutdown(std::chrono::system_clock::now()); }
  int port() const { return port_; }
  // On a connection of its own.
  grpc::Status Check(const std::string& service) const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxSendMessageSize(-1);
    auto stub = grpc::health::v1::Health::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port_), grpc::InsecureChannelCredentials(), arguments));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    return stub->Check(&context, request, &response);
  }

 private:
  struct Health : grpc::health::v1::Health::Service {
    grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest*,
                       grpc::health::v1::HealthCheckResponse*) override {
      return grpc::Status::OK;
    }
  };
  Health health_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(Keepalive, AConnectionThatGivesNoSignOfLifeIsClosed) {
  server::ListenerPatience patience;
  patience.keepalive_millis = 1000;
  patience.keepalive_timeout_millis = 500;
  ImpatientServer impatient(patience);
  RawConnection dead(impatient.port());
  ASSERT_TRUE(dead.Greet());
  // Its call keeps it from being idle; the pings that come are not answered.
  ASSERT_TRUE(dead.OpenCall(1, "/grpc.health.v1.Health/Check"));
  EXPECT_TRUE(dead.AwaitClose(30));
  EXPECT_TRUE(impatient.Check("").ok());
}

TEST(Idle, AConnectionWithoutACallIsClosed) {
  server::ListenerPatience patience;
  patience.idle_millis_max = 500;
  ImpatientServer impatient(patience);
  RawConnection idle(impatient.port());
  ASSERT_TRUE(idle.Greet());
  EXPECT_TRUE(idle.AwaitGoAway().has_value());
  EXPECT_TRUE(impatient.Check("").ok());
}

// Of more than all connections together may hold some is given up, by its call or its connection.
TEST(MemoryQuota, WhatIsSentBeyondItIsGivenUp) {
  server::ListenerPatience patience;
  patience.memory_bytes = 1 << 20;
  ImpatientServer impatient(patience);
  // Each begins a message of 16 MiB, and sends as much of it as the window lets through.
  std::string part = std::string("\0\x01\0\0\0", 5) + std::string(16'000, 'x');
  std::deque<RawConnection> senders;
  for (int i = 0; i < 100; ++i) {
    RawConnection& sender = senders.emplace_back(impatient.port());
    if (!sender.Greet()) continue;
    (void)sender.OpenCall(1, "/grpc.health.v1.Health/Check");
    for (int n = 0; n < 4; ++n) {
      (void)sender.SendFrame(RawConnection::kData, 0, 1, n == 0 ? part : part.substr(5));
    }
  }
  EXPECT_TRUE(MiniCluster::Await([&] {
    for (RawConnection& sender : senders) {
      while (auto frame = sender.Receive(0)) {
        if (frame->type == RawConnection::kReset || frame->type == RawConnection::kGoAway)
          return true;
      }
    }
    return false;
  }));
  senders.clear();
  EXPECT_TRUE(MiniCluster::Await([&] { return impatient.Check("").ok(); }));
}

}  // namespace
}  // namespace kvd
