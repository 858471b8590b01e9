// Messages between stores over gRPC on loopback: both directions share a stream, whoever opened it;
// what arrives is whole and in order; what is not a peer's is refused; what breaks is opened again.
#include "raft/grpc_transport.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "raft/wire.h"

namespace kvd::raft {
namespace {

using std::chrono::seconds;

constexpr ClusterId kCluster(77);

GroupMessage MessageOf(StoreId from, uint64_t number, MessageType type) {
  GroupMessage m;
  m.group = GroupId(1);
  m.message.type = type;
  m.message.from = ReplicaId(from.value());
  m.message.to = ReplicaId(9);
  m.message.term = Term(1);
  m.message.round = number;
  m.message.from_store = from;
  return m;
}

// A store that keeps what arrives, and answers each heartbeat.
class Node : public TransportHandler {
 public:
  explicit Node(uint64_t id, Duration answer_within = seconds(3))
      : id_(id), says_(id), answer_within_(answer_within) {
    Start(0);
  }
  ~Node() override { Stop(); }

  void Start(int port) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), grpc::InsecureServerCredentials(),
                             &port_);
    auto queue = builder.AddCompletionQueue();
    grpc::ServerCompletionQueue* server_queue = queue.get();
    loop_ = std::make_unique<CqLoop>(std::move(queue));
    GrpcTransportOptions options{kCluster, id_, absl::StrCat("127.0.0.1:", port)};
    options.reconnect_after = milliseconds(20);
    options.answer_within = answer_within_;
    transport_ = std::make_unique<GrpcTransport>(loop_.get(), options, [this](StoreId to) {
      auto it = addresses_.find(to);
      return it == addresses_.end() ? std::string() : it->second;
    });
    transport_->set_handler(this);
    service_ = std::make_unique<GrpcTransportService>(loop_.get(), transport_.get(), this,
                                                      [this](StoreId store, const std::string&) {
                                                        greeted_ = store.value();
                                                        Note([this] { ++greetings_; });
                                                      });
    builder.RegisterService(service_->service());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    service_->Start(server_queue);
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void Stop() {
    if (!thread_.joinable()) return;
    OnLoop([this] {
      service_->Stop();
      transport_->Stop();
    });
    server_->Shutdown(std::chrono::system_clock::now() + milliseconds(300));
    loop_->Stop();
    thread_.join();
    loop_->Drain();
    service_.reset();
    transport_.reset();
    loop_.reset();
  }
  void OnLoop(Task task) {
    std::promise<void> done;
    loop_->Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  void Knows(Node& other) { Knows(other.id_, other.port_); }
  void Knows(StoreId store, int port) {
    OnLoop([&] { addresses_[store] = absl::StrCat("127.0.0.1:", port); });
  }
  void Send(Node& to, uint64_t number, MessageType type = MessageType::kHeartbeat) {
    OnLoop([&] { SendNow(to.id_, number, type); });
  }
  void SendNow(StoreId to, uint64_t number, MessageType type) {
    std::vector<GroupMessage> messages;
    messages.push_back(MessageOf(says_, number, type));
    transport_->Send(to, std::move(messages));
  }

  void OnMessages(std::vector<GroupMessage> messages) override {
    if (!turn_posted_) {
      turn_posted_ = true;
      loop_->Post([this] { Turn(); });
    }
    for (GroupMessage& m : messages) {
      bool answer = answers && m.message.type == MessageType::kHeartbeat;
      if (answer) to_answer_.emplace_back(m.message.from_store, m.message.round);
      Note([&] { numbers_.push_back(m.message.round); });
    }
  }
  void OnChunk(StoreId, SnapshotChunk) override {}
  void OnAck(SnapshotAck) override {
    Note([this] { ++acks_; });
  }

  uint64_t damaged() {
    uint64_t damaged = 0;
    OnLoop([&] { damaged = transport_->damaged(); });
    return damaged;
  }
  std::vector<uint64_t> numbers() {
    std::lock_guard<std::mutex> lock(mutex_);
    return numbers_;
  }
  bool AwaitNumber(uint64_t number) {
    return Await([&] { return Holds(number); });
  }
  bool AwaitGreeting(int count) {
    return Await([&] { return greetings_ >= count; });
  }
  bool AwaitAck() {
    return Await([&] { return acks_ > 0; });
  }
  // Sends with growing numbers, which may be lost, until one is answered.
  bool SendUntilAnswered(Node& to, uint64_t number) {
    for (int i = 0; i < 1000; ++i) {
      Send(to, number + static_cast<uint64_t>(i));
      if (Await([&] { return !numbers_.empty() && numbers_.back() >= number; }, milliseconds(30))) {
        return true;
      }
    }
    return false;
  }
  int port() const { return port_; }
  StoreId id() const { return id_; }
  GrpcTransport& transport() { return *transport_; }
  // Who opened a stream to this store last.
  uint64_t greeted() const { return greeted_; }
  int greetings() {
    std::lock_guard<std::mutex> lock(mutex_);
    return greetings_;
  }
  int turns() const { return turns_; }

  bool answers = true;  // of the loop
  // In whose name it sends; of the loop.
  void set_says(StoreId store) { says_ = store; }

 private:
  bool Holds(uint64_t number) const {
    return std::find(numbers_.begin(), numbers_.end(), number) != numbers_.end();
  }
  void Note(const std::function<void()>& change) {
    std::lock_guard<std::mutex> lock(mutex_);
    change();
    changed_.notify_all();
  }
  bool Await(const std::function<bool()>& condition, Duration limit = seconds(30)) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, limit, condition);
  }
  void Turn() {
    turn_posted_ = false;
    ++turns_;
    for (auto& [store, number] : to_answer_) SendNow(store, number, MessageType::kHeartbeatReply);
    to_answer_.clear();
  }

  const StoreId id_;
  StoreId says_;
  const Duration answer_within_;
  int port_ = 0;
  std::unique_ptr<CqLoop> loop_;
  std::unique_ptr<GrpcTransport> transport_;
  std::unique_ptr<GrpcTransportService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::thread thread_;
  std::map<StoreId, std::string> addresses_;  // of the loop
  std::vector<std::pair<StoreId, uint64_t>> to_answer_;
  bool turn_posted_ = false;
  std::atomic<uint64_t> greeted_{0};
  std::atomic<int> turns_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<uint64_t> numbers_;  // guarded by mutex_
  int acks_ = 0;                   // guarded by mutex_
  int greetings_ = 0;              // guarded by mutex_
};

