// Reads of a data group go through its row cache: whatever is written, replaced or given up, they
// give what the engine gives.
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "raft/runtime/random.h"
#include "server/shard/data_group.h"
#include "server/storage/memory_engine.h"
#include "tests/first_shard.h"

namespace kvd::shard {
namespace {

constexpr GroupId kGroup{1};
constexpr ReplicaId kReplica{1};

Operation Op(Operation::Type type, std::string key, std::string value = "") {
  Operation op;
  op.type = type;
  op.crc32c = ValueChecksum(key, value);
  op.key = std::move(key);
  op.value = std::move(value);
  return op;
}

// An engine that stops taking writes in.
class FullEngine : public storage::MemoryEngine {
 public:
  absl::Status Write(storage::WriteBatch& batch) override {
    return full ? absl::ResourceExhaustedError("full") : storage::MemoryEngine::Write(batch);
  }
  bool full = false;
};

// One replica that applies what it is given, without a host.
struct Replica {
  explicit Replica(const DataGroupOptions& options = DataGroupOptions())
      : group(*DataGroup::Open(&engine, kGroup, options)) {
    EXPECT_TRUE(group->Wipe(kReplica).ok());
    EXPECT_TRUE(Apply({InstallFirstShard()}).ok());
  }

  // As one batch.
  absl::Status Apply(std::vector<Command> commands) {
    std::vector<raft::Entry> entries;
    Index index = group->meta().applied.index;
    for (Command& command : commands) {
      command.timestamp = group->meta().clock + 1;
      entries.push_back({Term(1), ++index, raft::EntryType::kCommand, Encode(command)});
    }
    std::vector<raft::ApplyItem> items;
    items.reserve(entries.size());
    for (const raft::Entry& entry : entries) items.push_back({&entry, nullptr});
    return group->Apply(items);
  }
  void Write(Operation op) {
    Command command;
    command.operations.push_back(std::move(op));
    ASSERT_TRUE(Apply({command}).ok());
  }
  void Put(const std::string& key, const std::string& value) {
    Write(Op(Operation::Type::kPut, key, value));
  }
  void Advance(Timestamp to) {
    Command command;
    command.kind = CommandKind::kClockAdvance;
    command.timestamp = to;
    raft::Entry entry{Term(1), group->meta().applied.index + 1, raft::EntryType::kCommand,
                      Encode(command)};
    raft::ApplyItem item{&entry, nullptr};
    ASSERT_TRUE(group->Apply(absl::MakeConstSpan(&item, 1)).ok());
  }

  Timestamp now() const { return group->meta().clock; }
  uint64_t hits() const { return group->row_cache().hits(); }
  std::string Get(const std::string& key) { return Get(key, now()); }
  std::string Get(const std::string& key, Timestamp at) {
    auto found = group->Get(key, at);
    if (!found.ok()) return found.status().ToString();
    auto beside = group->reader().Get(key, at);
    EXPECT_EQ((*found).has_value(), (*beside).has_value()) << key;
    if (!found->has_value()) return "-";
    EXPECT_EQ((*found)->bytes, (*beside)->bytes);
    EXPECT_EQ((*found)->timestamp, (*beside)->timestamp);
    return std::string((*found)->version.value);
  }
  // The same, by the row cache.
  std::string Hit(const std::string& key) {
    uint64_t before = hits();
    std::string value = Get(key);
    EXPECT_EQ(hits(), before + 1) << key << " is not in the row cache";
    return value;
  }
  std::string Miss(const std::string& key) {
    uint64_t before = hits();
    std::string value = Get(key);
    EXPECT_EQ(hits(), before) << key << " is in the row cache";
    return value;
  }

