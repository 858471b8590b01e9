#include "mapreduce/dataflow/merge.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace kvd::mapreduce {

uint64_t KeyPrefix(std::string_view key) {
  uint64_t prefix = 0;
  if (key.size() >= 8) {
    std::memcpy(&prefix, key.data(), 8);
  } else if (!key.empty()) {
    std::memcpy(&prefix, key.data(), key.size());
  }
  return __builtin_bswap64(prefix);
}

bool SourcePairs::Damaged(const char* what) {
  return Fail(absl::DataLossError(absl::StrCat(source_->Where(), ": ", what)));
}

bool SourcePairs::NextBlock() {
  last_key_ = key_;
  auto block = source_->Next();
  if (!block.ok()) return Fail(block.status());
  if (block->records == 0) return false;
  reader_.Begin(block->bytes, block->records);
  if (!reader_.Next()) return Damaged("the block's first pair is malformed");
  if (reader_.key() < last_key_) return Damaged("the block's keys come too late");
  return true;
}

bool SourcePairs::Next() {
  if (done_) return false;
  if (!reader_.Next() && !(reader_.ok() ? NextBlock() : Damaged("a pair is malformed"))) {
    done_ = true;
    return false;
  }
  key_ = reader_.key();
  value_ = reader_.value();
  return true;
}

MergedPairs::MergedPairs(std::vector<std::unique_ptr<BlockSource>> sources) {
  leaves_.resize(sources.size());
  for (size_t i = 0; i < sources.size(); ++i) {
    leaves_[i].pairs = std::make_unique<SourcePairs>(std::move(sources[i]));
  }
}

bool MergedPairs::Before(uint32_t a, uint32_t b) const {
  const Leaf& x = leaves_[a];
  const Leaf& y = leaves_[b];
  if (x.prefix != y.prefix) return x.prefix < y.prefix;
  if (x.done || y.done) return !x.done;
  int order = x.pairs->key().compare(y.pairs->key());
  return order != 0 ? order < 0 : a < b;
}

bool MergedPairs::Advance(uint32_t leaf) {
  Leaf& at = leaves_[leaf];
  if (at.pairs->Next()) {
    at.prefix = KeyPrefix(at.pairs->key());
    return true;
  }
  if (!at.pairs->status().ok()) return Fail(at.pairs->status());
  at.done = true;
  at.prefix = UINT64_MAX;
  return true;
}

// Plays the games below `node`, notes their losers and gives the winner.
uint32_t MergedPairs::Winner(uint32_t node) {
  auto leaves = static_cast<uint32_t>(leaves_.size());
  if (node >= leaves) return node - leaves;
  uint32_t a = Winner(2 * node);
  uint32_t b = Winner(2 * node + 1);
  if (Before(b, a)) std::swap(a, b);
  losers_[node] = b;
  return a;
}

bool MergedPairs::Start() {
  started_ = true;
  for (uint32_t i = 0; i < leaves_.size(); ++i) {
    if (!Advance(i)) return false;
  }
  losers_.resize(leaves_.size());
  losers_[0] = Winner(1);
  return true;
}

bool MergedPairs::Next() {
  if (leaves_.empty() || !status_.ok()) return false;
  if (!started_) {
    if (!Start()) return false;
  } else {
    uint32_t winner = losers_[0];
    if (leaves_[winner].done) return false;
    if (!Advance(winner)) return false;
    auto node = (static_cast<uint32_t>(leaves_.size()) + winner) / 2;
    for (; node > 0; node /= 2) {
      if (Before(losers_[node], winner)) std::swap(losers_[node], winner);
    }
    losers_[0] = winner;
  }
  const Leaf& best = leaves_[losers_[0]];
  if (best.done) return false;
  key_ = best.pairs->key();
  value_ = best.pairs->value();
  return true;
}

}  // namespace kvd::mapreduce
