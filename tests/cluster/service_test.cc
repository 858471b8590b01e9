// The services as a plain gRPC client sees them, at a store that does not lead: any store answers.
#include <grpcpp/create_channel.h>

#include <atomic>
#include <future>
#include <thread>

#include "client/src/cluster_client.h"
#include "client/src/grpc_network.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "gtest/gtest.h"
#include "kvd/v1/kv.grpc.pb.h"
#include "proto/error.h"
#include "proto/seal.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

class ServiceTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { cluster_ = new MiniCluster(3); }
  static void TearDownTestSuite() { delete cluster_; }

  ServiceTest() {
    follower_ = cluster_->Leader() % 3 + 1;
    // One that was just started answers before it has heard of a leader.
    EXPECT_TRUE(MiniCluster::Await([&] {
      auto status =
          client::ClusterClient({}, std::chrono::seconds(1)).StatusOf(cluster_->Address(follower_));
      const v1::GroupStatus* group = status.ok() ? DataGroupOf(*status) : nullptr;
      return group != nullptr && group->leader_store_id() != 0;
    }));
    channel_ =
        grpc::CreateChannel(cluster_->Address(follower_), grpc::InsecureChannelCredentials());
    kv_ = v1::Kv::NewStub(channel_);
  }

  static MiniCluster* cluster_;
  int follower_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Kv::Stub> kv_;
};
MiniCluster* ServiceTest::cluster_ = nullptr;

