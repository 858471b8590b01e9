// Merges sorted sources into one stream by a tree of losers (Knuth, TAOCP 3, 5.4.1): about
// log2(sources) comparisons a pair, most of them of the keys' first eight bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mapreduce/dataflow/block.h"
#include "mapreduce/dataflow/block_source.h"
#include "mapreduce/dataflow/pairs.h"

namespace kvd::mapreduce {

// The first eight bytes as a number that orders as they do; shorter ones are filled with zeros.
uint64_t KeyPrefix(std::string_view key);

// The pairs of one source. DATA_LOSS naming file and offset if a block is malformed or out of
// order.
class SourcePairs final : public PairStream {
 public:
  explicit SourcePairs(std::unique_ptr<BlockSource> source) : source_(std::move(source)) {}
  bool Next() override;

 private:
  bool NextBlock();
  bool Damaged(const char* what);

  std::unique_ptr<BlockSource> source_;
  BlockReader reader_;
  // Of the block before; empty, like the least key, if there is none.
  std::string last_key_;
  bool done_ = false;
};

// Equal keys come in the order of their sources, and of one source in its own.
class MergedPairs final : public PairStream {
 public:
  explicit MergedPairs(std::vector<std::unique_ptr<BlockSource>> sources);
  bool Next() override;

 private:
  struct Leaf {
    // UINT64_MAX without a source that has more.
    uint64_t prefix = 0;
    std::unique_ptr<SourcePairs> pairs;
    bool done = false;
  };
  bool Before(uint32_t a, uint32_t b) const;
  bool Advance(uint32_t leaf);
  bool Start();
  uint32_t Winner(uint32_t node);

  std::vector<Leaf> leaves_;
  // losers_[0] is the winner; node n has children 2n and 2n + 1, leaf i is node leaves_.size() + i.
  std::vector<uint32_t> losers_;
  bool started_ = false;
};

}  // namespace kvd::mapreduce
