#include "mapreduce/dataflow/hash_output.h"

#include <algorithm>
#include <utility>

#include "mapreduce/dataflow/fold.h"
#include "mapreduce/dataflow/hash.h"
#include "mapreduce/dataflow/short_bytes.h"
#include "proto/check.h"

namespace kvd::mapreduce {
namespace {

constexpr uint32_t kSlotsMin = 1 << 10;
// Offsets are counted in 8 B, in 32 bits, and a pair may stand beyond the memory's end.
static_assert(kTaskMemoryMax + kPairBytesMax < (uint64_t{1} << 35));

// Of the slots, that are in use at most.
constexpr uint64_t Load(uint64_t slots) { return slots / 8 * 6; }

}  // namespace

HashOutput::HashOutput(MapOutputOptions options)
    : MapOutput(std::move(options)),
      aggregator_(*options_.aggregator),
      memory_max_(options_.memory_bytes),
      entries_(memory_max_ + kPairBytesMax + 4096),
      queue_(new Queued[kQueue]) {
  Grow();
}

HashOutput::~HashOutput() { Clear(); }

void HashOutput::Clear() {
  if (!aggregator_.fixed_size()) {
    for (size_t at = 0; at < used_;) {
      Entry* entry = At(static_cast<uint32_t>(at / 8));
      at += entry->size();
      aggregator_.Destroy(&entry->state);
    }
  }
  used_ = 0;
  count_ = 0;
  object_bytes_ = 0;
}

void HashOutput::NoteSlot(uint32_t hash, uint32_t offset) {
  auto* slots = reinterpret_cast<uint64_t*>(slots_.data());
  uint32_t at = hash & mask_;
  while (slots[at] != 0) at = (at + 1) & mask_;
  slots[at] = uint64_t{hash} << 32 | (offset + 1);
}

// To twice the slots, or from none to the first.
void HashOutput::Grow() {
  uint32_t slots = mask_ == 0 ? kSlotsMin : (mask_ + 1) * 2;
  // The old ones first: they are not needed, and need not be there beside the new.
  slots_ = Region();
  slots_ = Region(size_t{slots} * sizeof(uint64_t));
  mask_ = slots - 1;
  for (size_t at = 0; at < used_;) {
    auto offset = static_cast<uint32_t>(at / 8);
    Entry* entry = At(offset);
    NoteSlot(entry->hash, offset);
    at += entry->size();
  }
}

absl::StatusOr<HashOutput::Entry*> HashOutput::Insert(std::string_view key, uint32_t hash) {
  bool grow = count_ >= Load(uint64_t{mask_} + 1);
  // When it is sorted, its items take the place of the slots, and they are 16 B each.
  uint64_t slot_bytes =
      std::max<uint64_t>(slots_.size() * (grow ? 2 : 1), (uint64_t{count_} + 1) * sizeof(SortItem));
  size_t bytes = EntryBytes(key.size());
  if (count_ > 0 && used_ + bytes + slot_bytes + object_bytes_ > memory_max_) {
    absl::Status status = Spill();
    if (!status.ok()) return status;
  } else if (grow) {
    Grow();
  }
  auto offset = static_cast<uint32_t>(used_ / 8);
  Entry* entry = At(offset);
  entry->hash = hash;
  entry->key_bytes = static_cast<uint32_t>(key.size());
  CopyShort(entry->key(), key.data(), key.size());
  aggregator_.Init(&entry->state);
  if (!aggregator_.fixed_size()) object_bytes_ += aggregator_.MemoryBytes(entry->state);
  used_ += bytes;
  ++count_;
  NoteSlot(hash, offset);
  return entry;
}

HashOutput::Entry* HashOutput::Lookup(std::string_view key, uint32_t hash) {
  const auto* slots = reinterpret_cast<const uint64_t*>(slots_.data());
  for (uint32_t at = hash & mask_;; at = (at + 1) & mask_) {
    uint64_t slot = slots[at];
    if (slot == 0) return nullptr;
    if (slot >> 32 != hash) continue;
    Entry* entry = At(static_cast<uint32_t>(slot) - 1);
    if (entry->key_bytes == key.size() && EqualShort(entry->key(), key.data(), key.size())) {
      return entry;
    }
  }
}

absl::StatusOr<HashOutput::Entry*> HashOutput::Find(std::string_view key, uint32_t hash) {
  Entry* entry = Lookup(key, hash);
  if (entry != nullptr) return entry;
  return Insert(key, hash);
}

absl::Status HashOutput::Flush() {
  const auto* slots = reinterpret_cast<const uint64_t*>(slots_.data());
  for (size_t i = 0; i < queued_; ++i) {
    uint64_t slot = slots[queue_[i].hash & mask_];
    if (slot != 0) __builtin_prefetch(At(static_cast<uint32_t>(slot) - 1));
  }
  for (size_t i = 0; i < queued_; ++i) {
    const Queued& pair = queue_[i];
    auto entry = Find({pair.key, pair.key_bytes}, pair.hash);
    if (!entry.ok()) return entry.status();
    absl::Status status = aggregator_.AddDecimal(&(*entry)->state, pair.number);
    if (!status.ok()) return status;
  }
  queued_ = 0;
  return absl::OkStatus();
}

absl::Status HashOutput::AddNumber(std::string_view key, Decimal number) {
  auto hash = static_cast<uint32_t>(Hash64(key, kPartitionSeed));
  if (key.size() > sizeof(Queued::key)) {
    auto entry = Find(key, hash);
    return entry.ok() ? aggregator_.AddDecimal(&(*entry)->state, number) : entry.status();
  }
  __builtin_prefetch(slots_.data() + size_t{hash & mask_} * sizeof(uint64_t));
  Queued& pair = queue_[queued_++];
  pair.number = number;
  pair.hash = hash;
  pair.key_bytes = static_cast<uint32_t>(key.size());
  CopyShort(pair.key, key.data(), key.size());
  return queued_ == kQueue ? Flush() : absl::OkStatus();
}

absl::Status HashOutput::AddTo(Entry* entry, std::string_view value) {
  uint64_t before = aggregator_.MemoryBytes(entry->state);
  absl::Status status = aggregator_.Add(&entry->state, value);
  object_bytes_ += aggregator_.MemoryBytes(entry->state) - before;
  if (!status.ok() || used_ + slots_.size() + object_bytes_ <= memory_max_) return status;
  return Spill();
}

absl::Status HashOutput::Emit(std::string_view key, std::string_view value) {
  if (!failed().ok()) return failed();
  absl::Status status = Admit(key.size(), value.size());
  if (!status.ok()) return Fail(status);
  if (aggregator_.fixed_size()) {
    auto number = aggregator_.NumberOf(value);
    status = number.ok() ? AddNumber(key, *number) : number.status();
  } else {
    auto entry = Find(key, static_cast<uint32_t>(Hash64(key, kPartitionSeed)));
    status = entry.ok() ? AddTo(*entry, value) : entry.status();
  }
  return status.ok() ? status : Fail(status);
}

absl::Status HashOutput::EmitNumber(std::string_view key, int64_t value) {
  if (!aggregator_.fixed_size()) return Emitter::EmitNumber(key, value);
  if (!failed().ok()) return failed();
  absl::Status status = Admit(key.size(), sizeof(value));
  if (status.ok()) status = AddNumber(key, aggregator_.NumberOf(value));
  return status.ok() ? status : Fail(status);
}

absl::Status HashOutput::WriteMemory(BlockFileWriter* out) {
  // The slots go, the items take their place.
  slots_ = Region();
  mask_ = 0;
  Region memory(std::max<size_t>(count_, 1) * sizeof(SortItem));
  std::span<SortItem> items(reinterpret_cast<SortItem*>(memory.data()), count_);
  size_t at = 0;
  for (SortItem& item : items) {
    item.offset = static_cast<uint32_t>(at / 8);
    const Entry* entry = At(item.offset);
    auto partition = PartitionOf(entry->key_view());
    if (!partition.ok()) return partition.status();
    item.partition = *partition;
    at += entry->size();
  }
  SortItems(items, options_.partitions, *this);
  std::string state;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i + 8 < items.size()) __builtin_prefetch(At(items[i + 8].offset));
    const Entry* entry = At(items[i].offset);
    aggregator_.Encode(entry->state, &state);
    absl::Status status = out->Add(items[i].partition, entry->key_view(), state);
    if (!status.ok()) return status;
  }
  Clear();
  memory = Region();
  Grow();
  return absl::OkStatus();
}

Fold HashOutput::MergeFold() {
  return [this](PairStream* in, PairSink* out) {
    AggregatedPairs merged(in, &aggregator_, AggregatedPairs::Give::kState);
    return CopyPairs(&merged, out);
  };
}

}  // namespace kvd::mapreduce