// The callback of an answer holds up the loop until the timeout of its call is due: the call has
// ended, and stays so.
TEST_F(ServiceTest, ATimeoutThatIsDueAfterTheAnswerEndsNothing) {
  CqLoop loop(std::make_unique<grpc::CompletionQueue>());
  auto network = std::make_unique<client::GrpcNetwork>(&loop);
  std::thread thread([&] { loop.Run(); });
  client::RequestItem item;
  item.mutable_get()->set_key("u/any");
  int ended = 0;
  std::promise<void> done;
  loop.Post([&] {
    Duration timeout = std::chrono::seconds(1);
    MonotonicTime due = loop.Now() + timeout;
    network->Call(cluster_->Address(follower_), item, timeout, [&, due](const auto&) {
      ++ended;
      while (loop.Now() <= due) std::this_thread::yield();
      // Answered after the timers that are due have run.
      network->Call(cluster_->Address(follower_), item, std::chrono::seconds(10), [&](const auto&) {
        network.reset();
        done.set_value();
      });
    });
  });
  EXPECT_EQ(done.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(ended, 1);
  loop.Stop();
  thread.join();
  loop.Drain();
}

// Of a pipeline, sealed and then changed by `damage`.
v1::PipelineRequest Sealed(uint64_t id, const std::string& key,
                           const std::function<void(client::RequestItem*)>& damage) {
  v1::PipelineRequest request;
  auto* item = request.add_items();
  item->set_id(id);
  item->mutable_append()->set_key(key);
  item->mutable_append()->set_suffix("x");
  Seal(item);
  damage(item);
  return request;
}

TEST_F(ServiceTest, ASealedRequestHasASealedAnswer) {
  for (int store : {follower_, cluster_->Leader()}) {
    grpc::ClientContext context;
    auto kv = v1::Kv::NewStub(
        grpc::CreateChannel(cluster_->Address(store), grpc::InsecureChannelCredentials()));
    auto stream = kv->Pipeline(&context);
    v1::PipelineResponse response;
    ASSERT_TRUE(stream->Write(Sealed(7, "sealed/a", [](auto*) {})) && stream->Read(&response));
    ASSERT_EQ(response.items_size(), 1);
    ASSERT_TRUE(response.items(0).has_sealed());
    EXPECT_TRUE(Unseal(response.mutable_items(0)));
    EXPECT_TRUE(response.items(0).write().applied()) << response.items(0).ShortDebugString();
    stream->WritesDone();
    EXPECT_FALSE(stream->Read(&response));
    EXPECT_TRUE(stream->Finish().ok());
  }
}

TEST_F(ServiceTest, ADamagedSealedRequestIsNotExecuted) {
  auto flip = [](std::string* bytes) { bytes->back() = static_cast<char>(bytes->back() ^ 1); };
  const std::function<void(client::RequestItem*)> damages[] = {
      [&](auto* item) { flip(item->mutable_sealed()->mutable_item()); },
      [](auto* item) { item->mutable_sealed()->set_crc32c(item->sealed().crc32c() ^ 1); },
      [](auto* item) { item->set_id(item->id() ^ 1); },
      [](auto* item) { Seal(item); },
  };
  for (const auto& damage : damages) {
    grpc::ClientContext context;
    auto stream = kv_->Pipeline(&context);
    v1::PipelineResponse response;
    ASSERT_TRUE(stream->Write(Sealed(7, "sealed/b", damage)));
    EXPECT_FALSE(stream->Read(&response));
    grpc::Status status = stream->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
    EXPECT_EQ(status.error_message(), "items.sealed: a request was damaged on its way");
  }
  grpc::ClientContext context;
  v1::GetRequest get;
  get.set_key("sealed/b");
  v1::GetResponse got;
  ASSERT_TRUE(kv_->Get(&context, get, &got).ok());
  EXPECT_FALSE(got.found());
}

TEST_F(ServiceTest, AnyStoreAnswersEveryUnaryRequest) {
  grpc::ClientContext contexts[9];
  v1::WriteResponse write;
  v1::PutRequest put;
  put.set_key("u/a");
  put.set_value("1");
  ASSERT_TRUE(kv_->Put(&contexts[0], put, &write).ok());
  EXPECT_TRUE(write.applied());
  v1::AppendRequest append;
  append.set_key("u/a");
  append.set_suffix("2");
  ASSERT_TRUE(kv_->Append(&contexts[1], append, &write).ok());
  EXPECT_EQ(write.length(), 2u);
  v1::IncrementRequest increment;
  increment.set_key("u/a");
  increment.set_delta(3);
  ASSERT_TRUE(kv_->Increment(&contexts[2], increment, &write).ok());
  EXPECT_EQ(write.counter(), 15);
  v1::GetRequest get;
  get.set_key("u/a");
  v1::GetResponse got;
  ASSERT_TRUE(kv_->Get(&contexts[3], get, &got).ok());
  EXPECT_EQ(got.version().value(), "15");
  EXPECT_EQ(got.header().leader_address(), cluster_->Address(cluster_->Leader()));
  v1::BatchRequest batch;
  batch.add_operations()->set_key("u/b");
  batch.mutable_operations(0)->mutable_put()->set_value("b");
  v1::BatchResponse batched;
  ASSERT_TRUE(kv_->Batch(&contexts[4], batch, &batched).ok());
  v1::MultiGetRequest multi;
  for (const char* key : {"u/a", "u/none", "u/b"}) multi.add_keys(key);
  v1::MultiGetResponse values;
  ASSERT_TRUE(kv_->MultiGet(&contexts[5], multi, &values).ok());
  EXPECT_TRUE(values.items(0).found() && !values.items(1).found() && values.items(2).found());
  v1::DeleteRequest remove;
  remove.set_key("u/b");
  ASSERT_TRUE(kv_->Delete(&contexts[6], remove, &write).ok());
  EXPECT_TRUE(write.existed());
  v1::DeleteRangeRequest range;
  range.mutable_range()->set_start("u/");
  range.mutable_range()->set_end("u0");
  v1::DeleteRangeResponse deleted;
  ASSERT_TRUE(kv_->DeleteRange(&contexts[7], range, &deleted).ok());
  EXPECT_EQ(deleted.deleted(), 1u);
}

TEST_F(ServiceTest, AScanAtAFollowerIsPassedOnInPages) {
  auto client = cluster_->Connect();
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(client->Put("page/" + std::to_string(1000 + i), std::string(1000, 'x')).ok());
  for (bool reverse : {false, true}) {
    grpc::ClientContext context;
    v1::ScanRequest request;
    request.mutable_range()->set_start("page/");
    request.mutable_range()->set_end("page0");
    request.set_page_bytes(5000);
    request.set_limit(250);
    request.set_reverse(reverse);
    auto reader = kv_->Scan(&context, request);
    std::vector<std::string> keys;
    int pages = 0;
    bool done = false;
    for (v1::ScanResponse page; reader->Read(&page); ++pages) {
      for (const auto& row : page.rows()) keys.push_back(row.key());
      done = page.done();
    }
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_TRUE(done);
    EXPECT_GT(pages, 30);
    ASSERT_EQ(keys.size(), 250u);
    for (size_t i = 0; i < keys.size(); ++i) {
      EXPECT_EQ(keys[i], "page/" + std::to_string(reverse ? 1299 - i : 1000 + i));
    }
  }
}

// A plain client asks once. Leadership goes from store to store, then the leader dies: each scan
// waits for the next leader and is whole.
TEST_F(ServiceTest, AScanAtAnyStoreWaitsForTheNextLeader) {
  auto client = cluster_->Connect();
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(client->Put("wait/" + std::to_string(100 + i), "v").ok());
  auto scan = [](int store) {
    auto stub = v1::Kv::NewStub(
        grpc::CreateChannel(cluster_->Address(store), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::ScanRequest request;
    request.mutable_range()->set_start("wait/");
    request.mutable_range()->set_end("wait0");
    request.set_page_bytes(4096);
    auto reader = stub->Scan(&context, request);
    int rows = 0;
    for (v1::ScanResponse page; reader->Read(&page);) rows += page.rows_size();
    grpc::Status status = reader->Finish();
    return status.ok() ? std::to_string(rows) + " rows" : status.error_message();
  };
  std::atomic<bool> stop = false;
  std::vector<std::future<std::string>> scanners;
  for (int store = 1; store <= 3; ++store) {
    scanners.push_back(std::async(std::launch::async, [&, store] {
      std::string seen = "20 rows";
      while (!stop && seen == "20 rows") seen = scan(store);
      return seen;
    }));
  }
  for (int i = 0; i < 5; ++i) {
    int old = cluster_->Leader();
    cluster_->Kvctl({"member", "transfer"});
    EXPECT_TRUE(MiniCluster::Await([&] {
      int now = cluster_->Leader();
      return now != 0 && now != old;
    }));
  }
  stop = true;
  for (auto& scanner : scanners) EXPECT_EQ(scanner.get(), "20 rows");
  int dead = cluster_->Leader();
  cluster_->Kill(dead);
  EXPECT_EQ(scan(dead % 3 + 1), "20 rows");
  EXPECT_TRUE(cluster_->Start(dead));
}

TEST_F(ServiceTest, APipelineAnswersById) {
  grpc::ClientContext context;
  auto stream = kv_->Pipeline(&context);
  v1::PipelineRequest request;
  for (uint64_t id = 1; id <= 100; ++id) {
    auto* item = request.add_items();
    item->set_id(id * 7);
    if (id % 2 == 0) {
      item->mutable_put()->set_key("pipe" + std::to_string(id));
    } else {
      item->mutable_get()->set_key("pipe");
    }
  }
  request.add_items()->set_id(3);  // holds no request
  ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  std::set<uint64_t> ids;
  int errors = 0;
  for (v1::PipelineResponse response; stream->Read(&response);) {
    for (const auto& item : response.items()) {
      ids.insert(item.id());
      errors += item.has_error();
    }
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(ids.size(), 101u);
  EXPECT_EQ(errors, 1);
}

TEST_F(ServiceTest, ErrorsCarryTheirDetail) {
  grpc::ClientContext context;
  v1::PutRequest put;
  put.set_key(std::string(5000, 'k'));
  v1::WriteResponse write;
  grpc::Status status = kv_->Put(&context, put, &write);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(InfoOf(ParseStatus(status.error_details())).kind, ErrorKind::kLimitExceeded);
}

TEST_F(ServiceTest, BoundedStaleReadsAreAnsweredByAFollower) {
  auto client = cluster_->Connect();
  ASSERT_TRUE(client->Put("stale", "v").ok());
  EXPECT_TRUE(MiniCluster::Await([&] {
    grpc::ClientContext context;
    v1::GetRequest get;
    get.set_key("stale");
    get.mutable_read()->set_consistency(v1::ReadOptions::BOUNDED_STALE);
    v1::GetResponse got;
    if (!kv_->Get(&context, get, &got).ok() || !got.found()) return false;
    return got.header().store_id() == static_cast<uint64_t>(follower_);
  }));
}

TEST_F(ServiceTest, SnapshotReadsStandStill) {
  auto client = cluster_->Connect();
  auto first = client->Put("snap", "one");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(client->Put("snap", "two").ok());
  ReadOptions at;
  at.consistency = Consistency::kSnapshot;
  at.timestamp = first->version;
  EXPECT_EQ((*client->Get("snap", at))->bytes, "one");
  at.timestamp = first->version - 1;
  EXPECT_FALSE(client->Get("snap", at)->has_value());
  EXPECT_EQ((*client->Get("snap"))->bytes, "two");
}

TEST_F(ServiceTest, CallsThatDoNotWaitAnswerAsThoseThatDo) {
  auto client = cluster_->Connect();
  std::promise<absl::StatusOr<BatchResult>> batch;
  client->AsyncBatch({Operation::Put("async a", "1"), Operation::Increment("async n", 5)},
                     {.conditions = {Condition::Absent("async a")}}, {Operation::Delete("async a")},
                     [&](auto result) { batch.set_value(std::move(result)); });
  auto done = batch.get_future().get();
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_TRUE(done->conditions_held);
  ASSERT_EQ(done->items.size(), 2u);
  EXPECT_EQ(done->items[1].counter, 5);
  std::promise<absl::StatusOr<std::vector<std::optional<Value>>>> values;
  client->AsyncMultiGet({"async n", "async none", "async a"}, {},
                        [&](auto result) { values.set_value(std::move(result)); });
  auto got = values.get_future().get();
  ASSERT_TRUE(got.ok()) << got.status();
  ASSERT_EQ(got->size(), 3u);
  EXPECT_EQ((*got)[0]->bytes, "5");
  EXPECT_FALSE((*got)[1].has_value());
  EXPECT_EQ((*got)[2]->bytes, "1");
}

TEST_F(ServiceTest, MetricsAreOfTheirKind) {
  ASSERT_TRUE(cluster_->Connect()->Put("metrics", "v").ok());
  int leader = cluster_->Leader();
  EXPECT_TRUE(MiniCluster::Await([&] {
    return cluster_->Metrics(leader).find("kvd_log_sync_seconds_count") != std::string::npos;
  }));
  std::string told = cluster_->Metrics(leader);
  for (const char* line :
       {"# TYPE kvd_requests_total counter", "# TYPE kvd_request_seconds histogram",
        "# TYPE kvd_raft_proposals_total counter", "# TYPE kvd_log_sync_seconds histogram",
        "# TYPE kvd_raft_term gauge", "# TYPE process_cpu_seconds_total counter"}) {
    EXPECT_NE(told.find(line), std::string::npos) << line << "\n" << told;
  }
  EXPECT_EQ(told.find("kvd_log_sync_seconds_count 0\n"), std::string::npos);
}

TEST_F(ServiceTest, HealthIsToldAndWatched) {
  auto health = grpc::health::v1::Health::NewStub(channel_);
  auto check = [&](const std::string& service, grpc::health::v1::HealthCheckResponse* response) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    return health->Check(&context, request, response);
  };
  using Response = grpc::health::v1::HealthCheckResponse;
  Response response;
  for (const char* service : {"", "kvd.v1.Kv", "kvd.v1.Cluster"}) {
    EXPECT_TRUE(MiniCluster::Await([&] {
      return check(service, &response).ok() && response.status() == Response::SERVING;
    })) << service;
  }
  EXPECT_EQ(check("no.such.Service", &response).error_code(), grpc::StatusCode::NOT_FOUND);
  grpc::ClientContext context;
  auto watch = health->Watch(&context, {});
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), Response::SERVING);
  context.TryCancel();
  EXPECT_FALSE(watch->Read(&response));
}

TEST_F(ServiceTest, ReflectionDescribesTheServices) {
  auto reflection = grpc::reflection::v1alpha::ServerReflection::NewStub(channel_);
  grpc::ClientContext context;
  auto stream = reflection->ServerReflectionInfo(&context);
  grpc::reflection::v1alpha::ServerReflectionRequest request;
  grpc::reflection::v1alpha::ServerReflectionResponse response;
  request.set_list_services("*");
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));
  std::vector<std::string> names;
  for (const auto& service : response.list_services_response().service())
    names.push_back(service.name());
  EXPECT_THAT(names,
              testing::IsSupersetOf({"kvd.v1.Kv", "kvd.v1.Cluster", "grpc.health.v1.Health"}));
  request.set_file_containing_symbol("kvd.v1.Kv.Get");
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));
  EXPECT_GE(response.file_descriptor_response().file_descriptor_proto_size(), 2)
      << "with its import";
  request.set_file_containing_symbol("no.such.thing");
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));
  EXPECT_EQ(response.error_response().error_code(), static_cast<int>(grpc::StatusCode::NOT_FOUND));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

}  // namespace
}  // namespace kvd
