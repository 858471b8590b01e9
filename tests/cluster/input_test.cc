// Bad input and bad surroundings: a clear error that names what, where and the limit, and nothing
// else happens.
#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kvd/v1/kv.grpc.pb.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

using testing::HasSubstr;

uint64_t Resident(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/statm");
  uint64_t pages = 0, pages_resident = 0;
  in >> pages >> pages_resident;
  return pages_resident * 4096;
}

class OneStore : public testing::Test {
 protected:
  static void SetUpTestSuite() { cluster_ = new MiniCluster(1); }
  static void TearDownTestSuite() { delete cluster_; }
  void TearDown() override {
    // Whatever was sent: the store still serves.
    auto client = cluster_->Connect();
    EXPECT_TRUE(client->Put("alive", "yes").ok());
  }
  static MiniCluster* cluster_;
};
MiniCluster* OneStore::cluster_ = nullptr;

TEST_F(OneStore, LimitsAreNamed) {
  auto client = cluster_->Connect();
  auto message = [](const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message(client->Put("", "v").status()),
              HasSubstr("key is 0 bytes, it must be at least 1"));
  EXPECT_THAT(message(client->Get("").status()), HasSubstr("key is 0 bytes"));
  EXPECT_THAT(message(client->Put(std::string(4097, 'k'), "v").status()),
              HasSubstr("key is 4097 bytes, the limit is 4096"));
  EXPECT_THAT(message(client->Put("k", std::string((8 << 20) + 1, 'v')).status()),
              HasSubstr("value is 8388609 bytes, the limit is 8388608"));
  EXPECT_THAT(message(client->DeleteRange("b", "a").status()), HasSubstr("is not below end"));
  std::vector<Operation> many;
  many.reserve(1025);
  for (int i = 0; i < 1025; ++i) many.push_back(Operation::Put("k" + std::to_string(i), "v"));
  EXPECT_THAT(message(client->Batch(many).status()),
              HasSubstr("1025 operations, the limit is 1024"));
  EXPECT_THAT(message(client->Batch({Operation::Put("a", "1"), Operation::Delete("a")}).status()),
              HasSubstr("twice"));
  ScanOptions scan;
  scan.start = "b";
  scan.end = "a";
  auto scanner = client->Scan(scan);
  EXPECT_FALSE(scanner->Next());
  EXPECT_THAT(message(scanner->status()), HasSubstr("is not below end"));
  ReadOptions future;
  future.consistency = Consistency::kSnapshot;
  future.timestamp = ~uint64_t{0} >> 1;
  EXPECT_THAT(message(client->Get("k", future).status()), HasSubstr("timestamp"));
}

TEST_F(OneStore, FilesThatCannotBeOpenedAreNamedWithTheReason) {
  std::string missing = cluster_->DataDir(1) + "/missing/file";
  for (const auto& words :
       {std::vector<std::string>{"put", "k", "--file", missing},
        std::vector<std::string>{"import", missing}, std::vector<std::string>{"export", missing}}) {
    Finished done = cluster_->Kvctl(words);
    EXPECT_EQ(done.exit_code, 2) << done.output;
    EXPECT_THAT(done.output, HasSubstr(missing));
    EXPECT_THAT(done.output, HasSubstr("No such file or directory"));
  }
}

TEST_F(OneStore, LargestValueFits) {
  auto client = cluster_->Connect();
  std::string value(8 << 20, 'v');
  ASSERT_TRUE(client->Put("large", value).ok());
  auto got = client->Get("large");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ((*got)->bytes, value);
}

TEST_F(OneStore, OtherClusterIsRefused) {
  ClientOptions options;
  options.addresses = {cluster_->Address(1)};
  options.cluster_id = 12345;
  auto client = *Client::Connect(options);
  auto got = client->Get("k");
  EXPECT_EQ(got.status().code(), absl::StatusCode::kFailedPrecondition) << got.status();
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("not to 12345"));
}

TEST_F(OneStore, GarbageOnThePortHurtsNobody) {
  for (const char* garbage :
       {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff",
        "\x16\x03\x01\x02", ""}) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::stoi(cluster_->Address(1).substr(10))));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    std::string bytes(garbage);
    bytes += std::string(4096, '\xa5');
    (void)!send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    close(fd);
  }
}

TEST_F(OneStore, AScanThatIsNeverReadHoldsNoMemory) {
  auto client = cluster_->Connect();
  std::string value(1 << 20, 'v');
  for (int i = 0; i < 64; ++i) ASSERT_TRUE(client->Put("scan" + std::to_string(i), value).ok());
  uint64_t before = Resident(cluster_->Pid(1));
  std::vector<std::unique_ptr<Scanner>> open;
  for (int i = 0; i < 20; ++i) {
    ScanOptions scan;
    scan.start = "scan";
    open.push_back(client->Scan(scan));
    ASSERT_TRUE(open.back()->Next());
  }
  // Twenty scans of 64 MiB that are not read: each holds a page or two, not its 64 MiB.
  EXPECT_LT(Resident(cluster_->Pid(1)), before + (uint64_t{400} << 20));
}

