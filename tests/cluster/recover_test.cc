// A majority of the stores is gone for good, and an operator brings the groups back from what is
// left with kvctl recover; those that were gone come back all the same, and do no harm. And the
// whole cluster loses power at once, which needs no operator. With real stores.
#include <grpcpp/create_channel.h>

#include <sstream>

#include "client/src/cluster_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kvd/v1/kv.grpc.pb.h"
#include "tests/cluster/load.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

using testing::HasSubstr;

constexpr int kKeys = 200;
constexpr int kRemovedExitCode = 78;

std::vector<std::string> Words(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// The commands that a plan says to run, without "kvctl --connect ADDRESSES".
std::vector<std::vector<std::string>> CommandsOf(const std::string& plan) {
  std::vector<std::vector<std::string>> commands;
  std::istringstream in(plan);
  for (std::string line; std::getline(in, line);) {
    std::vector<std::string> words = Words(line);
    if (words.size() < 4 || words[0] != "kvctl") continue;
    commands.emplace_back(words.begin() + 3, words.end());
  }
  return commands;
}

std::vector<std::string> Without(std::vector<std::string> words, const std::string& word) {
  std::erase(words, word);
  return words;
}

// The word that follows `name` becomes `value`.
std::vector<std::string> With(std::vector<std::string> words, const std::string& name,
                              const std::string& value) {
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == name) words[i + 1] = value;
  }
  return words;
}

v1::StatusResponse StatusOf(const MiniCluster& cluster, int n) {
  return client::ClusterClient({}, std::chrono::seconds(1))
      .StatusOf(cluster.Address(n))
      .value_or(v1::StatusResponse());
}

// A plain client's increment, which it may send again.
absl::StatusOr<int64_t> Increment(const MiniCluster& cluster, int n, uint64_t token,
                                  uint32_t attempt) {
  auto stub =
      v1::Kv::NewStub(grpc::CreateChannel(cluster.Address(n), grpc::InsecureChannelCredentials()));
  v1::IncrementRequest request;
  auto* writer = request.mutable_header()->mutable_writer();
  writer->set_client_id(4711);
  writer->set_sequence(1);
  writer->set_attempt(attempt);
  writer->set_token(token);
  request.set_key("counter");
  request.set_delta(5);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  v1::WriteResponse response;
  grpc::Status status = stub->Increment(&context, request, &response);
  if (!status.ok()) return absl::UnavailableError(status.error_message());
  return response.counter();
}

class Recover : public testing::Test {
 protected:
  void Begin(int stores, std::vector<std::string> flags = {}) {
    cluster_ = std::make_unique<MiniCluster>(stores, std::move(flags));
    client_ = cluster_->Connect();
    for (int i = 0; i < kKeys; ++i) PutKey(i, "before");
  }
  MiniCluster& cluster() { return *cluster_; }
  static std::string Key(int i) { return "key" + std::to_string(i); }
  void PutKey(int i, const std::string& value) {
    absl::Status put = client_->Put(Key(i), value).status();
    ASSERT_TRUE(put.ok()) << put;
  }
  void ExpectAll(int from, int to, const std::string& value) {
    for (int i = from; i < to; ++i) {
      auto found = client_->Get(Key(i));
      ASSERT_TRUE(found.ok() && found->has_value()) << i << " " << found.status();
      ASSERT_EQ((*found)->bytes, value) << i;
    }
  }
  Finished Run(std::vector<std::string> words) { return cluster_->Kvctl(std::move(words)); }
  std::string Plan() { return Run({"recover", "--plan"}).output; }

