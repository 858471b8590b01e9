// What waits for a store: in batches, bounded, and heartbeats first.
#include "raft/message_outbox.h"

#include <google/protobuf/message.h>

#include <set>
#include <string>

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
    message.message.from = ReplicaId(1);
    message.message.to = ReplicaId(2);
    message.message.from_store = StoreId(1);
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
      EXPECT_GT(outbox_.NextBytes(), 0u);
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

// A number, a flag or bytes of it becomes another one.
void Change(google::protobuf::Message* m, const google::protobuf::FieldDescriptor* field) {
  using Field = google::protobuf::FieldDescriptor;
  const auto* r = m->GetReflection();
  switch (field->cpp_type()) {
    case Field::CPPTYPE_UINT64: return r->SetUInt64(m, field, r->GetUInt64(*m, field) ^ 64);
    case Field::CPPTYPE_UINT32: return r->SetUInt32(m, field, r->GetUInt32(*m, field) ^ 64);
    case Field::CPPTYPE_BOOL: return r->SetBool(m, field, !r->GetBool(*m, field));
    case Field::CPPTYPE_STRING: return r->SetString(m, field, r->GetString(*m, field) + "x");
    default: FAIL() << field->full_name();
  }
}

// `of`: the checksum of what `part` belongs to.
template <class Of>
void EveryFieldCounts(google::protobuf::Message* part, const Of& of,
                      const std::set<std::string>& but = {}) {
  const auto* type = part->GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const auto* field = type->field(i);
    bool whole = field->is_repeated() || field->message_type() != nullptr;
    if (whole || field->name() == "checksum" || but.contains(field->name())) continue;
    uint32_t before = of();
    Change(part, field);
    EXPECT_NE(of(), before) << field->full_name();
  }
}

TEST(WireChecksum, EveryFieldCounts) {
  internal::v1::MessageBatch batch;
  auto* message = batch.add_messages();
  auto* entry = message->add_entries();
  auto* ack = batch.add_snapshot_acks();
  auto of_batch = [&] { return Checksum(batch); };
  EveryFieldCounts(&batch, of_batch);
  EveryFieldCounts(batch.mutable_hello(), of_batch);
  EveryFieldCounts(message, of_batch);
  EveryFieldCounts(entry, of_batch);
  EveryFieldCounts(ack, of_batch);
  internal::v1::SnapshotChunk chunk;
  // The data have a checksum of their own, which is a field like any other.
  auto of_chunk = [&] { return Checksum(chunk); };
  EveryFieldCounts(&chunk, of_chunk, {"data"});
  EveryFieldCounts(chunk.mutable_hello(), of_chunk);
}

// Where one message or entry ends and the next one begins counts too.
TEST(WireChecksum, NumbersCount) {
  internal::v1::MessageBatch one, two;
  one.add_messages()->add_entries();
  two.add_messages();
  two.add_messages()->add_entries();
  EXPECT_NE(Checksum(one), Checksum(two));
  two.add_messages()->add_entries();
  uint32_t before = Checksum(two);
  two.mutable_messages(0)->add_entries();
  two.mutable_messages(2)->clear_entries();
  EXPECT_NE(Checksum(two), before);
}

}  // namespace
}  // namespace kvd::raft
