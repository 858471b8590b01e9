#include "server/storage/memory_engine.h"

#include <vector>

#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/fault_point.h"
#include "server/storage/mvcc_key.h"

namespace kvd::storage {

using Map = MemoryEngine::Map;

namespace {

absl::Status Unreadable(std::string_view key) {
  return absl::DataLossError("memory: the pair can't be read: " + Printable(key));
}

template <class Damaged>
bool CanRead(const Damaged& damaged, std::string_view key) {
  auto it = damaged.find(key);
  return it == damaged.end() || it->second != MemoryEngine::Rot::kUnreadable;
}

}  // namespace

// Ends where something can't be read, until it seeks again.
class MemoryIterator : public Iterator {
 public:
  MemoryIterator(const Map* map, const MemoryEngine::Damaged* damaged,
                 const IterateOptions& options)
      : map_(map), damaged_(damaged), options_(options), it_(map->end()) {}

  bool Valid() const override {
    return status_.ok() && it_ != map_->end() && it_->first >= options_.lower &&
           (options_.upper.empty() || it_->first < options_.upper);
  }
  void Seek(std::string_view key) override {
    KVD_CHECK(!options_.one_prefix || IsVersionOf(options_.lower, key));
    status_ = absl::OkStatus();
    it_ = map_->lower_bound(std::max<std::string_view>(key, options_.lower));
    Look();
  }
  void SeekForPrev(std::string_view key) override {
    status_ = absl::OkStatus();
    it_ = map_->upper_bound(key);
    if (!options_.upper.empty() && key >= options_.upper) it_ = map_->lower_bound(options_.upper);
    Prev();
  }
  void Next() override {
    ++it_;
    Look();
  }
  void Prev() override {
    it_ = it_ == map_->begin() ? map_->end() : std::prev(it_);
    Look();
  }
  std::string_view key() const override { return it_->first; }
  std::string_view value() const override { return it_->second; }
  absl::Status status() const override { return status_; }

 private:
  void Look() {
    if (Valid() && !CanRead(*damaged_, it_->first)) status_ = Unreadable(it_->first);
  }

  const Map* map_;
  const MemoryEngine::Damaged* damaged_;
  const IterateOptions options_;
  Map::const_iterator it_;
  absl::Status status_;
};

class MemoryView : public View {
 public:
  explicit MemoryView(const MemoryEngine& engine) : map_(engine.map_), damaged_(engine.damaged_) {}
  std::unique_ptr<Iterator> NewIterator(const IterateOptions& options) const override {
    return std::make_unique<MemoryIterator>(&map_, &damaged_, options);
  }
  absl::StatusOr<std::optional<std::string>> Get(std::string_view key) const override {
    if (!CanRead(damaged_, key)) return Unreadable(key);
    auto it = map_.find(key);
    if (it == map_.end()) return std::nullopt;
    return it->second;
  }

