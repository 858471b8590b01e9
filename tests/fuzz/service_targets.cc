// The gRPC services as callers reach them: any bytes as the messages of any method.
#include <grpcpp/server_builder.h>

#include "client/src/grpc_network.h"
#include "proto/check.h"
#include "proto/limits.h"
#include "raft/grpc_transport.h"
#include "raft/wire.h"
#include "server/service/cluster_service.h"
#include "server/service/health_service.h"
#include "server/service/kv_service.h"
#include "server/service/reflection_service.h"
#include "server/service/store_service.h"
#include "tests/fuzz/fuzz_store.h"
#include "tests/fuzz/raw_call.h"
#include "tests/fuzz/target.h"
#include "tests/sim/node_store.h"

namespace kvd::fuzz {
namespace {

constexpr const char* kMethods[] = {
    "/kvd.v1.Kv/Pipeline",
    "/kvd.v1.Kv/Scan",
    "/kvd.v1.Kv/Get",
    "/kvd.v1.Kv/MultiGet",
    "/kvd.v1.Kv/Put",
    "/kvd.v1.Kv/DeleteRange",
    "/kvd.v1.Kv/Batch",
    "/kvd.v1.Cluster/Status",
    "/kvd.v1.Cluster/Members",
    "/kvd.v1.Cluster/Health",
    "/kvd.v1.Cluster/TransferLeadership",
    "/kvd.v1.Cluster/ChangeMembership",
    "/kvd.v1.Cluster/Join",
    "/kvd.v1.Cluster/StartVerification",
    "/kvd.v1.Cluster/GetVerification",
    "/kvd.internal.v1.Stores/Call",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
constexpr const char* kStreams[] = {"/kvd.internal.v1.RaftTransport/Messages",
                                    "/kvd.internal.v1.RaftTransport/Snapshots"};

// Services on a loop, and calls made on the same one: all in this thread.
class InProcess {
 public:
  InProcess() {
    auto queue = builder_.AddCompletionQueue();
    queue_ = queue.get();
    loop_ = std::make_unique<CqLoop>(std::move(queue));
  }
  // Before the services are started; they are the loop's and the queue's.
  void Build(const std::vector<grpc::Service*>& services) {
    for (grpc::Service* service : services) builder_.RegisterService(service);
    server_ = builder_.BuildAndStart();
    KVD_CHECK(server_ != nullptr);
    channel_ = server_->InProcessChannel(grpc::ChannelArguments());
  }

  CqLoop* loop() { return loop_.get(); }
  grpc::ServerCompletionQueue* queue() { return queue_; }

  void Call(const std::string& method, std::deque<std::string> messages) {
    ++open_;
    std::make_shared<RawCall>([this] {
      if (--open_ == 0) loop_->Stop();
    })->Start(loop_.get(), channel_, method, std::move(messages), milliseconds(60));
  }
  // Until all calls have ended; `turn` is called again and again meanwhile.
  void Run(const std::function<void()>& turn) {
    turn_ = turn;
    Turn();
    if (open_ > 0) loop_->Run();
    turn_ = nullptr;
  }
  // The services have been told to stop.
  void End() {
    channel_.reset();
    server_->Shutdown(std::chrono::system_clock::now());
    loop_->Drain(milliseconds(3));  // nothing here comes from afar
  }

 private:
  void Turn() {
    if (!turn_ || open_ == 0) return;
    turn_();
    loop_->Post([this] { Turn(); });
  }

  grpc::ServerBuilder builder_;
  grpc::ServerCompletionQueue* queue_;
  std::unique_ptr<CqLoop> loop_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::function<void()> turn_;
  int open_ = 0;
};

v1::PipelineRequest TakePipeline(Reader& r) {
  v1::PipelineRequest request;
  for (int n = r.Byte() % 6; n > 0; --n) *request.add_items() = TakeRequest(r);
  return request;
}

// Shaped like what the method takes, or any bytes.
std::string TakeCallMessage(Reader& r, const std::string& method) {
  uint8_t kind = r.Byte();
  if (kind < 100) return std::string(r.Bytes());
  if (method == kMethods[0]) return TakePipeline(r).SerializePartialAsString();
  if (method == kMethods[1]) return TakeScan(r).SerializePartialAsString();
  if (method == "/kvd.v1.Cluster/ChangeMembership") {
    v1::ChangeMembershipRequest change;
    change.set_change(static_cast<v1::ChangeMembershipRequest::Change>(kind % 8));
    change.set_store_id(r.Byte() % 6);
    change.set_replaced_store_id(r.Byte() % 6);
    return change.SerializeAsString();
  }
  if (method == "/kvd.v1.Cluster/Join") {
    v1::JoinRequest join;
    join.set_address(kind < 150 ? sim::AddressOf(1 + kind % 5) : "any:1");
    join.set_cluster_id(kind % 3 == 0 ? 0 : sim::kCluster.value());
    join.set_join_nonce(r.Byte() % 4);
    join.set_lost_store_id(r.Byte() % 6);
    return join.SerializeAsString();
  }
  return std::string(r.Bytes());
}

std::deque<std::string> TakeMessages(Reader& r, const std::string& method) {
  std::deque<std::string> messages;
  for (int n = r.Byte() % 4; n > 0; --n) messages.push_back(TakeCallMessage(r, method));
  return messages;
}

service::ClusterService::Options ClusterOptions(sim::NodeProcess& process) {
  service::ClusterService::Options options;
  options.version = "fuzz";
  options.data_bytes = options.log_bytes = [] { return uint64_t{1}; };
  options.verifier = process.verifier.get();
  options.rebuilder = process.rebuilder.get();
  options.fill_disk = [](v1::StatusResponse*) {};
  return options;
}

// A store that is the only one of its cluster, with all that belongs to one.
class LoneNode {
 public:
  LoneNode() : network_(&scheduler_), store_(&scheduler_, &network_, StoreId(1), Options()) {
    store_.Format();
    store_.Start();
    bool asked = false;
    while (store_.node().routing().shards().empty() || !Ready(GroupId(2))) {
      KVD_CHECK(scheduler_.RunOne());
      if (asked || store_.node().controller() == nullptr || !store_.node().controller()->ready())
        continue;
      asked = true;
      store_.node().Bootstrap([](const absl::Status&) {});
    }
  }

  sim::NodeStore& store() { return store_; }
  sim::NodeProcess& process() { return store_.process(); }
  void Elapse(Duration duration) { scheduler_.RunUntil(scheduler_.now() + duration); }
  // Aborts unless a write succeeds.
  void CheckServes() {
    service::RequestItem put;
    put.mutable_put()->set_key("probe");
    std::optional<service::ResponseItem> answer;
    store_.node().dispatcher().Execute(put,
                                       [&](service::ResponseItem out) { answer = std::move(out); });
    while (!answer) KVD_CHECK(scheduler_.RunOne());
    KVD_CHECK_MSG(answer->write().applied(), answer->error().message());
  }

 private:
  static sim::NodeStoreOptions Options() {
    sim::NodeStoreOptions options;
    options.node.address = sim::AddressOf(1);
    options.node.nonce = 1;
    return options;
  }
  bool Ready(GroupId group) {
    node::LocalGroup* local = store_.node().groups().Find(group);
    return local != nullptr && local->group->ready() &&
           local->group->meta().shards.Serving("probe") != nullptr;
  }

  sim::Scheduler scheduler_{1};
  sim::SimNetwork network_;
  sim::NodeStore store_;
};

// All services of such a store.
class ServedStore {
 public:
  ServedStore() {
    server_.Build({kv_.service(), cluster_.service(), stores_.service(), health_.service(),
                   reflection_.service()});
    kv_.Start(server_.queue());
    cluster_.Start(server_.queue());
    stores_.Start(server_.queue());
    health_.Start(server_.queue());
    reflection_.Start(server_.queue());
  }
  ~ServedStore() {
    kv_.Stop();
    cluster_.Stop();
    stores_.Stop();
    health_.Stop();
    reflection_.Stop();
    network_.Stop();
    // What changes of members wait for does not come: they give up.
    store_.Elapse(std::chrono::minutes(3));
    store_.store().Crash();
    server_.End();
  }

  LoneNode& store() { return store_; }
  service::HealthService& health() { return health_; }
  InProcess& server() { return server_; }

 private:
  LoneNode store_;
  sim::NodeProcess& process_ = store_.process();
  InProcess server_;
  service::Metrics metrics_;
  client::GrpcNetwork network_{server_.loop()};
  service::KvService kv_{server_.loop(), &process_.node->dispatcher(), &network_, &metrics_};
  service::ClusterService cluster_{server_.loop(), process_.host.get(), process_.node.get(),
                                   &network_, ClusterOptions(process_)};
  service::StoreService stores_{process_.node.get()};
  service::HealthService health_{{"kvd.v1.Kv"}};
  service::ReflectionService reflection_{{"kvd.v1.Kv", "kvd.v1.Cluster"}};
};

// Several calls at a time: each ends, and the store serves on.
KVD_FUZZ_TARGET(service_calls) {
  ServedStore served;
  Reader r(input);
  // Other stores are trusted: what they ask for may end the group.
  bool trusted = false;
  for (int n = 0; n < 12 && r.ok() && !r.rest().empty(); ++n) {
    std::string method = kMethods[r.Byte() % std::size(kMethods)];
    trusted = trusted || method == "/kvd.internal.v1.Stores/Call";
    served.server().Call(method, TakeMessages(r, method));
  }
  int turns = 0;
  served.server().Run([&] {
    served.store().Elapse(milliseconds(2));
    served.health().SetServing(++turns % 8 < 4);
  });
  if (!trusted) served.store().CheckServes();
}

// What comes out of the streams has been checked.
class CheckingHandler : public raft::TransportHandler {
 public:
  void OnMessages(std::vector<raft::GroupMessage> messages) override {
    KVD_CHECK(greeted_ > 0);
    for (const auto& m : messages) KVD_CHECK(m.message.from_store);
  }
  void OnChunk(StoreId from, raft::SnapshotChunk) override { KVD_CHECK(from); }
  void OnAck(raft::SnapshotAck) override { KVD_CHECK(greeted_ > 0); }
  void OnHello(StoreId store, const std::string& address) {
    KVD_CHECK(store && address.size() <= kAddressBytesMax);
    ++greeted_;
  }

 private:
  int greeted_ = 0;
};

internal::v1::Hello TakeHello(Reader& r) {
  uint8_t kind = r.Byte();
  internal::v1::Hello hello;
  hello.set_protocol(kind % 8 == 0 ? kind : raft::kTransportProtocol);
  hello.set_cluster_id(kind % 8 == 1 ? kind : sim::kCluster.value());
  hello.set_store_id(kind % 8 == 2 ? 0 : 1 + kind % 3);
  hello.set_address(kind % 8 == 3 ? std::string(size_t{r.Byte()} * 8, 'a') : "any:1");
  return hello;
}

// With the checksum that belongs to it, unless it has one of its own.
template <class Wire>
std::string WithChecksum(const std::string& bytes) {
  Wire wire;
  if (!wire.ParseFromString(bytes) || wire.checksum() != 0) return bytes;
  wire.set_checksum(raft::Checksum(wire));
  return wire.SerializeAsString();
}

// A message that begins or goes on with a stream: any bytes, after a hello or none.
std::string TakeStreamMessage(Reader& r, bool batch) {
  std::string message;
  if (r.Byte() % 2 == 0) {
    internal::v1::MessageBatch of_hello;
    internal::v1::SnapshotChunk chunk_of_hello;
    *of_hello.mutable_hello() = TakeHello(r);
    *chunk_of_hello.mutable_hello() = of_hello.hello();
    message = batch ? of_hello.SerializeAsString() : chunk_of_hello.SerializeAsString();
  }
  // Fields that follow are merged.
  message += r.Bytes();
  return batch ? WithChecksum<internal::v1::MessageBatch>(message)
               : WithChecksum<internal::v1::SnapshotChunk>(message);
}

KVD_FUZZ_TARGET(transport_streams) {
  InProcess server;
  CheckingHandler handler;
  raft::GrpcTransport transport(server.loop(), {sim::kCluster, StoreId(9), "any:9"},
                                [](StoreId) { return std::string(); });
  transport.set_handler(&handler);
  raft::GrpcTransportService service(
      server.loop(), &transport, &handler,
      [&](StoreId store, const std::string& address) { handler.OnHello(store, address); });
  server.Build({service.service()});
  service.Start(server.queue());
  Reader r(input);
  for (int n = 0; n < 4 && r.ok() && !r.rest().empty(); ++n) {
    bool batch = r.Byte() % 2 == 0;
    std::deque<std::string> messages;
    for (int m = r.Byte() % 4; m >= 0; --m) messages.push_back(TakeStreamMessage(r, batch));
    server.Call(kStreams[batch ? 0 : 1], std::move(messages));
  }
  server.Run([] {});
  service.Stop();
  server.End();
}

}  // namespace
}  // namespace kvd::fuzz
