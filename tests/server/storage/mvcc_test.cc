// Keys, versions, reads at a timestamp, delta scans, garbage collection; against a simple model.
#include <map>

#include "gtest/gtest.h"
#include "proto/crc32c.h"
#include "raft/runtime/random.h"
#include "server/storage/gc_filter.h"
#include "server/storage/memory_engine.h"
#include "server/storage/mvcc_reader.h"

namespace kvd::storage {
namespace {

constexpr GroupId kGroup{3};

TEST(MvccKey, KeepsOrderAndRoundTrips) {
  std::vector<std::string> keys = {"",
                                   std::string(1, '\0'),
                                   std::string("\0\0", 2),
                                   std::string("\0a", 2),
                                   "a",
                                   std::string("a\0", 2),
                                   std::string("a\0b", 3),
                                   "a\x01",
                                   "ab",
                                   "b",
                                   "\xff",
                                   "\xff\xff"};
  for (size_t i = 0; i < keys.size(); ++i) {
    std::string encoded = VersionKey(kGroup, keys[i], Timestamp(77));
    EXPECT_EQ(UserKeyOf(encoded), keys[i]);
    EXPECT_EQ(TimestampOf(encoded), Timestamp(77));
    EXPECT_EQ(GroupOf(encoded), kGroup);
    EXPECT_LT(VersionKey(kGroup, keys[i], Timestamp(78)), encoded) << "newest first";
    for (size_t j = i + 1; j < keys.size(); ++j) {
      EXPECT_LT(encoded, VersionKey(kGroup, keys[j], Timestamp(~uint64_t{0})));
    }
  }
}

TEST(Version, RoundTripsAndRefusesDamage) {
  Version v;
  v.writer = {ClientId(5), Sequence(300)};
  v.expiry = Timestamp(9);
  v.outcome = "out";
  v.crc32c = 7;
  v.value = "value";
  std::string bytes = Encode(v);
  auto back = DecodeVersion(bytes);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->writer, v.writer);
  EXPECT_EQ(back->outcome, "out");
  EXPECT_EQ(back->value, "value");
  for (size_t n = 0; n < bytes.size() - 5; ++n) EXPECT_FALSE(DecodeVersion(bytes.substr(0, n)));
  EXPECT_FALSE(DecodeVersion("\xff"));
}

// A model: key -> timestamp -> value, nullopt for a delete.
using Model = std::map<std::string, std::map<uint64_t, std::optional<std::string>>>;

class MvccModelTest : public testing::Test {
 protected:
  void Write(const std::string& key, uint64_t timestamp, const std::optional<std::string>& value) {
    Version version;
    version.kind = value ? VersionKind::kValue : VersionKind::kTombstone;
    std::string bytes = value.value_or("");
    version.value = bytes;
    version.crc32c = ValueChecksum(key, version.value);
    auto batch = engine_.NewBatch();
    batch->Put(VersionKey(kGroup, key, Timestamp(timestamp)), Encode(version));
    ASSERT_TRUE(engine_.Write(*batch).ok());
    model_[key][timestamp] = value;
  }

  std::optional<std::string> Expected(const std::string& key, uint64_t at) {
    auto& versions = model_[key];
    auto it = versions.upper_bound(at);
    return it == versions.begin() ? std::nullopt : std::prev(it)->second;
  }

  std::map<std::string, std::string> ExpectedScan(uint64_t at) {
    std::map<std::string, std::string> out;
    for (auto& [key, versions] : model_) {
      if (auto value = Expected(key, at)) out[key] = *value;
    }
    return out;
  }

  std::map<std::string, std::string> Scan(uint64_t at, bool reverse) {
    std::map<std::string, std::string> out;
    ScanOptions options;
    options.at = Timestamp(at);
    options.reverse = reverse;
    std::string last;
    auto status = MvccReader(&engine_, kGroup)
                      .Scan(options, [&](const std::string& key, Timestamp, const Version& v) {
                        EXPECT_TRUE(out.empty() || reverse == (key < last)) << "order";
                        last = key;
                        EXPECT_TRUE(out.emplace(key, v.value).second) << "a key twice";
                        return true;
                      });
    EXPECT_TRUE(status.ok());
    return out;
  }

