// A database with the tree as its memtable beside one with RocksDB's own: they hold and give the
// same.
#include "server/storage/tree_memtable.h"

#include <rocksdb/db.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/slice_transform.h>

#include <atomic>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "raft/runtime/random.h"
#include "server/storage/row_tree.h"
#include "tests/scratch_directory.h"

namespace kvd::storage {
namespace {

using rocksdb::DB;
using rocksdb::Iterator;
using rocksdb::ReadOptions;
using rocksdb::WriteOptions;

std::unique_ptr<DB> Open(const std::string& directory, bool tree) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = 64 << 20;
  options.compression = rocksdb::kNoCompression;
  options.allow_concurrent_memtable_write = false;
  options.prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(3));
  if (tree) options.memtable_factory = NewTreeMemtableFactory();
  DB* db = nullptr;
  EXPECT_TRUE(DB::Open(options, directory, &db).ok());
  return std::unique_ptr<DB>(db);
}

// What a test's keys look like.
struct Shape {
  const char* name;
  std::string prefix;  // of most keys
  uint64_t bytes_max;  // behind it
  int alphabet;        // so many bytes, 0xff the last
  int order;           // 1: ascending, -1: descending, 0: none
};

std::string KeyOf(const Shape& shape, Random& random, uint64_t number) {
  if (shape.order != 0) {
    uint64_t n = shape.order > 0 ? number : 1'000'000 - number;
    return absl::StrCat(shape.prefix, absl::Hex(n, absl::kZeroPad8));
  }
  std::string key = random.Below(50) == 0 ? std::string(1, 'a') : shape.prefix;
  uint64_t bytes = 1 + random.Below(shape.bytes_max);
  for (uint64_t i = 0; i < bytes; ++i) {
    auto digit = static_cast<int>(random.Below(static_cast<uint64_t>(shape.alphabet)));
    key.push_back(static_cast<char>(digit == shape.alphabet - 1 ? 0xff : digit));
  }
  return key;
}

class TreeMemtableTest : public testing::TestWithParam<Shape> {
 protected:
  void Put(const std::string& key, const std::string& value) {
    ASSERT_TRUE(tree_->Put(WriteOptions(), key, value).ok());
    ASSERT_TRUE(plain_->Put(WriteOptions(), key, value).ok());
  }
  void Delete(const std::string& key) {
    ASSERT_TRUE(tree_->Delete(WriteOptions(), key).ok());
    ASSERT_TRUE(plain_->Delete(WriteOptions(), key).ok());
  }
  static ReadOptions Options(const rocksdb::Snapshot* snapshot) {
    ReadOptions options;
    options.snapshot = snapshot;
    options.total_order_seek = true;
    return options;
  }
  static void ExpectSame(const Iterator& a, const Iterator& b) {
    ASSERT_EQ(a.Valid(), b.Valid());
    if (!a.Valid()) return;
    ASSERT_EQ(a.key().ToString(true), b.key().ToString(true));
    ASSERT_EQ(a.value().ToString(), b.value().ToString());
  }
  void CompareAll(const rocksdb::Snapshot* of_tree, const rocksdb::Snapshot* of_plain) {
    std::unique_ptr<Iterator> a(tree_->NewIterator(Options(of_tree)));
    std::unique_ptr<Iterator> b(plain_->NewIterator(Options(of_plain)));
    for (a->SeekToFirst(), b->SeekToFirst(); a->Valid() && b->Valid(); a->Next(), b->Next()) {
      ASSERT_NO_FATAL_FAILURE(ExpectSame(*a, *b));
    }
    ExpectSame(*a, *b);
    for (a->SeekToLast(), b->SeekToLast(); a->Valid() && b->Valid(); a->Prev(), b->Prev()) {
      ASSERT_NO_FATAL_FAILURE(ExpectSame(*a, *b));
    }
    ExpectSame(*a, *b);
  }
  void CompareAt(const std::string& key) {
    std::unique_ptr<Iterator> a(tree_->NewIterator(Options(nullptr)));
    std::unique_ptr<Iterator> b(plain_->NewIterator(Options(nullptr)));
    a->Seek(key), b->Seek(key);
    ASSERT_NO_FATAL_FAILURE(ExpectSame(*a, *b));
    if (b->Valid()) a->Prev(), b->Prev();
    ASSERT_NO_FATAL_FAILURE(ExpectSame(*a, *b));
    a->SeekForPrev(key), b->SeekForPrev(key);
    ASSERT_NO_FATAL_FAILURE(ExpectSame(*a, *b));
    if (b->Valid()) a->Next(), b->Next();
    ExpectSame(*a, *b);
    std::string in_tree, in_plain;
    EXPECT_EQ(tree_->Get(ReadOptions(), key, &in_tree).ok(),
              plain_->Get(ReadOptions(), key, &in_plain).ok());
    EXPECT_EQ(in_tree, in_plain);
  }