  // Whether the replicas of all groups on store n have everything that was acknowledged.
  bool HasAll(int n) {
    v1::StatusResponse here = StatusOf(cluster(), n);
    for (int other = 1; other <= cluster().size(); ++other) {
      v1::StatusResponse there = StatusOf(cluster(), other);
      for (const auto& group : there.groups()) {
        for (const auto& mine : here.groups()) {
          if (mine.group_id() == group.group_id() && mine.last_index() < group.last_index())
            return false;
        }
      }
    }
    return !here.groups().empty();
  }
  // Whether `groups` data groups and the controller have three voters, and nothing is under way: a
  // group whose creation is not recorded yet would be given up instead of brought back.
  bool Settled(size_t groups) {
    return Groups().size() == groups + 1 && Healed(3) &&
           Run({"-o", "json", "op", "list"}).output.find("operation_id") == std::string::npos;
  }
  // Whether each group has `voters` voters, on stores that answer, and a leader.
  bool Healed(int voters) {
    for (uint64_t group : Groups()) {
      auto status = client::ClusterClient({AnyAddress()}, std::chrono::seconds(1)).Group(group);
      if (!status.ok() || status->joint() || status->role() != v1::GroupStatus::LEADER)
        return false;
      if (status->replicas_size() != voters) return false;
      for (const auto& r : status->replicas()) {
        if (!r.voter()) return false;
      }
    }
    return true;
  }
  std::vector<uint64_t> Groups() {
    std::set<uint64_t> groups;
    for (int n = 1; n <= cluster().size(); ++n) {
      if (!cluster().Running(n)) continue;
      v1::StatusResponse here = StatusOf(cluster(), n);
      for (const auto& group : here.groups()) groups.insert(group.group_id());
    }
    return {groups.begin(), groups.end()};
  }
  std::string AnyAddress() {
    for (int n = 1; n <= cluster().size(); ++n) {
      if (cluster().Running(n)) return cluster().Address(n);
    }
    return "";
  }
  // Runs what the plan says, in order, once nothing is in the way.
  void RunPlan() {
    std::string plan;
    ASSERT_TRUE(MiniCluster::Await([&] {
      plan = Plan();
      return plan.find("may be there yet") == std::string::npos;
    })) << plan;
    for (const auto& words : CommandsOf(plan)) {
      Finished ran = Run(words);
      ASSERT_EQ(ran.exit_code, 0) << ran.output << plan;
    }
  }
  // Starts a store that was given up: it says so in one line, and ends.
  void ExpectOutForGood(int n) {
    if (!cluster().Running(n)) cluster().Launch(n);
    EXPECT_EQ(cluster().AwaitEnd(n), kRemovedExitCode) << cluster().Log(n);
    EXPECT_THAT(cluster().Log(n), HasSubstr("was removed from the cluster: ending"));
  }

  std::unique_ptr<MiniCluster> cluster_;
  std::unique_ptr<Client> client_;
};

TEST_F(Recover, IsRefusedWhereNothingIsLost) {
  Begin(3);
  std::string plan = Plan();
  EXPECT_THAT(plan, HasSubstr("2 groups are whole: 1, 2\n"));
  EXPECT_THAT(plan, HasSubstr("nothing is to be recovered"));
  EXPECT_TRUE(CommandsOf(plan).empty());
  auto whole = Run({"recover", "--group", "2", "--store", "1", "--at", "1:1", "--yes"});
  EXPECT_EQ(whole.exit_code, 5);
  EXPECT_THAT(whole.output, HasSubstr("kvctl: group 2 has a majority, led by store"));
  auto unknown = Run({"recover", "--group", "9", "--store", "1", "--at", "1:1", "--yes"});
  EXPECT_THAT(unknown.output, HasSubstr("kvctl: there is no group 9\n"));
  EXPECT_NE(unknown.exit_code, 0);
  EXPECT_EQ(Run({"recover", "--group", "2"}).exit_code, 2);
  // A store refuses by itself too, whoever asks.
  v1::StatusResponse status = StatusOf(cluster(), 1);
  v1::RecoverGroupRequest request;
  request.set_cluster_id(status.cluster_id());
  request.set_store_id(1);
  for (const auto& group : status.groups()) {
    request.set_group_id(group.group_id());
    request.set_replica_id(group.replica_id());
    request.set_last_index(group.last_index());
    request.set_last_term(group.last_term());
    auto refused =
        client::ClusterClient({}, std::chrono::seconds(2)).Recover(cluster().Address(1), request);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition) << refused.status();
  }
  request.set_group_id(9);
  auto none =
      client::ClusterClient({}, std::chrono::seconds(2)).Recover(cluster().Address(1), request);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("there is no group 9"));
}