  FullEngine engine;
  std::unique_ptr<DataGroup> group;
};

TEST(GroupRowCache, FollowsEveryKindOfWrite) {
  Replica r;
  r.Put("k", "one");
  EXPECT_EQ(r.Miss("k"), "one") << "a write fills nothing";
  EXPECT_EQ(r.Hit("k"), "one");
  r.Put("k", "two");
  EXPECT_EQ(r.Hit("k"), "two");
  r.Write(Op(Operation::Type::kAppend, "k", "+"));
  EXPECT_EQ(r.Hit("k"), "two+");
  r.Write(Op(Operation::Type::kDelete, "k"));
  EXPECT_EQ(r.Hit("k"), "-");
  r.Put("k", "three");
  EXPECT_EQ(r.Hit("k"), "three");
  Command range;
  range.kind = CommandKind::kDeleteRange;
  range.range = {"a", "z"};
  ASSERT_TRUE(r.Apply({range}).ok());
  EXPECT_EQ(r.Hit("k"), "-");
  Operation increment = Op(Operation::Type::kIncrement, "k");
  increment.delta = 3;
  r.Write(increment);
  EXPECT_EQ(r.Hit("k"), "3");
}

TEST(GroupRowCache, FollowsWritesOfOneBatch) {
  Replica r;
  r.Put("k", "one");
  EXPECT_EQ(r.Miss("k"), "one");
  std::vector<Command> commands(3);
  for (int i = 0; i < 3; ++i) {
    commands[i].operations = {Op(Operation::Type::kPut, "k", absl::StrCat(i)),
                              Op(Operation::Type::kPut, "other", absl::StrCat(i))};
  }
  // Reads asked for between the entries see what is written, and no more.
  r.group->on_applied = [&](const raft::Entry&, const CommandResult&) {
    EXPECT_EQ(r.Get("k", kTimestampMax), "one");
  };
  ASSERT_TRUE(r.Apply(commands).ok());
  r.group->on_applied = nullptr;
  EXPECT_EQ(r.Get("k"), "2");
  EXPECT_EQ(r.Hit("k"), "2");
}

TEST(GroupRowCache, AbsentKeysAreNotKeptButDeletedOnesAre) {
  Replica r;
  EXPECT_EQ(r.Miss("k"), "-");
  EXPECT_EQ(r.Miss("k"), "-");
  r.Put("k", "one");
  r.Write(Op(Operation::Type::kDelete, "k"));
  EXPECT_EQ(r.Miss("k"), "-");
  EXPECT_EQ(r.Hit("k"), "-");
}

TEST(GroupRowCache, AnOutcomeIsNoVersion) {
  Replica r;
  r.Put("primary", "one");
  EXPECT_EQ(r.Get("primary"), "one");
  // The branch that runs leaves the primary as it is, but for an outcome.
  Command command;
  command.writer = {ClientId(9), Sequence(1)};
  command.token = r.now();
  command.conditions.push_back({"primary", Condition::Test::kAbsent, "", Timestamp()});
  command.operations.push_back(Op(Operation::Type::kPut, "primary", "two"));
  command.otherwise.push_back(Op(Operation::Type::kPut, "other", "two"));
  ASSERT_TRUE(r.Apply({command}).ok());
  EXPECT_EQ(r.Get("other"), "two");
  auto outcome = r.group->reader().At("primary", r.now());
  ASSERT_TRUE(outcome.ok() && outcome->has_value());
  EXPECT_EQ((*outcome)->version.kind, storage::VersionKind::kOutcome);
  EXPECT_EQ(r.Hit("primary"), "one");
}

TEST(GroupRowCache, AReadInThePastNeitherFillsNorIsGivenWhatIsNewer) {
  Replica r;
  r.Put("k", "one");
  Timestamp then = r.now();
  r.Put("k", "two");
  Timestamp later = r.now();
  r.Put("unrelated", "x");
  EXPECT_EQ(r.Get("k", then), "one");
  EXPECT_EQ(r.Get("k", later), "two") << "the newest, but whoever reads in the past can't know";
  EXPECT_TRUE(r.group->row_cache().rows().empty());
  EXPECT_EQ(r.Miss("k"), "two");
  EXPECT_EQ(r.Get("k", then), "one");
  uint64_t hits = r.hits();
  EXPECT_EQ(r.Get("k", later), "two");
  EXPECT_EQ(r.hits(), hits + 1) << "as old as what is kept";
}

TEST(GroupRowCache, ValuesExpireThereToo) {
  Replica r;
  Operation put = Op(Operation::Type::kPut, "k", "short-lived");
  put.ttl_ms = 5;
  r.Write(put);
  Timestamp written = r.now();
  EXPECT_EQ(r.Miss("k"), "short-lived");
  EXPECT_EQ(r.Hit("k"), "short-lived");
  r.Advance(r.now() + (uint64_t{6} << kTimestampCounterBits));
  EXPECT_EQ(r.Hit("k"), "-");
  EXPECT_EQ(r.Get("k", written), "short-lived");
  // Found expired, it was not checked: it is not kept.
  put.key = "unread";
  put.crc32c = ValueChecksum(put.key, put.value);
  r.Write(put);
  r.Advance(r.now() + (uint64_t{6} << kTimestampCounterBits));
  EXPECT_EQ(r.Miss("unread"), "-");
  EXPECT_EQ(r.Miss("unread"), "-");
}

TEST(GroupRowCache, AStateThatIsGivenUpTakesItAlong) {
  Replica source;
  source.Put("k", "theirs");
  source.Put("k", "theirs, later");
  Replica r;
  r.Put("k", "mine");
  EXPECT_EQ(r.Get("k"), "mine");
  auto snapshot = *source.group->TakeSnapshot();
  auto stage = *r.group->StageSnapshot();
  for (uint64_t i = 0;; ++i) {
    auto chunk = *snapshot->Read(i);
    ASSERT_TRUE(stage->Add(chunk.data).ok());
    if (chunk.last) break;
  }
  ASSERT_TRUE(r.group->InstallSnapshot(std::move(stage), snapshot->meta(), kReplica).ok());
  EXPECT_EQ(r.Miss("k"), "theirs, later");
  EXPECT_EQ(r.Hit("k"), "theirs, later");
  ASSERT_TRUE(r.group->Wipe(ReplicaId(2)).ok());
  EXPECT_TRUE(r.group->row_cache().rows().empty());
  EXPECT_EQ(r.group->row_cache().bytes(), 0u);
  EXPECT_EQ(r.Get("k", kTimestampMax), "-");
}

TEST(GroupRowCache, AWriteThatFailsIsNotRead) {
  Replica r;
  r.Put("k", "one");
  EXPECT_EQ(r.Get("k"), "one");
  bool told = false;
  r.group->on_fatal = [&](const absl::Status&) { told = true; };
  r.engine.full = true;
  Command command;
  command.operations.push_back(Op(Operation::Type::kPut, "k", "two"));
  EXPECT_FALSE(r.Apply({command}).ok());
  EXPECT_TRUE(told);
  EXPECT_TRUE(r.group->row_cache().rows().empty());
  EXPECT_EQ(r.Miss("k"), "one");
  EXPECT_EQ(r.Miss("k"), "one");
}

TEST(GroupRowCache, DamageIsNotKept) {
  Replica r;
  r.Put("k", "one");
  ASSERT_TRUE(r.engine.Flush().ok());
  std::string key = storage::VersionKey(kGroup, "k", r.now());
  ASSERT_TRUE(r.engine.Damage(key, storage::MemoryEngine::Rot::kFlippedBit));
  EXPECT_TRUE(absl::IsDataLoss(r.group->Get("k", r.now()).status()));
  EXPECT_TRUE(absl::IsDataLoss(r.group->Get("k", r.now()).status()));
  EXPECT_TRUE(r.group->row_cache().rows().empty());
}

TEST(GroupRowCache, IsBoundedAndCanBeTurnedOff) {
  DataGroupOptions options;
  options.row_cache_bytes = 10'000;
  options.row_cache_row_bytes_max = 1'000;
  Replica r(options);
  r.Put("large", std::string(2'000, 'x'));
  EXPECT_EQ(r.Miss("large").size(), 2'000u);
  EXPECT_EQ(r.Miss("large").size(), 2'000u);
  for (int i = 0; i < 200; ++i) {
    r.Put(absl::StrCat(i), "value");
    EXPECT_EQ(r.Miss(absl::StrCat(i)), "value");
    EXPECT_LE(r.group->row_cache().bytes(), options.row_cache_bytes);
  }
  EXPECT_EQ(r.Hit("199"), "value");
  EXPECT_EQ(r.Miss("0"), "value");
  options.row_cache_bytes = 0;
  Replica off(options);
  off.Put("k", "one");
  EXPECT_EQ(off.Miss("k"), "one");
  EXPECT_EQ(off.Miss("k"), "one");
}

// Random writes, reads at all times, compactions and sweeps: each read is compared with the
// engine's.
TEST(GroupRowCache, ReadsAreTheEngines) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Random random(seed);
    DataGroupOptions options;
    // None, a few rows, all of them.
    constexpr size_t kBytes[] = {0, 800, 8000};
    options.row_cache_bytes = kBytes[seed % 3];
    Replica r(options);
    for (int i = 0; i < 1000; ++i) {
      std::string key = absl::StrCat("k", random.Below(12));
      uint64_t pick = random.Below(100);
      if (pick < 20) {
        Operation put = Op(Operation::Type::kPut, key, absl::StrCat("v", i));
        if (random.Chance(0.3)) put.ttl_ms = 1;
        r.Write(put);
      } else if (pick < 30) {
        r.Write(Op(Operation::Type::kDelete, key));
      } else if (pick < 35) {
        r.Advance(r.now() + random.Below(uint64_t{2} << kTimestampCounterBits));
      } else if (pick < 40) {
        Command command;
        command.kind = CommandKind::kSafePoint;
        command.safe_point = r.now();
        ASSERT_TRUE(r.Apply({command}).ok());
        Timestamp safe_point = r.group->meta().safe_point;
        r.engine.Collect(
            storage::GcFilter([&](GroupId) { return safe_point; }, random.Chance(0.5)));
      } else {
        Timestamp safe_point = r.group->meta().safe_point;
        bool past = random.Chance(0.3);
        (void)r.Get(key, past ? safe_point + random.Below(r.now() - safe_point + 1) : r.now());
      }
    }
    EXPECT_EQ(r.hits() > 0, options.row_cache_bytes > 0) << seed;
  }
}

}  // namespace
}  // namespace kvd::shard
