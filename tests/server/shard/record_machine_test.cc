// A record machine in a group: what it keeps goes where the group's state goes.
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/shard/data_group.h"
#include "server/storage/memory_engine.h"

namespace kvd::shard {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr GroupId kGroup{1};

// Keeps "key=value", forgets "key", refuses "".
class Notes : public storage::RecordMachine {
 public:
  absl::Status Load(const storage::MvccReader& reader, Timestamp at) override {
    notes.clear();
    storage::ScanOptions options;
    options.at = at;
    auto row = [this](const std::string& key, Timestamp, const storage::Version& version) {
      notes[key] = std::string(version.value);
      return true;
    };
    return reader.Scan(options, row).status();
  }
  absl::StatusOr<std::string> Apply(std::string_view command, const Position& position,
                                    storage::RecordSink* records) override {
    last = position;
    if (command.empty()) return absl::FailedPreconditionError("nothing to note");
    size_t split = command.find('=');
    std::string key(command.substr(0, split));
    if (split == std::string_view::npos) {
      notes.erase(key);
      records->Delete(key);
      return "forgotten";
    }
    notes[key] = std::string(command.substr(split + 1));
    records->Put(key, command.substr(split + 1));
    return "noted";
  }

  std::map<std::string, std::string> notes;
  Position last;
};

struct Replica {
  explicit Replica(uint64_t id) {
    options.machine = &notes;
    Open();
    EXPECT_TRUE(group->Wipe(ReplicaId(id)).ok());
  }
  void Open() {
    auto opened = DataGroup::Open(&engine, kGroup, options);
    ASSERT_TRUE(opened.ok()) << opened.status();
    group = *std::move(opened);
    group->on_applied = [this](const raft::Entry&, const CommandResult& r) { result = r; };
  }
  void Apply(std::string payload) {
    Command command;
    command.kind = CommandKind::kMachine;
    command.timestamp = group->meta().clock + 5;
    command.payload = std::move(payload);
    raft::Entry entry{Term(1), group->meta().applied.index + 1, raft::EntryType::kCommand,
                      Encode(command)};
    raft::ApplyItem item{&entry, nullptr};
    ASSERT_TRUE(group->Apply(absl::MakeConstSpan(&item, 1)).ok());
  }
  std::string Read(const std::string& key, Timestamp at) {
    auto found = group->Get(key, at);
    return found.ok() && found->has_value() ? std::string((*found)->version.value) : "none";
  }

  storage::MemoryEngine engine;
  DataGroupOptions options;
  Notes notes;
  std::unique_ptr<DataGroup> group;
  CommandResult result;
};

TEST(RecordMachineTest, ItsAnswerIsTheCommands) {
  Replica a(1);
  a.Apply("k=v");
  EXPECT_TRUE(a.result.status.ok());
  EXPECT_EQ(a.result.answer, "noted");
  EXPECT_EQ(a.notes.last.index, Index(1));
  EXPECT_EQ(a.notes.last.timestamp, a.group->meta().clock);
  a.Apply("");
  EXPECT_TRUE(absl::IsFailedPrecondition(a.result.status));
}

TEST(RecordMachineTest, WhatItKeptIsReadAsOfThen) {
  Replica a(1);
  a.Apply("k=v");
  Timestamp first = a.group->meta().clock;
  EXPECT_EQ(a.Read("k", first), "v");
  a.Apply("k=w");
  Timestamp second = a.group->meta().clock;
  EXPECT_EQ(a.Read("k", second), "w") << "the row cache is told";
  a.Apply("k");
  EXPECT_EQ(a.Read("k", a.group->meta().clock), "none");
  EXPECT_EQ(a.Read("k", first), "v");
  EXPECT_EQ(a.Read("k", second), "w");
}

TEST(RecordMachineTest, ItComesBackWithTheGroup) {
  Replica a(1);
  a.Apply("k=v");
  a.Apply("l=w");
  a.Apply("l");
  a.group.reset();
  a.notes.notes.clear();
  a.Open();
  EXPECT_THAT(a.notes.notes, ElementsAre(Pair("k", "v")));
}

TEST(RecordMachineTest, ItTravelsInASnapshot) {
  Replica a(1), b(2);
  a.Apply("k=v");
  b.Apply("old=state");
  auto reader = a.group->TakeSnapshot();
  auto stage = b.group->StageSnapshot();
  ASSERT_TRUE(reader.ok() && stage.ok());
  auto chunk = (*reader)->Read(0);
  ASSERT_TRUE(chunk.ok() && chunk->last && (*stage)->Add(chunk->data).ok());
  ASSERT_TRUE(b.group->InstallSnapshot(*std::move(stage), (*reader)->meta(), ReplicaId(2)).ok());
  EXPECT_THAT(b.notes.notes, ElementsAre(Pair("k", "v")));
  ASSERT_TRUE(b.group->Wipe(ReplicaId(3)).ok());
  EXPECT_TRUE(b.notes.notes.empty());
}

TEST(RecordMachineTest, WithoutOneItsCommandsAreRefused) {
  Replica a(1);
  a.options.machine = nullptr;
  a.Open();
  a.Apply("k=v");
  EXPECT_TRUE(absl::IsUnimplemented(a.result.status));
}

}  // namespace
}  // namespace kvd::shard
