// The command line against three real stores, as a person uses it.
#include <fstream>
#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

using Json = nlohmann::json;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class KvctlTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { cluster_ = new MiniCluster(3); }
  static void TearDownTestSuite() { delete cluster_; }
  Finished Run(std::vector<std::string> words, const std::string& input = "") {
    return cluster_->Kvctl(std::move(words), input);
  }
  static MiniCluster* cluster_;
};
MiniCluster* KvctlTest::cluster_ = nullptr;

TEST_F(KvctlTest, PutGetAppendDelete) {
  EXPECT_EQ(Run({"put", "fruit", "apple"}).exit_code, 0);
  EXPECT_EQ(Run({"get", "fruit"}).output, "apple");
  EXPECT_THAT(Run({"append", "fruit", "s"}).output, HasSubstr("length 6"));
  EXPECT_EQ(Run({"get", "fruit"}).output, "apples");
  EXPECT_EQ(Run({"delete", "fruit"}).exit_code, 0);
  auto missing = Run({"get", "fruit"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.output, HasSubstr("no such key: fruit"));
}

TEST_F(KvctlTest, AnyBytesPass) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(Run({"put", "bytes"}, bytes).exit_code, 0);
  EXPECT_EQ(Run({"get", "bytes"}).output, bytes);
  EXPECT_EQ(Run({"--hex", "put", "00ff", "01"}).exit_code, 0);
  EXPECT_EQ(Run({"--hex", "get", "00ff"}).output, "01\n");
  EXPECT_THAT(Run({"scan", "--keys-only", "--end", "a"}).output, HasSubstr("\\x00\\xff\n"));
  EXPECT_THAT(Run({"-o", "json", "get", "bytes"}).output, HasSubstr("value_base64"));
  EXPECT_EQ(Run({"--hex", "put", "xyz", "01"}).exit_code, 2);
}

TEST_F(KvctlTest, ConditionsAndCounters) {
  EXPECT_EQ(Run({"put", "lock", "a", "--if-absent"}).exit_code, 0);
  EXPECT_EQ(Run({"put", "lock", "b", "--if-absent"}).exit_code, 1);
  EXPECT_EQ(Run({"cas", "lock", "b", "c"}).exit_code, 1);
  EXPECT_EQ(Run({"cas", "lock", "a", "c"}).exit_code, 0);
  EXPECT_EQ(Run({"get", "lock"}).output, "c");
  EXPECT_EQ(Run({"incr", "count", "5"}).output, "5\n");
  EXPECT_EQ(Run({"incr", "count", "--", "-7"}).output, "-2\n");
  auto wrong = Run({"incr", "lock"});
  EXPECT_EQ(wrong.exit_code, 5);
  EXPECT_THAT(wrong.output, HasSubstr("no decimal 64-bit integer"));
}

TEST_F(KvctlTest, Scans) {
  for (const char* key : {"s/a", "s/b", "s/c", "t"}) Run({"put", key, "v"});
  EXPECT_EQ(Run({"scan", "s/"}).output, "s/a\tv\ns/b\tv\ns/c\tv\n");
  EXPECT_EQ(Run({"scan", "s/", "--reverse", "--limit", "2", "--keys-only"}).output, "s/c\ns/b\n");
  EXPECT_EQ(Run({"scan", "s/", "--count"}).output, "3\n");
  EXPECT_EQ(Run({"scan", "--start", "s/b", "--end", "t", "--keys-only"}).output, "s/b\ns/c\n");
  EXPECT_EQ(Run({"scan", "s/", "--stale", "--keys-only"}).output, "s/a\ns/b\ns/c\n");
  EXPECT_THAT(Run({"delete", "--prefix", "s/"}).output, HasSubstr("deleted 3"));
  EXPECT_EQ(Run({"scan", "s/", "--count"}).output, "0\n");
}

