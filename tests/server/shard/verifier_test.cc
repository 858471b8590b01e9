// Verifications as the loop sees them: in slices, of the state as it was, the newest few kept.
#include "server/shard/verifier.h"

#include <deque>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "server/storage/memory_engine.h"
#include "server/storage/mvcc_key.h"
#include "tests/inline_loop.h"

namespace kvd::shard {
namespace {

constexpr GroupId kGroup{1};

class StepWorker : public Worker {
 public:
  void Run(std::unique_ptr<Job> job) override { jobs.push_back(std::move(job)); }
  void Finish() {
    for (; !jobs.empty(); jobs.pop_front()) {
      while (jobs.front()->Step()) {
      }
    }
  }
  std::deque<std::unique_ptr<Job>> jobs;
};

class CountedCheck : public StorageCheck {
 public:
  bool Step(StorageTotals* out) override {
    out->bytes += 10;
    if (--left_ == 0) out->Note("something");
    return left_ != 0;
  }

 private:
  int left_ = 3;
};

class VerifierTest : public testing::Test {
 protected:
  void Put(const std::string& key, const std::string& value) {
    storage::Version version;
    version.value = value;
    version.crc32c = ValueChecksum(key, value);
    auto batch = engine_.NewBatch();
    batch->Put(storage::VersionKey(kGroup, key, Timestamp(5)), storage::Encode(version));
    ASSERT_TRUE(engine_.Write(*batch).ok());
  }
  void Begin(uint64_t id) {
    verifier_.Begin(id, kGroup, Index(id), engine_.Snapshot(), Timestamp(1), Timestamp(9));
  }

  storage::MemoryEngine engine_;
  InlineLoop loop_;
  StepWorker worker_;
  Verifier verifier_{&loop_, &worker_, [] { return std::make_unique<CountedCheck>(); }};
};

TEST_F(VerifierTest, HashesTheStateAsItWas) {
  Put("a", "1");
  Put("large", std::string(3 << 20, 'x'));
  Put("z", "2");
  auto before = HashState(engine_, kGroup, Timestamp(1), Timestamp(9));
  Begin(1);
  EXPECT_EQ(verifier_.Find(2), nullptr);
  ASSERT_NE(verifier_.Find(1), nullptr);
  Put("a", "changed since");
  ASSERT_TRUE(worker_.jobs.front()->Step());
  EXPECT_FALSE(verifier_.Find(1)->hashed);
  worker_.Finish();
  const Verification& v = *verifier_.Find(1);
  EXPECT_TRUE(v.done && v.hashed);
  EXPECT_EQ(v.index, Index(1));
  EXPECT_EQ(v.state.hash, before->hash);
  EXPECT_EQ(v.state.keys, 3u);
  EXPECT_EQ(v.storage.bytes, 30u);
  EXPECT_EQ(v.damaged(), 1u);
  EXPECT_EQ(v.storage.damage, std::vector<std::string>{"something"});
}

TEST_F(VerifierTest, ANewOneDisplacesTheOldest) {
  for (uint64_t id = 1; id <= kVerificationsMax + 1; ++id) Begin(id);
  EXPECT_EQ(verifier_.Find(1), nullptr);
  EXPECT_FALSE(worker_.jobs.front()->Step()) << "it is cancelled";
  worker_.Finish();
  for (uint64_t id = 2; id <= kVerificationsMax + 1; ++id) {
    ASSERT_NE(verifier_.Find(id), nullptr);
    EXPECT_TRUE(verifier_.Find(id)->done);
  }
}

TEST_F(VerifierTest, TellsTheFirstFewDamagesAndCountsAll) {
  StorageTotals totals;
  for (int i = 0; i < 100; ++i) totals.Note(absl::StrCat("damage ", i));
  EXPECT_EQ(totals.damaged, 100u);
  EXPECT_EQ(totals.damage.size(), 10u);
}

}  // namespace
}  // namespace kvd::shard