std::vector<uint64_t> Range(uint64_t begin, uint64_t end) {
  std::vector<uint64_t> all;
  for (uint64_t i = begin; i < end; ++i) all.push_back(i);
  return all;
}

TEST(GrpcTransportTest, AnAnswerComesOnTheStreamThatAsked) {
  Node a(1), b(2);
  a.Knows(b);  // and b does not know where a is
  a.Send(b, 5);
  EXPECT_TRUE(b.AwaitNumber(5));
  EXPECT_TRUE(a.AwaitNumber(5));
  EXPECT_EQ(b.greeted(), 1u);
  EXPECT_EQ(a.greeted(), 0u);
}

TEST(GrpcTransportTest, WhoDidNotOpenTheStreamSendsOnItUnasked) {
  Node a(1), b(2);
  a.Knows(b);
  b.answers = false;
  a.Send(b, 5);
  ASSERT_TRUE(b.AwaitNumber(5));
  for (uint64_t i = 100; i < 110; ++i) {
    b.Send(a, i, MessageType::kHeartbeatReply);
    EXPECT_TRUE(a.AwaitNumber(i));
  }
  b.OnLoop([&] { b.transport().SendAck(a.id(), SnapshotAck{}); });
  EXPECT_TRUE(a.AwaitAck());
}

TEST(GrpcTransportTest, AllArrivesInOrderInBothDirections) {
  Node a(1), b(2);
  a.Knows(b);
  constexpr uint64_t kCount = 3000;
  for (uint64_t i = 0; i < kCount; ++i) a.Send(b, i);
  EXPECT_TRUE(a.AwaitNumber(kCount - 1));
  EXPECT_EQ(b.numbers(), Range(0, kCount));
  EXPECT_EQ(a.numbers(), Range(0, kCount));
}

TEST(GrpcTransportTest, OneAtATimeGoesOnForLong) {
  Node a(1), b(2);
  a.Knows(b);
  for (uint64_t i = 0; i < 500; ++i) {
    a.Send(b, i);
    ASSERT_TRUE(a.AwaitNumber(i)) << i;
  }
}

