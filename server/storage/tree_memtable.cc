#include "server/storage/tree_memtable.h"

#include <rocksdb/memtablerep.h>

#include <atomic>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "proto/check.h"
#include "raft/runtime/mutex.h"
#include "server/storage/row_tree.h"

namespace kvd::storage {
namespace {

using rocksdb::Arena;
using rocksdb::MemTableRep;
using rocksdb::Slice;

class TreeMemtable : public MemTableRep {
 public:
  TreeMemtable(const KeyComparator& compare, rocksdb::Allocator* allocator)
      : MemTableRep(allocator), tree_(compare, [this](size_t bytes) { return Aligned(bytes); }) {
    made_.store(true, std::memory_order_release);
  }

  void Insert(rocksdb::KeyHandle handle) override {
    tree_.Insert(static_cast<const char*>(handle));
  }

  bool Contains(const char* key) const override {
    Slice wanted = tree_.KeyOf(key);
    const char* row = tree_.NotLess(wanted).row;
    return row != nullptr && tree_.Order(row, wanted) == 0;
  }

  uint64_t ApproximateNumEntries(const Slice& start, const Slice& end) override {
    double part = tree_.RankOf(end) - tree_.RankOf(start);
    return part <= 0 ? 0 : static_cast<uint64_t>(part * static_cast<double>(tree_.rows()) + 0.5);
  }

  // All of it is the arena's.
  size_t ApproximateMemoryUsage() override { return 0; }

  MemTableRep::Iterator* GetIterator(Arena* arena) override;
  MemTableRep::Iterator* GetDynamicPrefixIterator(Arena* arena) override;

 private:
  class TreeIterator;

  char* Aligned(size_t bytes) {
    char* memory = nullptr;
    Allocate(bytes + kAlignment, &memory);
    auto misaligned = reinterpret_cast<uintptr_t>(memory) % kAlignment;
    return memory + (misaligned == 0 ? 0 : kAlignment - misaligned);
  }
  void* TakeMemory();
  void ReturnMemory(void* memory);

  static constexpr size_t kAlignment = 64;
  RowTree tree_;
  // Says again what RocksDB sees to, unseen by the thread sanitizer: made before it is used.
  std::atomic<bool> made_ = false;
  Mutex mutex_;
  // Of iterators: all there is, what is free of it, and one for each thread that reads single keys.
  std::vector<std::unique_ptr<char[]>> memory_ ABSL_GUARDED_BY(mutex_);
  std::vector<void*> free_ ABSL_GUARDED_BY(mutex_);
  std::map<std::thread::id, std::unique_ptr<TreeIterator>> single_ ABSL_GUARDED_BY(mutex_);
};

class TreeMemtable::TreeIterator : public MemTableRep::Iterator {
 public:
  // `owner`: gets the memory back when the iterator ends; null if that is nobody's task.
  TreeIterator(const RowTree* tree, TreeMemtable* owner) : tree_(tree), owner_(owner) {}
  ~TreeIterator() override {
    if (owner_ != nullptr) owner_->ReturnMemory(this);
  }

  bool Valid() const override { return at_.row != nullptr; }
  const char* key() const override { return at_.row; }
  void Next() override { at_ = tree_->Next(at_); }
  void Prev() override { at_ = tree_->Previous(at_); }
  void Seek(const Slice& internal_key, const char* /*memtable_key*/) override {
    at_ = tree_->NotLess(internal_key);
  }
  void SeekForPrev(const Slice& internal_key, const char* /*memtable_key*/) override {
    at_ = tree_->NotLess(internal_key);
    if (Valid() && tree_->Order(at_.row, internal_key) == 0) return;
    at_ = tree_->Less(internal_key);
  }
  void SeekToFirst() override { at_ = tree_->First(); }
  void SeekToLast() override { at_ = tree_->Last(); }

 private:
  const RowTree* const tree_;
  TreeMemtable* const owner_;
  RowTree::Position at_;
};

void* TreeMemtable::TakeMemory() {
  MutexLock lock(&mutex_);
  if (free_.empty()) {
    memory_.push_back(std::make_unique<char[]>(sizeof(TreeIterator)));
    return memory_.back().get();
  }
  void* memory = free_.back();
  free_.pop_back();
  return memory;
}

void TreeMemtable::ReturnMemory(void* memory) {
  MutexLock lock(&mutex_);
  free_.push_back(memory);
}

// RocksDB does not free what an arena stands for, only ends it, and its arenas are not for others
// to use: the memory is taken from here, and comes back with the end.
MemTableRep::Iterator* TreeMemtable::GetIterator(Arena* arena) {
  KVD_CHECK(made_.load(std::memory_order_acquire));
  if (arena == nullptr) return new TreeIterator(&tree_, nullptr);
  return new (TakeMemory()) TreeIterator(&tree_, this);
}

// Without an arena it is MemTableRep::Get that asks, for the time of the call, and nobody ends it.
MemTableRep::Iterator* TreeMemtable::GetDynamicPrefixIterator(Arena* arena) {
  if (arena != nullptr) return GetIterator(arena);
  KVD_CHECK(made_.load(std::memory_order_acquire));
  MutexLock lock(&mutex_);
  auto& iterator = single_[std::this_thread::get_id()];
  if (iterator == nullptr) iterator = std::make_unique<TreeIterator>(&tree_, nullptr);
  return iterator.get();
}

class TreeMemtableFactory : public rocksdb::MemTableRepFactory {
 public:
  const char* Name() const override { return "kvd.TreeMemtableFactory"; }
  using rocksdb::MemTableRepFactory::CreateMemTableRep;
  MemTableRep* CreateMemTableRep(const MemTableRep::KeyComparator& compare,
                                 rocksdb::Allocator* allocator,
                                 const rocksdb::SliceTransform* /*prefix*/,
                                 rocksdb::Logger* /*logger*/) override {
    return new TreeMemtable(compare, allocator);
  }
};

}  // namespace

std::shared_ptr<rocksdb::MemTableRepFactory> NewTreeMemtableFactory() {
  return std::make_shared<TreeMemtableFactory>();
}

}  // namespace kvd::storage
