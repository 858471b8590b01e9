#include "mapreduce/dataflow/sort_output.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "mapreduce/dataflow/fold.h"
#include "mapreduce/dataflow/short_bytes.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

// Offsets of pairs are 32 bits.
constexpr uint64_t kSortMemoryMax = uint64_t{2} << 30;

// A pair: the lengths of key and value (4 B each), key, value.
constexpr size_t kLengths = 2 * sizeof(uint32_t);

// What a combine function gives goes to a sink, under the key that it was called with.
class CombineEmitter final : public Emitter {
 public:
  CombineEmitter(const PairStream* in, PairSink* out) : in_(in), out_(out) {}

  absl::Status Emit(std::string_view key, std::string_view value) override {
    if (in_ == nullptr || !has_key_ || key != key_) {
      return absl::InvalidArgumentError(absl::StrCat(
          "combine emits key ", Printable(key), ", which is not the key that it was called with"));
    }
    return out_->Add(key, value);
  }
  void Count(std::string_view, int64_t) override {}
  void Begin(std::string_view key) {
    key_ = key;
    has_key_ = true;
  }

 private:
  const PairStream* const in_;
  PairSink* const out_;
  std::string_view key_;
  bool has_key_ = false;
};

// Tells the emitter which key is combined.
class NotedReduce final : public ReduceFunction {
 public:
  NotedReduce(ReduceFunction* combine, CombineEmitter* emitter)
      : combine_(combine), emitter_(emitter) {}
  absl::Status Reduce(std::string_view key, Values* values, Emitter* out) override {
    emitter_->Begin(key);
    return combine_->Reduce(key, values, out);
  }

 private:
  ReduceFunction* const combine_;
  CombineEmitter* const emitter_;
};

absl::Status CombinePairs(PairStream* in, ReduceFunction* combine, PairSink* out) {
  CombineEmitter emitter(in, out);
  NotedReduce noted(combine, &emitter);
  return ReducePairs(in, &noted, &emitter);
}

}  // namespace

// The sorted pairs of one partition.
class SortOutput::MemoryPairs final : public PairStream {
 public:
  MemoryPairs(const SortOutput& output, std::span<const SortItem> items)
      : output_(output), items_(items) {}
  bool Next() override {
    if (next_ == items_.size()) return false;
    Record pair = output_.PairAt(items_[next_++].offset);
    key_ = pair.key;
    value_ = pair.value;
    return true;
  }

 private:
  const SortOutput& output_;
  const std::span<const SortItem> items_;
  size_t next_ = 0;
};

SortOutput::SortOutput(MapOutputOptions options)
    : MapOutput(std::move(options)),
      memory_max_(std::min(options_.memory_bytes, kSortMemoryMax) / 16 * 16),
      region_(memory_max_ + kPairBytesMax + 4096) {}

Record SortOutput::PairAt(uint32_t offset) const {
  const char* at = region_.data() + offset;
  uint32_t lengths[2];
  std::memcpy(lengths, at, kLengths);
  return {{at + kLengths, lengths[0]}, {at + kLengths + lengths[0], lengths[1]}};
}

std::string_view SortOutput::KeyAt(uint32_t offset) const { return PairAt(offset).key; }

absl::Status SortOutput::Emit(std::string_view key, std::string_view value) {
  if (!failed().ok()) return failed();
  absl::Status status = Admit(key.size(), value.size());
  if (!status.ok()) return Fail(status);
  size_t bytes = kLengths + key.size() + value.size();
  if (count_ > 0 && used_ + bytes + (size_t{count_} + 1) * sizeof(SortItem) > memory_max_) {
    status = Spill();
    if (!status.ok()) return Fail(status);
  }
  auto partition = PartitionOf(key);
  if (!partition.ok()) return Fail(partition.status());
  char* at = region_.data() + used_;
  uint32_t lengths[2] = {static_cast<uint32_t>(key.size()), static_cast<uint32_t>(value.size())};
  std::memcpy(at, lengths, kLengths);
  at += kLengths;
  CopyShort(at, key.data(), key.size());
  CopyShort(at + key.size(), value.data(), value.size());
  ++count_;
  auto* items = reinterpret_cast<SortItem*>(region_.end());
  *(items - count_) = {0, *partition, static_cast<uint32_t>(used_)};
  used_ += bytes;
  return absl::OkStatus();
}

absl::Status SortOutput::WriteCombined(BlockFileWriter* out,
                                       std::span<const SortItem> items) const {
  for (size_t begin = 0; begin < items.size();) {
    uint32_t partition = items[begin].partition;
    size_t end = begin;
    while (end < items.size() && items[end].partition == partition) ++end;
    MemoryPairs pairs(*this, items.subspan(begin, end - begin));
    PartitionSink sink(out, partition);
    absl::Status status = CombinePairs(&pairs, options_.combine, &sink);
    if (!status.ok()) return status;
    begin = end;
  }
  return absl::OkStatus();
}

absl::Status SortOutput::WriteMemory(BlockFileWriter* out) {
  std::span<SortItem> items(reinterpret_cast<SortItem*>(region_.end()) - count_, count_);
  SortItems(items, options_.partitions, *this);
  absl::Status status;
  if (options_.combine != nullptr) {
    status = WriteCombined(out, items);
  } else {
    for (size_t i = 0; i < items.size() && status.ok(); ++i) {
      if (i + 8 < items.size()) __builtin_prefetch(region_.data() + items[i + 8].offset);
      Record pair = PairAt(items[i].offset);
      status = out->Add(items[i].partition, pair.key, pair.value);
    }
  }
  used_ = 0;
  count_ = 0;
  return status;
}

Fold SortOutput::MergeFold() {
  if (options_.combine == nullptr) return CopyPairs;
  return [this](PairStream* in, PairSink* out) { return CombinePairs(in, options_.combine, out); };
}

absl::Status SortOutput::FinishFunctions() {
  if (options_.combine == nullptr) return absl::OkStatus();
  CombineEmitter nothing(nullptr, nullptr);
  return options_.combine->Finish(&nothing);
}

}  // namespace kvd::mapreduce