TEST(GrpcTransportTest, BothOpenOneAtOnce) {
  for (int round = 0; round < 8; ++round) {
    Node a(1), b(2);
    a.Knows(b);
    b.Knows(a);
    std::thread other([&] { b.Send(a, 1000); });
    a.Send(b, 2000);
    other.join();
    EXPECT_TRUE(a.AwaitNumber(2000));
    EXPECT_TRUE(b.AwaitNumber(1000));
    a.Send(b, 3000);
    b.Send(a, 4000);
    EXPECT_TRUE(a.AwaitNumber(3000));
    EXPECT_TRUE(b.AwaitNumber(4000));
  }
}

// A receiver that is slow takes in what has come meanwhile before its next turn: it does not fall
// behind one batch a turn.
TEST(GrpcTransportTest, ASlowReceiverTakesAllThatCame) {
  for (bool answers : {true, false}) {
    Node a(1), b(2);
    a.Knows(b);
    a.Send(b, 0);
    ASSERT_TRUE(a.AwaitNumber(0));
    constexpr uint64_t kCount = 400;
    // b's loop is held up while all is sent.
    b.OnLoop([&] {
      b.answers = answers;
      for (uint64_t i = 1; i < kCount; ++i) a.Send(b, i);
    });
    ASSERT_TRUE(b.AwaitNumber(kCount - 1));
    EXPECT_EQ(b.numbers(), Range(0, kCount));
    EXPECT_LT(b.turns(), static_cast<int>(kCount) / 4) << answers;
  }
}

TEST(GrpcTransportTest, AStreamThatBreaksIsOpenedAgain) {
  Node a(1), b(2);
  a.Knows(b);
  a.Send(b, 1);
  ASSERT_TRUE(a.AwaitNumber(1));
  int port = b.port();
  b.Stop();
  b.Start(port);
  EXPECT_TRUE(a.SendUntilAnswered(b, 100));
}

TEST(GrpcTransportTest, WhenTheOpenerGoesTheOtherOpensOne) {
  Node b(2);
  int port;
  {
    Node a(1);
    port = a.port();
    a.Knows(b);
    b.Knows(a);
    a.Send(b, 1);
    ASSERT_TRUE(a.AwaitNumber(1));
  }
  Node a(1);
  a.Stop();
  a.Start(port);
  EXPECT_TRUE(b.SendUntilAnswered(a, 100));
  EXPECT_EQ(a.greeted(), 2u);
}

std::unique_ptr<internal::v1::RaftTransport::Stub> StubTo(const Node& store) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  return internal::v1::RaftTransport::NewStub(grpc::CreateCustomChannel(
      absl::StrCat("127.0.0.1:", store.port()), grpc::InsecureChannelCredentials(), arguments));
}

internal::v1::MessageBatch Greeting(uint64_t cluster, uint64_t id, uint32_t protocol) {
  internal::v1::MessageBatch batch;
  batch.mutable_hello()->set_cluster_id(cluster);
  batch.mutable_hello()->set_store_id(id);
  batch.mutable_hello()->set_protocol(protocol);
  batch.set_checksum(Checksum(batch));
  return batch;
}

// What a store answers to a stream that begins so.
grpc::Status Greet(Node& store, internal::v1::MessageBatch batch) {
  auto stub = StubTo(store);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(30));
  auto stream = stub->Messages(&context);
  stream->Write(batch);
  EXPECT_FALSE(stream->Read(&batch));
  return stream->Finish();
}

TEST(GrpcTransportTest, WhoIsNoStoreOfTheClusterIsToldWhy) {
  Node b(2);
  grpc::Status status = Greet(b, Greeting(78, 1, kTransportProtocol));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "this store belongs to cluster 77, store 1 at  to cluster 78");
  status = Greet(b, Greeting(77, 1, 1));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "protocol version 1 between stores, this one speaks 4");
  EXPECT_EQ(Greet(b, Greeting(77, 0, kTransportProtocol)).error_message(), "malformed hello");
  EXPECT_EQ(b.greeted(), 0u);
}

TEST(GrpcTransportTest, WhatWasDamagedOnItsWayIsTakenByNobody) {
  Node b(2);
  auto batch = Greeting(kCluster.value(), 9, kTransportProtocol);
  batch.mutable_hello()->set_store_id(8);
  EXPECT_EQ(Greet(b, batch).error_message(), "a batch was damaged on its way");
  EXPECT_EQ(b.greeted(), 0u);
  batch.mutable_hello()->set_store_id(9);
  ToWire(MessageOf(b.id(), 1, MessageType::kHeartbeat), batch.add_messages());
  batch.mutable_messages(0)->set_from_store(9);
  batch.set_checksum(Checksum(batch));
  batch.mutable_messages(0)->set_wall_ms(batch.messages(0).wall_ms() ^ 1);
  EXPECT_EQ(Greet(b, batch).error_message(), "a batch was damaged on its way");
  EXPECT_TRUE(b.numbers().empty());
  EXPECT_EQ(b.damaged(), 2u);
}