  ScratchDirectory scratch_;
  const std::unique_ptr<DB> tree_ = Open(scratch_.path() + "/tree", true);
  const std::unique_ptr<DB> plain_ = Open(scratch_.path() + "/plain", false);
};

TEST_P(TreeMemtableTest, HoldsWhatRocksDbsOwnHolds) {
  Random random(GetParam().name[0]);
  std::vector<std::string> keys;
  const rocksdb::Snapshot* of_tree = nullptr;
  const rocksdb::Snapshot* of_plain = nullptr;
  for (uint64_t i = 0; i < 20'000; ++i) {
    bool again = !keys.empty() && random.Below(4) == 0;
    std::string key = again ? keys[random.Below(keys.size())] : KeyOf(GetParam(), random, i);
    if (random.Below(10) == 0) {
      Delete(key);
    } else {
      Put(key, absl::StrCat("value ", i));
    }
    keys.push_back(key);
    if (i % 50 == 0) CompareAt(random.Below(2) == 0 ? key : KeyOf(GetParam(), random, i + 1));
    if (i == 10'000) of_tree = tree_->GetSnapshot(), of_plain = plain_->GetSnapshot();
    if (HasFatalFailure()) return;
  }
  CompareAll(nullptr, nullptr);
  CompareAll(of_tree, of_plain);
  ASSERT_TRUE(tree_->Flush(rocksdb::FlushOptions()).ok());
  CompareAll(of_tree, of_plain);
  tree_->ReleaseSnapshot(of_tree);
  plain_->ReleaseSnapshot(of_plain);
  CompareAll(nullptr, nullptr);
}

INSTANTIATE_TEST_SUITE_P(Keys, TreeMemtableTest,
                         testing::Values(Shape{"NothingShared", "", 12, 256, 0},
                                         Shape{"FiveBytesShared", "five-", 10, 8, 0},
                                         Shape{"SixtyBytesShared", std::string(60, 'p'), 6, 5, 0},
                                         Shape{"EachOthersPrefixes", "abc", 30, 2, 0},
                                         Shape{"Ascending", "up", 0, 0, 1},
                                         Shape{"Descending", "down", 0, 0, -1}),
                         [](const auto& info) { return info.param.name; });

class ByBytes : public rocksdb::MemTableRep::KeyComparator {
 public:
  int operator()(const char* a, const char* b) const override { return (*this)(a, decode_key(b)); }
  int operator()(const char* a, const rocksdb::Slice& b) const override {
    return decode_key(a).compare(b);
  }
};

// What was there before a reader began is met, in order, whatever is inserted meanwhile. The tree
// by itself: how RocksDB hands a memtable to a thread is hidden from the thread sanitizer.
TEST(RowTreeTest, ReadersSeeOrderAndWhatWasThere) {
  constexpr size_t kKeyBytes = 24;  // with eight for RocksDB's footer
  constexpr uint64_t kRows = 20'000;
  std::vector<std::string> rows;
  for (uint64_t i = 0; i < kRows; ++i) {
    rows.push_back(
        absl::StrCat("\x18", absl::Hex(i * 0x9e3779b97f4a7c15, absl::kZeroPad16), "8 bytes."));
  }
  ByBytes compare;
  std::deque<std::vector<uint64_t>> memory;
  RowTree tree(compare, [&](size_t bytes) {
    memory.emplace_back((bytes + 7) / 8);
    return reinterpret_cast<char*>(memory.back().data());
  });
  std::atomic<uint64_t> written = 0;
  auto read = [&](bool up) {
    while (written < kRows) {
      uint64_t before = written;
      uint64_t count = 0;
      std::string last;
      auto at = up ? tree.First() : tree.Last();
      for (; at.row != nullptr; at = up ? tree.Next(at) : tree.Previous(at)) {
        std::string now(at.row + 1, kKeyBytes);
        if (count > 0 && (up ? now <= last : now >= last)) ADD_FAILURE() << last << " then " << now;
        last = now;
        ++count;
      }
      EXPECT_GE(count, before);
      if (before == 0) continue;
      rocksdb::Slice known(rows[before - 1].data() + 1, kKeyBytes);
      auto found = tree.NotLess(known);
      EXPECT_TRUE(found.row != nullptr && tree.Order(found.row, known) == 0);
    }
  };
  std::thread upwards([&] { read(true); });
  std::thread downwards([&] { read(false); });
  for (uint64_t i = 0; i < kRows; ++i) {
    tree.Insert(rows[i].data());
    written = i + 1;
  }
  upwards.join();
  downwards.join();
}

}  // namespace
}  // namespace kvd::storage