TEST_F(OneStore, APipelineThatIsNeverReadHoldsNoMemory) {
  auto client = cluster_->Connect();
  ASSERT_TRUE(client->Put("pipe", std::string(1 << 20, 'v')).ok());
  uint64_t before = Resident(cluster_->Pid(1));
  auto kv = v1::Kv::NewStub(
      grpc::CreateChannel(cluster_->Address(1), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  auto stream = kv->Pipeline(&context);
  // Asks for 64 GiB in 64 messages and takes nothing; the store stops reading, so the writer stops.
  std::atomic<int> written{0};
  std::thread writer([&] {
    v1::PipelineRequest request;
    for (uint64_t id = 1; id <= 1024; ++id) {
      auto* item = request.add_items();
      item->set_id(id);
      item->mutable_get()->set_key("pipe");
    }
    for (int i = 0; i < 64 && stream->Write(request); ++i) ++written;
  });
  EXPECT_TRUE(MiniCluster::Await([&] { return written > 0; }));
  // Others are served meanwhile, and what is held stays bounded.
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(client->Put("other", "x").ok());
    ASSERT_LT(Resident(cluster_->Pid(1)), before + (uint64_t{300} << 20));
  }
  context.TryCancel();
  writer.join();
}

TEST(Startup, WrongFlagsNameFlagValueAndRange) {
  auto run = [](std::vector<std::string> words) {
    words.insert(words.begin(), KvdPath());
    return RunProgram(words, 20);
  };
  auto result = run({"--no-such-flag"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("no-such-flag"));
  result = run({"--listen", "nowhere"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("--listen nowhere is not HOST:PORT"));
  result = run({"--heartbeat-ms", "1"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("--heartbeat-ms 1 is out of range: 10 to 10000"));
  result = run({"--row-cache-mb", "-1"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("--row-cache-mb: -1, must be 0 or more"));
  result = run({"--disk-low-water-mb", "97"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(
      result.output,
      HasSubstr("--disk-low-water-mb 97 is less than --write-buffer-mb 16 and the log may have "
                "yet to write: at least 98"));
  result = run({"--disk-reserve-mb", "1"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("--disk-reserve-mb 1 is less than"));
  result = run({"--read-mode", "maybe"});
  EXPECT_THAT(result.output, HasSubstr("--read-mode maybe is not one of: lease, read-index"));
  result = run({"--config", "/no/such/file.toml"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("/no/such/file.toml"));
  ScratchDirectory scratch;
  std::ofstream(scratch.path() + "/bad.toml") << "no-such-setting = 3\n";
  result = run({"--config", scratch.path() + "/bad.toml"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("no-such-setting"));
  result = run({"--listen", "0.0.0.0:7777", "--data-dir", scratch.path() + "/d"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("--advertise"));
}

TEST(Startup, ConfigurationFileHasTheFlagsNames) {
  ScratchDirectory scratch;
  std::ofstream(scratch.path() + "/kvd.toml") << "listen = \"127.0.0.1:99999\"\n";
  auto result = RunProgram({KvdPath(), "--config", scratch.path() + "/kvd.toml"}, 20);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("--listen 127.0.0.1:99999 is not HOST:PORT"));
}

TEST(Startup, SurroundingsThatDoNotFit) {
  MiniCluster cluster(1);
  ScratchDirectory scratch;
  auto result = RunProgram(
      {KvdPath(), "--listen", cluster.Address(1), "--data-dir", scratch.path() + "/a"}, 20);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("--listen " + cluster.Address(1) +
                                       " can't be used: Address already in use"));
  std::string free = "127.0.0.1:" + std::to_string(FreePortPair());
  result = RunProgram({KvdPath(), "--listen", free, "--data-dir", cluster.DataDir(1)}, 20);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("is in use by another kvd"));
  std::ofstream(scratch.path() + "/file") << "x";
  result = RunProgram({KvdPath(), "--listen", free, "--data-dir", scratch.path() + "/file"}, 20);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("--data-dir " + scratch.path() + "/file"));
  cluster.Terminate(1);
  result = RunProgram(
      {KvdPath(), "--listen", free, "--data-dir", cluster.DataDir(1), "--cluster-id", "4711"}, 20);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("not to --cluster-id 4711"));
  std::ofstream(cluster.DataDir(1) + "/KVD") << "format 99\nstate ready\n";
  result = RunProgram({KvdPath(), "--listen", free, "--data-dir", cluster.DataDir(1)}, 20);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("has format 99, this kvd knows formats up to 3"));
}

}  // namespace
}  // namespace kvd