TEST_F(KvctlTest, ImportAndExportRoundTrip) {
  ScratchDirectory scratch;
  std::ofstream raw(scratch.path() + "/in.tsv");
  for (int i = 0; i < 5000; ++i) raw << "bulk/" << i << "\tvalue\\t" << i << "\n";
  raw.close();
  EXPECT_THAT(Run({"import", "--format", "raw", scratch.path() + "/in.tsv"}).output,
              HasSubstr("imported 5000 records"));
  EXPECT_EQ(Run({"get", "bulk/77"}).output, "value\t77");
  std::string out = scratch.path() + "/out.json";
  EXPECT_EQ(Run({"export", "--prefix", "bulk/", out}).exit_code, 0);
  EXPECT_EQ(Run({"delete", "--prefix", "bulk/"}).exit_code, 0);
  EXPECT_EQ(Run({"import", out}).exit_code, 0);
  EXPECT_EQ(Run({"scan", "bulk/", "--count"}).output, "5000\n");
  // An export that stopped in the middle of a line goes on behind the last whole one.
  std::ifstream whole(out);
  std::string first;
  std::getline(whole, first);
  std::ofstream(out, std::ios::trunc) << first << "\n{\"key\": \"bul";
  EXPECT_THAT(Run({"export", "--resume", "--prefix", "bulk/", out}).output,
              HasSubstr("exported 4999 records"));
  std::ofstream(out, std::ios::trunc) << "{\"key\": \"a\", \"value\": \"b\"}\nnot json\n";
  auto bad = Run({"import", out});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.output, HasSubstr(out + ":2: no JSON object"));
  EXPECT_THAT(bad.output, HasSubstr("--resume"));
}

TEST_F(KvctlTest, StatusAndMembers) {
  auto status = Run({"status"});
  EXPECT_EQ(status.exit_code, 0);
  EXPECT_THAT(status.output, HasSubstr("LEADS"));
  EXPECT_THAT(Run({"-o", "json", "status"}).output, HasSubstr("\"cluster_id\""));
  int target = cluster_->Leader() % 3 + 1;
  EXPECT_EQ(Run({"member", "transfer", std::to_string(target)}).exit_code, 0);
  EXPECT_EQ(cluster_->Leader(), target);
  EXPECT_EQ(Run({"member", "remove", "99"}).exit_code, 2);
}

TEST_F(KvctlTest, ShowsOneOfEach) {
  EXPECT_EQ(Run({"shard", "split", "show/m"}).exit_code, 0);
  auto shard = Json::parse(Run({"-o", "json", "shard", "show", "--key", "show/n"}).output);
  EXPECT_EQ(shard["shard"]["shard"]["start"], "c2hvdy9t");  // base64 of show/m
  EXPECT_EQ(shard["group"]["group"]["group_id"], "2");
  std::string id = shard["shard"]["shard"]["shard_id"];
  auto told = Run({"shard", "show", id});
  EXPECT_EQ(told.exit_code, 0) << told.output;
  EXPECT_THAT(told.output, ContainsRegex("shard +" + id + "\nstart +show/m\nend +-\nepoch"));
  EXPECT_THAT(Run({"shard", "show", "--key", "a"}).output,
              ContainsRegex("start +-\nend +show/m\n"));

  told = Run({"group", "show", "2"});
  EXPECT_EQ(told.exit_code, 0) << told.output;
  EXPECT_THAT(told.output,
              ContainsRegex("group +2\nstate +serving\nstores +[123], [123], [123]\n"));
  EXPECT_THAT(told.output, AllOf(HasSubstr("MATCH"), HasSubstr("show/m")));
  EXPECT_THAT(Run({"group", "show", "1"}).output, HasSubstr("MATCH"));
  auto group = Json::parse(Run({"-o", "json", "group", "show", "2"}).output);
  EXPECT_EQ(group["status"]["replicas"].size(), 3u);
  EXPECT_GE(group["shard_ids"].size(), 2u);

  told = Run({"store", "show", "3"});
  EXPECT_EQ(told.exit_code, 0) << told.output;
  EXPECT_THAT(told.output, ContainsRegex("store +3\naddress +127.0.0.1:[0-9]+\nstate +serving\n"));
  EXPECT_THAT(told.output, ContainsRegex("\n1 +[0-9]+ +(yes|no)"));
  auto store = Json::parse(Run({"-o", "json", "store", "show", "3"}).output);
  EXPECT_EQ(store["store"]["store"]["store_id"], "3");
  EXPECT_EQ(store["groups"].size(), 2u);
}