 private:
  const Map map_;
  const MemoryEngine::Damaged damaged_;
};

namespace {

struct Operation {
  enum Kind { kPut, kDelete, kDeleteRange } kind;
  std::string key;
  std::string value;  // or the end of the range
};

class MemoryBatch : public WriteBatch {
 public:
  void Put(std::string_view key, std::string_view value) override {
    operations.push_back({Operation::kPut, std::string(key), std::string(value)});
  }
  void Delete(std::string_view key) override {
    operations.push_back({Operation::kDelete, std::string(key), ""});
  }
  void DeleteRange(std::string_view begin, std::string_view end) override {
    operations.push_back({Operation::kDeleteRange, std::string(begin), std::string(end)});
  }
  std::vector<Operation> operations;
};

class MemoryStaging : public Staging {
 public:
  MemoryStaging(std::string_view begin, std::string_view end) : begin(begin), end(end) {}
  absl::Status Put(std::string_view key, std::string_view value) override {
    KVD_CHECK(key >= begin && key < end);
    if (!pairs.empty() && key <= pairs.back().first) {
      return absl::InvalidArgumentError("keys of staged pairs must rise");
    }
    pairs.emplace_back(key, value);
    return absl::OkStatus();
  }
  const std::string begin;
  const std::string end;
  std::vector<std::pair<std::string, std::string>> pairs;
};

}  // namespace

std::unique_ptr<Iterator> MemoryEngine::NewIterator(const IterateOptions& options) const {
  return std::make_unique<MemoryIterator>(&map_, &damaged_, options);
}

absl::StatusOr<std::optional<std::string>> MemoryEngine::Get(std::string_view key) const {
  if (!CanRead(damaged_, key)) return Unreadable(key);
  auto it = map_.find(key);
  if (it == map_.end()) return std::nullopt;
  return it->second;
}

std::unique_ptr<WriteBatch> MemoryEngine::NewBatch() { return std::make_unique<MemoryBatch>(); }

void MemoryEngine::Set(const std::string& key, std::optional<std::string> value) {
  auto it = map_.find(key);
  undo_.try_emplace(key, it == map_.end() ? std::nullopt : std::optional(it->second));
  damaged_.erase(key);
  if (value.has_value()) {
    map_[key] = *std::move(value);
  } else if (it != map_.end()) {
    map_.erase(it);
  }
}

void MemoryEngine::DeleteRange(std::string_view begin, std::string_view end) {
  std::vector<std::string> keys;
  for (auto it = map_.lower_bound(begin); it != map_.end() && it->first < end; ++it) {
    keys.push_back(it->first);
  }
  for (const std::string& key : keys) Set(key, std::nullopt);
}

absl::Status MemoryEngine::Write(WriteBatch& batch) {
  if (failed_) return absl::DataLossError("memory: a compaction met a pair that can't be read");
  for (Operation& op : static_cast<MemoryBatch&>(batch).operations) {
    switch (op.kind) {
      case Operation::kPut: Set(op.key, std::move(op.value)); break;
      case Operation::kDelete: Set(op.key, std::nullopt); break;
      case Operation::kDeleteRange: DeleteRange(op.key, op.value); break;
    }
  }
  return absl::OkStatus();
}

std::unique_ptr<View> MemoryEngine::Snapshot() { return std::make_unique<MemoryView>(*this); }

absl::StatusOr<std::optional<std::string>> MemoryEngine::GetPersisted(std::string_view key) const {
  auto it = undo_.find(key);
  if (it != undo_.end()) return it->second;
  return Get(key);
}

absl::Status MemoryEngine::Flush() {
  undo_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Staging>> MemoryEngine::NewStaging(std::string_view begin,
                                                                  std::string_view end) {
  return std::make_unique<MemoryStaging>(begin, end);
}

absl::Status MemoryEngine::Ingest(std::unique_ptr<Staging> staging) {
  if (failed_) return absl::DataLossError("memory: a compaction met a pair that can't be read");
  auto& staged = static_cast<MemoryStaging&>(*staging);
  // As the real engine: what is in memory and overlaps is flushed first.
  undo_.clear();
  DeleteRange(staged.begin, staged.end);
  undo_.clear();
  KVD_FAULT_POINT(kMadeWay);
  for (auto& [key, value] : staged.pairs) map_[key] = std::move(value);
  undo_.clear();
  return absl::OkStatus();
}

uint64_t MemoryEngine::DiskBytes() const {
  uint64_t bytes = 0;
  for (const auto& [key, value] : map_) bytes += key.size() + value.size();
  return bytes;
}

uint64_t MemoryEngine::ApproximateBytes(std::string_view begin, std::string_view end) const {
  uint64_t bytes = 0;
  for (auto it = map_.lower_bound(begin); it != map_.end() && it->first < end; ++it)
    bytes += it->first.size() + it->second.size();
  return bytes;
}

bool MemoryEngine::Damage(std::string_view key, Rot rot) {
  auto it = map_.find(key);
  if (it == map_.end() || undo_.contains(it->first) || damaged_.contains(it->first)) return false;
  if (rot == Rot::kFlippedBit) {
    if (it->second.empty()) return false;
    it->second.back() = static_cast<char>(it->second.back() ^ 1);
  }
  damaged_.emplace(it->first, rot);
  return true;
}

void MemoryEngine::Crash() {
  failed_ = false;
  auto undo = std::move(undo_);
  undo_.clear();
  for (auto& [key, value] : undo) {
    if (value.has_value()) {
      map_[key] = *std::move(value);
    } else {
      map_.erase(key);
    }
  }
}

void MemoryEngine::Collect(GcFilter filter, const std::function<bool()>& takes_part) {
  // Dropped pairs leave the durable state too: they are of no use to anyone.
  std::erase_if(map_, [&](const auto& pair) {
    if (failed_ || held_ || !takes_part()) return false;
    failed_ = !CanRead(damaged_, pair.first);
    if (failed_ || !filter.Drops(pair.first, pair.second)) return false;
    undo_.erase(pair.first);
    damaged_.erase(pair.first);
    return true;
  });
}

}  // namespace kvd::storage