  MemoryEngine engine_;
  Model model_;
};

TEST_F(MvccModelTest, ReadsMatchTheModelBeforeAndAfterCollection) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    engine_ = MemoryEngine();
    model_.clear();
    Random random(seed);
    for (uint64_t t = 1; t <= 200; ++t) {
      std::string key = "k" + std::to_string(random.Below(12));
      Write(key, t, random.Chance(0.3) ? std::nullopt : std::optional("v" + std::to_string(t)));
    }
    uint64_t safe_point = random.Below(200);
    for (int pass = 0; pass < 3; ++pass) {
      for (uint64_t at = pass == 0 ? 0 : safe_point; at <= 201; at += 7) {
        EXPECT_EQ(Scan(at, false), ExpectedScan(at)) << seed << " at " << at;
        EXPECT_EQ(Scan(at, true), ExpectedScan(at)) << seed << " at " << at;
        for (int k = 0; k < 12; ++k) {
          std::string key = "k" + std::to_string(k);
          auto got = MvccReader(&engine_, kGroup).Get(key, Timestamp(at));
          ASSERT_TRUE(got.ok());
          auto expected = Expected(key, at);
          ASSERT_EQ(got->has_value(), expected.has_value()) << key << " at " << at;
          EXPECT_TRUE(!expected || (*got)->version.value == *expected);
        }
      }
      // First a pass that sees only part of the tree, then one that sees all of it.
      engine_.Collect(GcFilter([&](GroupId) { return Timestamp(safe_point); }, pass == 1));
    }
  }
}

TEST_F(MvccModelTest, DeltaScanGivesEveryVersionInBetweenOnce) {
  Random random(4);
  for (uint64_t t = 1; t <= 100; ++t)
    Write("k" + std::to_string(random.Below(9)), t, std::to_string(t));
  for (uint64_t after : {0, 10, 50}) {
    for (uint64_t upto : {50, 99}) {
      std::map<uint64_t, int> seen;
      auto status = MvccReader(&engine_, kGroup)
                        .DeltaScan({}, Timestamp(after), Timestamp(upto),
                                   [&](const std::string&, Timestamp t, const Version&) {
                                     ++seen[t.value()];
                                     return true;
                                   });
      ASSERT_TRUE(status.ok());
      EXPECT_EQ(seen.size(), upto > after ? upto - after : 0);
      for (auto [t, n] : seen) {
        EXPECT_TRUE(t > after && t <= upto);
        EXPECT_EQ(n, 1);
      }
    }
  }
}

TEST_F(MvccModelTest, ADamagedValueIsAnErrorNotAnAnswer) {
  Write("k", 5, "value");
  std::string key = VersionKey(kGroup, "k", Timestamp(5));
  std::string bytes = engine_.contents().at(key);
  bytes.back() ^= 1;
  auto batch = engine_.NewBatch();
  batch->Put(key, bytes);
  ASSERT_TRUE(engine_.Write(*batch).ok());
  EXPECT_EQ(MvccReader(&engine_, kGroup).Get("k", Timestamp(9)).status().code(),
            absl::StatusCode::kDataLoss);
}

// A guard key that many batches named as a condition, and none wrote.
TEST_F(MvccModelTest, ABoundedScanGetsPastAKeyOfManyOutcomes) {
  Write("a", 1, "value");
  Write("b", 1, "value");
  Version outcome;
  outcome.kind = VersionKind::kOutcome;
  auto batch = engine_.NewBatch();
  for (uint64_t ts = 2; ts < 100; ++ts) {
    batch->Put(VersionKey(kGroup, "a", Timestamp(ts)), Encode(outcome));
  }
  ASSERT_TRUE(engine_.Write(*batch).ok());
  ScanOptions options;
  options.at = Timestamp(200);
  options.examined_max = 10;
  std::string seen;
  int pages = 0;
  for (std::optional<std::string> resume = "a"; resume; ++pages) {
    ASSERT_LT(pages, 3);
    options.range.start = *resume;
    auto page = MvccReader(&engine_, kGroup)
                    .Scan(options, [&](const std::string& key, Timestamp, const Version&) {
                      seen += key;
                      return true;
                    });
    ASSERT_TRUE(page.ok());
    resume = *page;
  }
  EXPECT_EQ(seen, "ab");
}

}  // namespace
}  // namespace kvd::storage