// A stream to a store, opened by whoever says that it is store 9.
struct RawStream {
  explicit RawStream(const Node& store) : stub(StubTo(store)), stream(stub->Messages(&context)) {
    stream->Write(Greeting(kCluster.value(), 9, kTransportProtocol));
  }
  struct Limited : grpc::ClientContext {
    Limited() { set_deadline(std::chrono::system_clock::now() + seconds(30)); }
  } context;
  std::unique_ptr<internal::v1::RaftTransport::Stub> stub;
  std::unique_ptr<grpc::ClientReaderWriter<internal::v1::MessageBatch, internal::v1::MessageBatch>>
      stream;
};

// Its last message is through only after the newer one has ended, and with it what the transport
// knew of the store.
TEST(GrpcTransportTest, AnOlderStreamOfTheSameStoreSendsNothingMore) {
  Node b(2);
  auto send = [&](uint64_t number, size_t bytes) {
    b.OnLoop([&] {
      GroupMessage m = MessageOf(b.id(), number, MessageType::kAppend);
      auto entry = std::make_shared<Entry>();
      entry->data = std::string(bytes, 'x');
      m.message.entries.push_back(std::move(entry));
      b.transport().Send(StoreId(9), {m});
    });
  };
  internal::v1::MessageBatch batch;
  RawStream older(b);
  ASSERT_TRUE(b.AwaitGreeting(1));
  send(1, 8 << 20);  // more than gRPC takes along before it is read
  {
    RawStream newer(b);
    ASSERT_TRUE(b.AwaitGreeting(2));
    send(2, 1);
    ASSERT_TRUE(newer.stream->Read(&batch));
    ASSERT_EQ(batch.messages_size(), 1);
    EXPECT_EQ(batch.messages(0).round(), 2u);
    newer.stream->WritesDone();
    EXPECT_FALSE(newer.stream->Read(&batch));
    EXPECT_TRUE(newer.stream->Finish().ok());
  }
  ASSERT_TRUE(older.stream->Read(&batch));
  EXPECT_GT(batch.next_bytes(), 0u);  // it is announced
  ASSERT_TRUE(older.stream->Read(&batch));
  ASSERT_EQ(batch.messages_size(), 1);
  EXPECT_EQ(batch.messages(0).round(), 1u);
  older.stream->WritesDone();
  EXPECT_FALSE(older.stream->Read(&batch));
  EXPECT_TRUE(older.stream->Finish().ok());
}

constexpr Duration kAnswerWithin = milliseconds(300);

TEST(GrpcTransportTest, AStreamOnWhichNothingIsSaidStays) {
  constexpr Duration kPatience = milliseconds(1500);
  Node a(1, kPatience), b(2, kPatience);
  a.Knows(b);
  a.Send(b, 1);
  ASSERT_TRUE(a.AwaitNumber(1));
  std::this_thread::sleep_for(2 * kPatience);  // shown is that nothing happens meanwhile
  EXPECT_EQ(b.greetings(), 1);
  a.Send(b, 2);
  EXPECT_TRUE(a.AwaitNumber(2));
  EXPECT_EQ(b.greetings(), 1);
}