// Two of three stores, the first one of the cluster among them: every group, and the controller.
TEST_F(Recover, EverythingFromOneStoreOfThree) {
  Begin(3, {"--cores", "4"});
  ASSERT_TRUE(MiniCluster::Await([&] { return Settled(3); }, 60));
  // Until it is sure to be done, which may be once more than it is told.
  uint32_t attempt = 0;
  uint64_t token = 0;
  v1::StatusResponse before = StatusOf(cluster(), 2);
  for (const auto& group : before.groups()) token = std::max(token, group.applied_timestamp());
  absl::StatusOr<int64_t> first;
  ASSERT_TRUE(MiniCluster::Await([&] {
    first = Increment(cluster(), 2, token, ++attempt);
    return first.ok();
  })) << first.status();
  ASSERT_TRUE(MiniCluster::Await([&] { return HasAll(2); }));
  cluster().Kill(1);
  cluster().Kill(3);
  std::string early = Plan();
  EXPECT_THAT(early, HasSubstr("store 1 does not answer"));
  EXPECT_THAT(early, HasSubstr("store 3 does not answer"));
  EXPECT_THAT(early, HasSubstr("group 1 (the controller) has no majority"));
  EXPECT_THAT(early, HasSubstr("acknowledged by stores 1, 3"));
  EXPECT_THAT(early, HasSubstr("start it: nothing is lost then"));
  EXPECT_THAT(Run({"-o", "json", "recover", "--plan"}).output, HasSubstr("\"may_lose\": true"));
  std::string plan;
  ASSERT_TRUE(MiniCluster::Await([&] {
    plan = Plan();
    return plan.find("may be there yet") == std::string::npos;
  })) << plan;
  auto commands = CommandsOf(plan);
  ASSERT_EQ(commands.size(), 4u) << plan;
  // Each of them is refused in another form, with one line.
  auto refused = [&](const std::vector<std::string>& words) {
    Finished ran = Run(words);
    EXPECT_NE(ran.exit_code, 0);
    return ran.output;
  };
  const auto& controller = commands[0];
  EXPECT_THAT(refused(commands[1]), HasSubstr("kvctl: group 1, the controller's, has no majority"));
  EXPECT_THAT(refused(Without(controller, "--yes")),
              HasSubstr("nothing was done: --yes is missing"));
  EXPECT_THAT(refused(With(controller, "--at", "1:2")), HasSubstr("not at 1:2"));
  EXPECT_THAT(refused(With(controller, "--gone", "1")),
              HasSubstr("does not answer and is not named"));
  EXPECT_THAT(refused(With(controller, "--gone", "1,2,3")), HasSubstr("store 2 answers"));
  EXPECT_THAT(refused(With(controller, "--store", "3")), HasSubstr("store 3 does not answer"));
  for (const auto& words : commands) {
    Finished ran = Run(words);
    ASSERT_EQ(ran.exit_code, 0) << ran.output << Plan() << cluster().Log(2);
  }
  EXPECT_THAT(Plan(), HasSubstr("nothing is to be recovered"));
  // What was acknowledged and is here is here; a write that was done is not done again.
  ExpectAll(0, kKeys, "before");
  auto again = Increment(cluster(), 2, token, ++attempt);
  EXPECT_TRUE(again.ok() && *again == 5) << again.status();
  EXPECT_EQ((*client_->Get("counter"))->bytes, "5");
  for (int i = 0; i < kKeys / 2; ++i) PutKey(i, "after");
  // Those that are gone are, for good, one alone and both at once.
  ExpectOutForGood(3);
  cluster().Launch(1);
  ExpectOutForGood(3);
  ExpectOutForGood(1);
  ExpectAll(0, kKeys / 2, "after");
  // With new stores everything grows again by itself.
  cluster().Add();
  cluster().Add();
  EXPECT_TRUE(MiniCluster::Await([&] { return Healed(3); }, 60))
      << Run({"op", "list"}).output << Run({"group", "list"}).output
      << Run({"store", "list"}).output;
  // A client that is told of one store alone finds the others while that lives.
  client_ = *Client::Connect({.addresses = {cluster().Address(2)}});
  ExpectAll(0, kKeys / 2, "after");
  ExpectAll(kKeys / 2, kKeys, "before");
  Finished verified = Run({"verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.output;
  // The one that all came from is as good as any other.
  cluster().Kill(2);
  for (int i = 0; i < kKeys; ++i) PutKey(i, "last");
  ExpectAll(0, kKeys, "last");
}

// The survivor lacks what the two others acknowledged alone, and they come back while nobody leads:
// neither wins the survivor's vote, nor do they serve what was given up.
TEST_F(Recover, WhatWasGivenUpStaysAway) {
  Begin(3);
  ASSERT_TRUE(MiniCluster::Await([&] { return HasAll(2); }));
  cluster().Kill(2);
  for (int i = 0; i < kKeys; ++i) PutKey(i, "lost");
  cluster().Kill(1);
  cluster().Kill(3);
  ASSERT_TRUE(cluster().Start(2));
  RunPlan();
  ExpectAll(0, kKeys, "before");
  PutKey(0, "new");
  // Started first, before anybody could tell it: it hears so in time.
  cluster().Kill(2);
  cluster().Launch(1);
  ASSERT_TRUE(cluster().Start(2)) << cluster().Log(2);
  ExpectOutForGood(1);
  ExpectOutForGood(3);
  ExpectAll(0, 1, "new");
  ExpectAll(1, kKeys, "before");
}

// The controller has five voters and keeps three; a data group had two of the others.
TEST_F(Recover, ADataGroupWhoseControllerIsWhole) {
  Begin(5);
  v1::GroupStatus group;
  ASSERT_TRUE(MiniCluster::Await([&] {
    auto found = client::ClusterClient({cluster().Address(1)}, std::chrono::seconds(1)).Group(2);
    if (found.ok()) group = *found;
    return group.replicas_size() == 3 && !group.joint();
  }));
  std::vector<int> stores;
  for (const auto& r : group.replicas()) stores.push_back(static_cast<int>(r.store_id()));
  int left = stores[1];
  ASSERT_TRUE(MiniCluster::Await([&] { return HasAll(left); }));
  cluster().Kill(stores[0]);
  cluster().Kill(stores[2]);
  std::string plan;
  ASSERT_TRUE(MiniCluster::Await([&] {
    plan = Plan();
    return plan.find("1 group is whole: 1\n") != std::string::npos &&
           plan.find("may be there yet") == std::string::npos;
  })) << plan;
  auto commands = CommandsOf(plan);
  ASSERT_EQ(commands.size(), 3u) << plan;
  EXPECT_EQ(commands[0][0], "store");
  // Not before those that are gone have been given up.
  EXPECT_THAT(Run(commands[2]).output, HasSubstr("is not removed from the cluster: first"));
  int other = 1;
  while (!cluster().Running(other) || other == left) ++other;
  EXPECT_THAT(Run(With(commands[2], "--store", std::to_string(other))).output,
              HasSubstr("has no replica of group 2"));
  for (const auto& words : commands) {
    Finished ran = Run(words);
    ASSERT_EQ(ran.exit_code, 0) << ran.output << plan;
  }
  ExpectAll(0, kKeys, "before");
  EXPECT_TRUE(MiniCluster::Await([&] { return Healed(3); }, 60))
      << Run({"op", "list"}).output << Run({"group", "list"}).output;
  ExpectOutForGood(stores[0]);
  ExpectAll(0, kKeys, "before");
}

// Of the controller's five voters two are left, and the data keeps its majority. The second one's
// replica is put out, on a store that lives, and made anew.
TEST_F(Recover, TheControllerAloneFromOneOfTwo) {
  Begin(5);
  v1::GroupStatus group;
  ASSERT_TRUE(MiniCluster::Await([&] {
    auto found = client::ClusterClient({cluster().Address(1)}, std::chrono::seconds(1)).Group(2);
    if (found.ok()) group = *found;
    return group.replicas_size() == 3 && !group.joint();
  }));
  std::set<int> left = {static_cast<int>(group.replicas(0).store_id()),
                        static_cast<int>(group.replicas(2).store_id())};
  for (int n = 1; n <= 5; ++n) {
    if (!left.contains(n)) cluster().Kill(n);
  }
  std::string plan;
  ASSERT_TRUE(MiniCluster::Await([&] {
    plan = Plan();
    return plan.find("1 group is whole: 2\n") != std::string::npos &&
           plan.find("may be there yet") == std::string::npos;
  })) << plan;
  auto commands = CommandsOf(plan);
  ASSERT_EQ(commands.size(), 1u) << plan;
  PutKey(0, "meanwhile");
  Finished ran = Run(commands[0]);
  ASSERT_EQ(ran.exit_code, 0) << ran.output << plan;
  // With a third store both groups have three replicas, one of the controller's on the store whose
  // replica was put out.
  cluster().Add();
  EXPECT_TRUE(MiniCluster::Await([&] { return Groups().size() == 2 && Healed(3); }, 60))
      << Run({"op", "list"}).output << Run({"group", "list"}).output << Plan();
  for (int n = 1; n <= 5; ++n) {
    if (!left.contains(n)) ExpectOutForGood(n);
  }
  ExpectAll(0, 1, "meanwhile");
  ExpectAll(1, kKeys, "before");
}

// Power is lost everywhere at once, under load: no hand is needed.
TEST_F(Recover, AWholeClusterComesBackByItself) {
  Begin(3, {"--cores", "4"});
  ASSERT_TRUE(MiniCluster::Await([&] { return Settled(3); }, 60));
  std::vector<std::string> addresses;
  for (int n = 1; n <= 3; ++n) addresses.push_back(cluster().Address(n));
  LoadOptions options{.addresses = addresses, .clients = 4, .keys = 12};
  // Its keys are spread over groups.
  options.mixed_batches = false;
  RecordedLoad load(options);
  for (int round = 0; round < 3; ++round) {
    uint64_t before = load.acknowledged();
    ASSERT_TRUE(MiniCluster::Await([&] { return load.acknowledged() >= before + 200; }));
    for (int n = 1; n <= 3; ++n) cluster().Kill(n);
    for (int n = 1; n <= 3; ++n) cluster().Launch(n);
  }
  uint64_t before = load.acknowledged();
  EXPECT_TRUE(MiniCluster::Await([&] { return load.acknowledged() >= before + 200; }, 40));
  load.Stop();
  EXPECT_TRUE(load.ReadEverything().ok());
  EXPECT_GT(load.Check(), 500u);
  EXPECT_TRUE(MiniCluster::Await([&] { return Healed(3); }));
  ExpectAll(0, kKeys, "before");
  EXPECT_THAT(Plan(), HasSubstr("4 groups are whole"));
  Finished verified = Run({"verify"});
  EXPECT_EQ(verified.exit_code, 0) << verified.output;
}

}  // namespace
}  // namespace kvd