TEST_F(KvctlTest, ListsConfigs) {
  EXPECT_EQ(Run({"shard", "split", "config/m"}).exit_code, 0);
  auto listed = Json::parse(Run({"-o", "json", "config", "list", "--limit", "2"}).output);
  ASSERT_EQ(listed["configs"].size(), 2u);
  uint64_t newest = std::stoull(listed["configs"][0]["config"].get<std::string>());
  EXPECT_EQ(listed["configs"][1]["config"], std::to_string(newest - 1));
  EXPECT_LT(std::stoull(listed["configs"][1]["since"].get<std::string>()),
            std::stoull(listed["configs"][0]["since"].get<std::string>()));
  auto text = Run({"config", "list"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.output, ContainsRegex("\n" + std::to_string(newest) +
                                         " +[0-9-]+T[0-9:]+Z +[0-9ms]+ +kept\n"));
  EXPECT_THAT(text.output, ContainsRegex("\n1 "));
  EXPECT_THAT(Run({"config", "show", std::to_string(newest)}).output, HasSubstr("config/m"));
  EXPECT_THAT(Run({"config", "show", std::to_string(newest - 1)}).output,
              Not(HasSubstr("config/m")));
  EXPECT_THAT(Run({"config", "list", "--limit", "1001"}).output,
              HasSubstr("not in range 1 to 1000"));
}

TEST_F(KvctlTest, WhatDoesNotExistIsALine) {
  for (const char* what : {"store", "group", "shard", "op", "config"}) {
    auto told = Run({what, "show", "99"});
    EXPECT_EQ(told.exit_code, 1) << what;
    std::string name = std::string(what) == "op" ? "operation" : what;
    EXPECT_EQ(told.output, "kvctl: there is no " + name + " 99\n");
    EXPECT_EQ(Run({"-o", "json", what, "show", "99"}).output,
              "{\"error\": \"there is no " + name + " 99\", \"code\": \"NOT_FOUND\"}\n");
    EXPECT_EQ(Run({what, "show", "ninety"}).exit_code, 2) << what;
  }
  EXPECT_EQ(Run({"shard", "show"}).exit_code, 2);
  EXPECT_EQ(Run({"shard", "show", "0"}).exit_code, 2);
  EXPECT_EQ(Run({"shard", "show", "1", "--key", "a"}).exit_code, 2);
}

TEST_F(KvctlTest, ShellRunsWhatItIsGiven) {
  auto result = Run({"shell"}, "put 'a key' \"a value\"\nget 'a key'\nnonsense\nexit\n");
  EXPECT_THAT(result.output, HasSubstr("a value"));
  EXPECT_THAT(result.output, HasSubstr("nonsense"));
}

TEST_F(KvctlTest, ErrorsHaveTheirExitCodes) {
  EXPECT_EQ(Run({"get"}).exit_code, 2);
  EXPECT_EQ(Run({"nonsense"}).exit_code, 2);
  EXPECT_EQ(Run({"get", std::string(5000, 'k')}).exit_code, 2);
  std::string nobody = "127.0.0.1:" + std::to_string(FreePortPair());
  auto result =
      RunProgram({KvctlPath(), "--connect", nobody, "--timeout-ms", "500", "get", "k"}, 20);
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.output, HasSubstr(nobody));
  result =
      RunProgram({KvctlPath(), "--connect", nobody, "--timeout-ms", "500", "put", "k", "v"}, 20);
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.output, HasSubstr("nothing was sent; last: " + nobody));
}

}  // namespace
}  // namespace kvd
