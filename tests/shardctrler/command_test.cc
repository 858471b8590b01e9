// Commands and records: what is written is read again, and what is no command is refused.
#include "shardctrler/command.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/limits.h"
#include "shardctrler/records.h"
#include "tests/shardctrler/commands.h"

namespace kvd::shardctrler {
namespace {

using testing::HasSubstr;

std::vector<Command> Examples() {
  JoiningStore store = StoreNumber(2, "east", 8);
  store.lost = StoreId(1);
  Command update = JoinCommand({store});
  update.kind = CommandKind::kUpdateStore;
  update.store = StoreId(2);
  Operation change = ChangeOf(3, {4, 5}, {6});
  change.reason = "why";
  return {RecoverCommand({2, 3}),
          AdoptCommand(3, {{ReplicaId(4), StoreId(1)}}, {5, 6}),
          BootstrapCommand(),
          JoinCommand({store, StoreNumber(3)}),
          update,
          StateCommand(4, StoreState::kGone, true),
          OpenCommand(MoveOf(1, 3)),
          OpenCommand(SplitOf(1, std::string("k\0", 2))),
          OpenCommand(MergeOf(2)),
          OpenCommand(GroupOn({1, 2, 3})),
          OpenCommand(change),
          OpenCommand(RetirementOf(3)),
          AdvanceCommand(OperationId(9), Phase::kForward, Phase::kPublished),
          SetCommand("replicas", 5)};
}

TEST(ControllerCommandTest, IsReadAsItWasWritten) {
  for (const Command& command : Examples()) {
    auto read = DecodeCommand(Encode(command));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, command);
    EXPECT_TRUE(Validate(*read).ok());
  }
}

TEST(ControllerCommandTest, WhatIsCutOrLongerIsRefused) {
  for (const Command& command : Examples()) {
    std::string bytes = Encode(command);
    for (size_t n = 0; n < bytes.size(); ++n) {
      EXPECT_FALSE(DecodeCommand(bytes.substr(0, n)).ok()) << n;
    }
    EXPECT_FALSE(DecodeCommand(bytes + "x").ok());
    bytes[0] = 2;
    EXPECT_FALSE(DecodeCommand(bytes).ok());
  }
}

TEST(ControllerCommandTest, LimitsAreNamed) {
  auto said = [](const Command& command) { return std::string(Validate(command).message()); };
  EXPECT_THAT(said(JoinCommand({})), HasSubstr("stores is 0"));
  JoiningStore store = StoreNumber(2);
  store.address = std::string(kAddressBytesMax + 1, 'a');
  EXPECT_THAT(said(JoinCommand({store})), HasSubstr("address is 257 bytes, the limit is 256"));
  store = StoreNumber(2);
  store.cores = 0;
  EXPECT_THAT(said(JoinCommand({store})), HasSubstr("cores is 0 cores"));
  store = StoreNumber(2);
  store.nonce = 0;
  EXPECT_THAT(said(JoinCommand({store})), HasSubstr("join_nonce is 0"));
  store = StoreNumber(2, std::string(kLabelBytesMax + 1, 'z'));
  EXPECT_THAT(said(JoinCommand({store})), HasSubstr("label \"zone\" is 64 bytes, the limit is 63"));
  EXPECT_THAT(said(OpenCommand(SplitOf(1, std::string(kKeyBytesMax + 1, 'k')))),
              HasSubstr("key is 4097 bytes, the limit is 4096"));
  EXPECT_THAT(said(SetCommand("replicas", 8)),
              HasSubstr("setting replicas 8 is out of range: 1 to 7"));
  EXPECT_THAT(said(SetCommand("replica", 3)),
              HasSubstr("there is no setting \"replica\"; there are:"));
}

TEST(ControllerRecordTest, IsReadAsItWasWritten) {
  Ids ids{ClusterId(7), ConfigNumber(300), StoreId(2), GroupId(3), ReplicaId(4), ShardId(5)};
  EXPECT_EQ(DecodeIds(Encode(ids)), ids);
  ids.operations_from = 1 << 20;
  ids.lost_replicas = {{ReplicaId(4), ReplicaId(1 << 20)}};
  EXPECT_EQ(DecodeIds(Encode(ids)), ids);
  Store store{"h:1", 9, StoreState::kDraining, 8, {{"zone", "a"}, {"disk", ""}}};
  EXPECT_EQ(DecodeStore(Encode(store)), store);
  Group group{GroupState::kRetiring, {{ReplicaId(1), StoreId(2)}, {ReplicaId(3), StoreId(4)}}, {}};
  EXPECT_EQ(DecodeGroup(Encode(group)), group);
  Shard shard{ShardId(1), Epoch(2), GroupId(3), {}};
  EXPECT_EQ(DecodeShard(Encode(shard)), shard);
  Operation operation = ChangeOf(3, {4, 5}, {6});
  operation.phase = Phase::kCancelling;
  operation.opened = Timestamp(1);
  operation.changed = Timestamp(2);
  EXPECT_EQ(DecodeOperation(Encode(operation)), operation);
  EXPECT_EQ(DecodeNumber(EncodeNumber(5)), 5u);
  for (std::string bytes : {Encode(ids), Encode(store), Encode(group), Encode(shard),
                            Encode(operation), EncodeNumber(5)}) {
    bytes.pop_back();
    EXPECT_FALSE(DecodeIds(bytes) || DecodeStore(bytes) || DecodeGroup(bytes) ||
                 DecodeShard(bytes) || DecodeOperation(bytes) || DecodeNumber(bytes));
  }
}

}  // namespace
}  // namespace kvd::shardctrler
