// Keys of several groups, from the client and from kvctl: what reaches across groups does, and what
// operators do with shards is done.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cluster/mini_cluster.h"

namespace kvd {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string Key(int i) { return absl::StrCat("key", 1'000 + i); }

// Three groups, of which each has some of a thousand keys.
class Routing : public testing::Test {
 protected:
  Routing() : cluster_(3, {"--cores", "4"}), client_(cluster_.Connect()) {
    EXPECT_TRUE(MiniCluster::Await(
        [&] {
          std::string groups = cluster_.Kvctl({"group", "list"}).output;
          return absl::StrContains(groups, "\n4 ") && !absl::StrContains(groups, "creating");
        },
        60));
    for (int i = 100; i < 900; i += 100) {
      auto split = cluster_.Kvctl({"shard", "split", Key(i)});
      EXPECT_EQ(split.exit_code, 0) << split.output;
    }
    auto scattered = cluster_.Kvctl({"--timeout-ms", "30000", "shard", "scatter"});
    EXPECT_EQ(scattered.exit_code, 0) << scattered.output;
    EXPECT_THAT(scattered.output, HasSubstr("of 9 shards are done"));
  }

  // Each with its own number as its value.
  std::vector<Operation> Puts() {
    std::vector<Operation> puts;
    for (int i = 0; i < 1'000; ++i) puts.push_back(Operation::Put(Key(i), std::to_string(i)));
    return puts;
  }

  MiniCluster cluster_;
  std::unique_ptr<Client> client_;
};

TEST_F(Routing, WhatReachesAcrossGroups) {
  auto refused = client_->Batch(Puts());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("must be in one group"));
  WriteOptions apart;
  apart.atomic = false;
  auto written = client_->Batch(Puts(), apart);
  ASSERT_TRUE(written.ok()) << written.status();
  ASSERT_EQ(written->items.size(), 1'000u);
  for (const WriteResult& item : written->items) EXPECT_TRUE(item.applied && item.version > 0);

  std::vector<std::string> keys = {"nothing"};
  for (int i = 0; i < 1'000; ++i) keys.push_back(Key(i));
  auto read = client_->MultiGet(keys);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE((*read)[0].has_value());
  for (size_t i = 1; i < keys.size(); ++i) {
    ASSERT_TRUE((*read)[i].has_value()) << keys[i];
    EXPECT_EQ((*read)[i]->bytes, std::to_string(i - 1));
  }

  WriteOptions conditional = apart;
  conditional.conditions = {Condition::Absent("nothing")};
  EXPECT_EQ(client_->Batch(Puts(), conditional).status().code(),
            absl::StatusCode::kInvalidArgument);

  auto deleted = client_->DeleteRange(Key(50), Key(950));
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(deleted->deleted, 900u);
  EXPECT_THAT(cluster_.Kvctl({"scan", "--count"}).output, HasSubstr("100"));
  EXPECT_EQ(client_->DeleteRange("x", "a").status().code(), absl::StatusCode::kInvalidArgument);
}

// A client goes where the key is, not to whom passes requests on.
TEST_F(Routing, RequestsGoToTheirGroupsLeader) {
  WriteOptions apart;
  apart.atomic = false;
  ASSERT_TRUE(client_->Batch(Puts(), apart).ok());
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(client_->Get(Key(i)).ok());
  auto passed_on = [&] {
    double sum = 0;
    for (int n = 1; n <= 3; ++n) {
      // Stores count for their metrics once a second: the next time, this one has changed too.
      const char* cpu = "process_cpu_seconds_total";
      double last = cluster_.Metric(n, cpu);
      EXPECT_TRUE(MiniCluster::Await([&] { return cluster_.Metric(n, cpu) != last; }));
      sum += cluster_.Metric(n, "kvd_requests_forwarded_total");
    }
    return sum;
  };
  double before = passed_on();
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(client_->Get(Key(i)).ok());
  EXPECT_EQ(passed_on(), before);
}

TEST_F(Routing, KvctlShowsAndExplains) {
  auto list = cluster_.Kvctl({"shard", "list"});
  EXPECT_THAT(list.output, AllOf(HasSubstr("READS/S"), HasSubstr("key1800")));
  auto why = cluster_.Kvctl({"explain", "shard", "--key", Key(150)});
  EXPECT_EQ(why.exit_code, 0) << why.output;
  EXPECT_THAT(why.output, AllOf(HasSubstr("from \"key1100\" to before \"key1200\""),
                                HasSubstr("it begins where an operator split"),
                                HasSubstr("an operator asked for it")));
  EXPECT_THAT(cluster_.Kvctl({"explain", "shard", "777"}).output,
              HasSubstr("there is no shard 777"));
  auto top = cluster_.Kvctl({"top", "--times", "2", "--every", "0.2"});
  EXPECT_EQ(top.exit_code, 0) << top.output;
  EXPECT_THAT(top.output, AllOf(HasSubstr("STORE"), HasSubstr("GROUP"), HasSubstr("SHARD"),
                                HasSubstr("REASON")));

  EXPECT_EQ(cluster_.Kvctl({"store", "label", "2", "zone=attic"}).exit_code, 0);
  EXPECT_THAT(cluster_.Kvctl({"store", "list"}).output, HasSubstr("zone=attic"));
  EXPECT_EQ(cluster_.Kvctl({"store", "label", "2", "zone="}).exit_code, 0);
  EXPECT_THAT(cluster_.Kvctl({"store", "list"}).output, Not(HasSubstr("zone=attic")));
  auto wrong = cluster_.Kvctl({"store", "label", "2", "attic"});
  EXPECT_NE(wrong.exit_code, 0);
  EXPECT_THAT(wrong.output, HasSubstr("is not of the form name=value"));
  EXPECT_THAT(cluster_.Kvctl({"store", "label", "9", "a=b"}).output,
              HasSubstr("store 9 is not known"));
  EXPECT_THAT(cluster_.Kvctl({"shard", "scatter", "m", "a"}).output,
              HasSubstr("end: \"a\" is not behind start, \"m\""));
}

}  // namespace
}  // namespace kvd