// Says nothing after its greeting, as if a damaged length had swallowed all that it says.
TEST(GrpcTransportTest, AStreamThatAnswersNothingIsEnded) {
  Node b(2, kAnswerWithin);
  RawStream silent(b);
  ASSERT_TRUE(b.AwaitGreeting(1));
  internal::v1::MessageBatch batch;
  while (silent.stream->Read(&batch)) {
  }
  EXPECT_EQ(silent.stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

// What takes long to send is announced, so that the answers behind it are waited for.
TEST(GrpcTransportTest, ALargeBatchIsAnnounced) {
  Node b(2);
  RawStream reader(b);
  ASSERT_TRUE(b.AwaitGreeting(1));
  b.OnLoop([&] {
    GroupMessage m = MessageOf(b.id(), 1, MessageType::kAppend);
    auto entry = std::make_shared<Entry>();
    entry->data = std::string(2 << 20, 'x');
    m.message.entries.push_back(std::move(entry));
    b.transport().Send(StoreId(9), {m});
  });
  internal::v1::MessageBatch announcement, batch;
  ASSERT_TRUE(reader.stream->Read(&announcement) && reader.stream->Read(&batch));
  EXPECT_EQ(announcement.messages_size(), 0);
  EXPECT_GT(announcement.next_bytes(), uint64_t{2 << 20});
  EXPECT_EQ(batch.messages_size(), 1);
  EXPECT_EQ(batch.next_bytes(), 0u);
}

// Accepts streams, reads them, and says nothing.
class DeafStore : public internal::v1::RaftTransport::Service {
 public:
  DeafStore() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~DeafStore() override { server_->Shutdown(std::chrono::system_clock::now()); }
  int port() const { return port_; }
  // The connections that streams came on, in order, once there are so many or after `limit`.
  std::vector<std::string> AwaitConnections(size_t count, Duration limit) {
    std::unique_lock<std::mutex> lock(mutex_);
    accepted_.wait_for(lock, limit, [&] { return connections_.size() >= count; });
    return connections_;
  }

 private:
  grpc::Status Messages(grpc::ServerContext* context,
                        grpc::ServerReaderWriter<internal::v1::MessageBatch,
                                                 internal::v1::MessageBatch>* stream) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      connections_.push_back(context->peer());
      accepted_.notify_all();
    }
    internal::v1::MessageBatch batch;
    while (stream->Read(&batch)) {
    }
    return grpc::Status::OK;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable accepted_;
  std::vector<std::string> connections_;  // guarded by mutex_
};

TEST(GrpcTransportTest, WhoIsNotAnsweredTriesAnotherConnection) {
  DeafStore deaf;
  Node a(1, kAnswerWithin);
  a.Knows(StoreId(2), deaf.port());
  std::vector<std::string> connections;
  for (int i = 0; i < 1000 && connections.size() < 2; ++i) {
    a.OnLoop([&] { a.SendNow(StoreId(2), 1, MessageType::kHeartbeat); });
    connections = deaf.AwaitConnections(2, milliseconds(30));
  }
  ASSERT_GE(connections.size(), 2u);
  EXPECT_NE(connections[0], connections[1]);
}

TEST(StreamPatience, GrowsWithBytesAndWithEachLargeLoss) {
  StreamPatience patience(seconds(3));
  MonotonicTime now(seconds(1000));
  EXPECT_EQ(patience.For(0), seconds(3));
  EXPECT_EQ(patience.For(64 << 10).count() / 1'000'000, 4000);
  patience.RanOut(100, now);
  EXPECT_EQ(patience.For(64 << 10).count() / 1'000'000, 4000) << "no link is so slow";
  patience.RanOut(1 << 20, now);
  patience.RanOut(1 << 20, now);
  EXPECT_EQ(patience.For(64 << 10).count() / 1'000'000, 7000);
  EXPECT_EQ(patience.For(0), seconds(3));
  patience.Answered(now + seconds(200));
  EXPECT_EQ(patience.For(64 << 10).count() / 1'000'000, 7000);
  patience.Answered(now + seconds(250));
  EXPECT_EQ(patience.For(64 << 10).count() / 1'000'000, 5000);
  patience.Answered(now + seconds(251));
  EXPECT_EQ(patience.For(64 << 10).count() / 1'000'000, 5000);
  for (int i = 0; i < 100; ++i) patience.RanOut(1 << 20, now);
  EXPECT_LT(patience.For(64 << 10), seconds(100));
}

// What is said on one stream keeps its order: once the truth has come, the lie would have.
TEST(GrpcTransportTest, MessagesInAnothersNameAreRefusedFromEitherEnd) {
  Node a(1), liar(2), b(4);
  a.Knows(liar);
  liar.Knows(b);
  liar.OnLoop([&] {
    liar.answers = false;
    liar.set_says(StoreId(3));
  });
  a.Send(liar, 1);
  ASSERT_TRUE(liar.AwaitNumber(1));
  liar.Send(a, 2);
  liar.Send(b, 2);
  liar.OnLoop([&] {
    liar.answers = true;
    liar.set_says(liar.id());
  });
  EXPECT_TRUE(a.SendUntilAnswered(liar, 100));
  EXPECT_TRUE(liar.SendUntilAnswered(b, 100));
  for (uint64_t number : a.numbers()) EXPECT_GE(number, 100u);
  for (uint64_t number : b.numbers()) EXPECT_GE(number, 100u);
}

}  // namespace
}  // namespace kvd::raft
