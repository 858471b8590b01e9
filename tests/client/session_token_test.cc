// The token that a client's first writes fetch: from their own groups, so that one group that does
// not answer holds up nobody else's writes.
#include <vector>

#include "client/src/session.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/error.h"
#include "tests/inline_loop.h"

namespace kvd::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Two groups, parted at "m". What is asked for is answered when the test says so.
class Cluster : public Network {
 public:
  struct Asked {
    std::string what;
    std::string key;
    RequestItem item;
    std::function<void(absl::StatusOr<ResponseItem>)> done;
  };

  void Call(const std::string&, RequestItem item, Duration,
            std::function<void(absl::StatusOr<ResponseItem>)> done) override {
    std::string key = item.has_put() ? item.put().key() : item.get().key();
    std::string what = item.has_locate() ? "locate" : item.has_put() ? "put" : "get";
    asked.push_back({what, key, std::move(item), std::move(done)});
  }
  // The oldest of those for which an answer is due; whether there was one.
  bool Answer(const std::string& what, const std::string& key = "",
              const absl::Status& refusal = absl::OkStatus()) {
    for (auto it = asked.begin(); it != asked.end(); ++it) {
      if (it->what != what || !it->key.starts_with(key)) continue;
      Asked one = std::move(*it);
      asked.erase(it);
      ResponseItem out = AnswerTo(one);
      if (!refusal.ok()) {
        EXPECT_TRUE(out.mutable_error()->ParseFromString(SerializeStatus(refusal)));
      }
      one.done(std::move(out));
      return true;
    }
    return false;
  }
  std::vector<std::string> Waiting(const std::string& what) const {
    std::vector<std::string> keys;
    for (const Asked& one : asked) {
      if (one.what == what) keys.push_back(one.key.substr(0, 1));
    }
    return keys;
  }

  std::vector<Asked> asked;

 private:
  static ResponseItem AnswerTo(const Asked& one) {
    ResponseItem out;
    out.set_id(one.item.id());
    if (one.what == "locate") {
      for (uint64_t group : {2, 3}) {
        auto* shard = out.mutable_locate()->add_shards();
        shard->set_start(group == 2 ? "" : "m");
        shard->set_end(group == 2 ? "m" : "");
        shard->set_group_id(group);
      }
      out.mutable_locate()->mutable_header();
      return out;
    }
    auto* header = one.what == "put" ? out.mutable_write()->mutable_header()
                                     : out.mutable_get()->mutable_header();
    header->set_group_id(one.key < "m" ? 2 : 3);
    header->set_token(one.key < "m" ? 20 : 30);
    return out;
  }
};

class SessionToken : public testing::Test {
 protected:
  SessionToken() : session_(&loop_, &cluster_, Options()) {}

  static SessionOptions Options() {
    SessionOptions options;
    options.addresses = {"any:1"};
    return options;
  }
  std::shared_ptr<absl::Status> Put(const std::string& key) {
    RequestItem item;
    item.mutable_put()->set_key(key);
    auto status = std::make_shared<absl::Status>(absl::UnknownError("under way"));
    session_.Submit(item, loop_.Now() + std::chrono::seconds(60),
                    [status](const auto& answer) { *status = answer.status(); });
    return status;
  }

  InlineLoop loop_;
  Cluster cluster_;
  Session session_;
};

TEST_F(SessionToken, ADeadGroupHoldsUpNoWriteToAnother) {
  Put("x");
  auto put = Put("a");
  EXPECT_THAT(cluster_.Waiting("put"), IsEmpty());
  // Only now it is known that they go to two groups.
  ASSERT_TRUE(cluster_.Answer("locate"));
  EXPECT_THAT(cluster_.Waiting("get"), testing::Contains("a"));
  ASSERT_TRUE(cluster_.Answer("get", "a"));
  EXPECT_THAT(cluster_.Waiting("put"), testing::UnorderedElementsAre("a", "x"));
  EXPECT_EQ(session_.token(), Timestamp(20));
  ASSERT_TRUE(cluster_.Answer("put", "a"));
  EXPECT_TRUE(put->ok());
}

TEST_F(SessionToken, AGroupIsAskedOnceForAllItsWrites) {
  for (const char* key : {"a", "b", "c"}) Put(key);
  EXPECT_THAT(cluster_.Waiting("get"), ElementsAre("a"));
  ASSERT_TRUE(cluster_.Answer("locate"));
  EXPECT_THAT(cluster_.Waiting("get"), ElementsAre("a", "a")) << "once more by its number";
  for (const char* key : {"d", "e"}) Put(key);
  EXPECT_THAT(cluster_.Waiting("get"), ElementsAre("a", "a"));
  ASSERT_TRUE(cluster_.Answer("get"));
  EXPECT_THAT(cluster_.Waiting("put"), ElementsAre("a", "b", "c", "d", "e")) << "in their order";
  Put("y");
  EXPECT_THAT(cluster_.Waiting("put"), testing::Contains("y")) << "the token is fresh";
}

TEST_F(SessionToken, WhoRefusesTheReadRefusesTheWrite) {
  auto put = Put("a");
  ASSERT_TRUE(cluster_.Answer("get", "a", WrongClusterError(ClusterId(1), ClusterId(2))));
  EXPECT_TRUE(absl::IsFailedPrecondition(*put)) << *put;
  EXPECT_THAT(std::string(put->message()), HasSubstr("not to 2"));
  EXPECT_THAT(cluster_.Waiting("get"), IsEmpty());
  EXPECT_EQ(session_.in_flight(), 1u) << "where the keys are is still asked for";
}

}  // namespace
}  // namespace kvd::client
