// Where a session sends what: to the group that has the key, once it knows that.
#include <set>
#include <vector>

#include "client/src/session.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/error.h"
#include "tests/retry_loop.h"

namespace kvd::client {
namespace {

using testing::ElementsAre;

// Two groups, parted at "m": 2 is led at two:1, 3 at three:1. Whoever else is asked passes it on.
class Cluster : public Network {
 public:
  void Call(const std::string& address, RequestItem item, Duration,
            std::function<void(absl::StatusOr<ResponseItem>)> done) override {
    ResponseItem out;
    out.set_id(item.id());
    if (dead.contains(address)) return done(absl::UnavailableError("nobody listens"));
    if (item.has_locate()) {
      ++locates;
      if (item.locate().stores()) {
        for (const std::string& store : stores) out.mutable_locate()->add_store_addresses(store);
      }
      auto add = [&](const std::string& start, const std::string& end, uint64_t group) {
        auto* shard = out.mutable_locate()->add_shards();
        shard->set_start(start);
        shard->set_end(end);
        shard->set_group_id(group);
        shard->set_leader_address(LeaderOf(group));
      };
      add("", border, 2);
      add(border, "", 3);
      out.mutable_locate()->mutable_header();
      return done(out);
    }
    asked.push_back(address);
    uint64_t group = item.get().key() < border ? 2 : 3;
    if (refuse_others && address != LeaderOf(group)) {
      absl::Status error = refuse_with(group);
      Status(error, &out);
      return done(out);
    }
    auto* header = out.mutable_get()->mutable_header();
    header->set_group_id(group);
    header->set_token(5);
    header->set_leader_address(LeaderOf(group));
    done(out);
  }

  static void Status(const absl::Status& status, ResponseItem* out) {
    ASSERT_TRUE(out->mutable_error()->ParseFromString(SerializeStatus(status)));
  }
  std::string LeaderOf(uint64_t group) const { return group == 2 ? two : three; }

  std::string border = "m", two = "two:1", three = "three:1";
  std::vector<std::string> stores, asked;
  std::set<std::string> dead;
  int locates = 0;
  bool refuse_others = false;
  std::function<absl::Status(uint64_t)> refuse_with;
};

class SessionRouting : public testing::Test {
 protected:
  static constexpr int kTries = 8;

  SessionRouting() : session_(&loop_, &cluster_, Options()) {}

  static SessionOptions Options() {
    SessionOptions options;
    options.addresses = {"any:1"};
    return options;
  }
  std::vector<std::string> Get(const std::string& key) {
    bool ok = Try(key, kTries);
    EXPECT_TRUE(ok) << key;
    return cluster_.asked;
  }
  bool Try(const std::string& key, int tries) {
    cluster_.asked.clear();
    RequestItem item;
    item.mutable_get()->set_key(key);
    bool ok = false;
    session_.Submit(item, loop_.Now() + std::chrono::seconds(60),
                    [&](const auto& answer) { ok = answer.ok(); });
    loop_.RunRetries(tries);
    return ok;
  }

  RetryLoop loop_;
  Cluster cluster_;
  Session session_;
};

TEST_F(SessionRouting, EachKeyGoesToItsGroupsLeader) {
  Get("a");
  EXPECT_THAT(Get("b"), ElementsAre("two:1"));
  EXPECT_THAT(Get("x"), ElementsAre("three:1"));
  EXPECT_THAT(Get("c"), ElementsAre("two:1"));
  EXPECT_EQ(cluster_.locates, 1);
}

// What was passed on is noticed by who answered it.
TEST_F(SessionRouting, AShardThatMovedIsLearntFromTheAnswer) {
  Get("a");
  Get("x");
  cluster_.border = "c";
  EXPECT_THAT(Get("d"), ElementsAre("two:1"));
  EXPECT_EQ(cluster_.locates, 2);
  EXPECT_THAT(Get("d"), ElementsAre("three:1"));
}

TEST_F(SessionRouting, ARefusalSaysWhereToGo) {
  Get("a");
  Get("x");
  cluster_.refuse_others = true;
  cluster_.three = "four:1";
  cluster_.refuse_with = [](uint64_t group) {
    return NotLeaderError(GroupId(group), StoreId(4), "four:1");
  };
  EXPECT_THAT(Get("x"), ElementsAre("three:1", "four:1"));
  EXPECT_THAT(Get("y"), ElementsAre("four:1"));
  EXPECT_THAT(Get("a"), ElementsAre("two:1")) << "the other group's leader is still known";
  cluster_.border = "b";
  cluster_.refuse_with = [](uint64_t group) {
    ErrorInfo now;
    now.group = GroupId(group);
    now.leader_address = "four:1";
    return ShardMovedError("it moved", now);
  };
  EXPECT_THAT(Get("c"), ElementsAre("two:1", "four:1"));
  EXPECT_THAT(Get("c"), ElementsAre("four:1"));
}

// All that it was given are gone, and the leaders that it knew.
TEST_F(SessionRouting, StoresThatCameLaterAreAsked) {
  cluster_.stores = {"any:1", "two:1", "new:1"};
  Get("a");
  cluster_.dead = {"any:1", "two:1"};
  cluster_.two = "new:1";
  EXPECT_EQ(Get("a").back(), "new:1");
  EXPECT_THAT(Get("b"), ElementsAre("new:1"));
}

TEST_F(SessionRouting, StoresThatAreGoneAreForgotten) {
  cluster_.stores = {"old:1"};
  Get("a");
  cluster_.stores = {"new:1"};
  loop_.now += std::chrono::seconds(10);
  Get("a");
  EXPECT_EQ(cluster_.locates, 2);
  cluster_.dead = {"two:1"};
  cluster_.refuse_others = true;
  cluster_.two = "nobody:1";
  cluster_.refuse_with = [](uint64_t) { return absl::UnavailableError("not known here yet"); };
  EXPECT_FALSE(Try("a", kTries));
  EXPECT_THAT(cluster_.asked, testing::Contains("new:1"));
  EXPECT_THAT(cluster_.asked, testing::Contains("any:1"));
  EXPECT_THAT(cluster_.asked, testing::Not(testing::Contains("old:1")));
}

// Stores that have just started and know no more than what they hold themselves.
class Forgetful : public Network {
 public:
  void Call(const std::string& address, RequestItem item, Duration,
            std::function<void(absl::StatusOr<ResponseItem>)> done) override {
    ResponseItem out;
    out.set_id(item.id());
    if (item.has_locate()) {
      out.mutable_locate()->mutable_header();
    } else if ((item.get().key() < "m") == (address == "one:1")) {
      out.mutable_get()->mutable_header()->set_leader_address(address);
    } else {
      Cluster::Status(absl::UnavailableError("who owns the key is not known here yet"), &out);
    }
    done(out);
  }
};

TEST(SessionRoutingAlone, WhoDoesNotKnowIsNotAskedAgainAndAgain) {
  RetryLoop loop;
  Forgetful network;
  SessionOptions options;
  options.addresses = {"one:1", "two:1"};
  Session session(&loop, &network, options);
  for (const char* key : {"a", "x", "b", "y"}) {
    RequestItem item;
    item.mutable_get()->set_key(key);
    bool ok = false;
    session.Submit(item, loop.Now() + std::chrono::seconds(60),
                   [&](const auto& answer) { ok = answer.ok(); });
    loop.RunRetries(5);
    EXPECT_TRUE(ok) << key;
    ASSERT_TRUE(loop.retries.empty());
  }
}

}  // namespace
}  // namespace kvd::client
