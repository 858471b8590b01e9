// What waits for a store: in batches, bounded, and heartbeats first.
#include "raft/message_outbox.h"

#include "gtest/gtest.h"
#include "raft/wire.h"

namespace kvd::raft {
namespace {

constexpr size_t kBytesMax = 10 << 20;

class MessageOutboxTest : public testing::Test {
 protected:
  void Add(MessageType type, size_t bytes = 0) {
    GroupMessage message;
    message.group = GroupId(1);
    message.message.type = type;
    message.message.index = Index(++added_);
    if (bytes > 0) {
      auto entry = std::make_shared<Entry>();
      entry->data = std::string(bytes, 'x');
      message.message.entries.push_back(std::move(entry));
    }
    outbox_.Add(message);
  }
  // The batches' messages, numbered as they were added.
  std::vector<std::vector<uint64_t>> All() {
    std::vector<std::vector<uint64_t>> batches;
    while (!outbox_.empty()) {
      batches.emplace_back();
      auto batch = outbox_.Next();
      for (const auto& m : batch.messages()) batches.back().push_back(m.index());
    }
    return batches;
  }

  MessageOutbox outbox_{kBytesMax};
  uint64_t added_ = 0;
};

using Batches = std::vector<std::vector<uint64_t>>;

TEST_F(MessageOutboxTest, FewBytesTravelTogetherAndInOrder) {
  Add(MessageType::kAppend, 100);
  Add(MessageType::kHeartbeat);
  Add(MessageType::kAppend, 100);
  EXPECT_EQ(All(), (Batches{{1, 2, 3}}));
}

TEST_F(MessageOutboxTest, HeartbeatsOvertakeEntries) {
  Add(MessageType::kAppend, 3 << 20);
  Add(MessageType::kAppend, 3 << 20);
  Add(MessageType::kHeartbeat);
  Add(MessageType::kAppendReply);
  Add(MessageType::kHeartbeatReply);
  EXPECT_EQ(All(), (Batches{{3, 5}, {1}, {2, 4}}));
  Add(MessageType::kHeartbeat);
  EXPECT_EQ(All(), (Batches{{6}}));
}

TEST_F(MessageOutboxTest, WhatIsTooMuchIsDropped) {
  for (int i = 0; i < 4; ++i) Add(MessageType::kAppend, 3 << 20);
  // Nobody takes anything: heartbeats have a little room of their own, and no more.
  for (int i = 0; i < 10'000; ++i) Add(MessageType::kHeartbeat);
  auto batches = All();
  ASSERT_EQ(batches.size(), 4u);
  EXPECT_GT(batches[0].size(), 100u);
  EXPECT_LT(batches[0].size(), 10'000u);
  EXPECT_EQ((Batches{batches.begin() + 1, batches.end()}), (Batches{{1}, {2}, {3}}));
  EXPECT_TRUE(outbox_.empty());
  Add(MessageType::kAppend, 3 << 20);
  EXPECT_EQ(All().size(), 1u);
}

}  // namespace
}  // namespace kvd::raft
