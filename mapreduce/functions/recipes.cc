#include "mapreduce/functions/recipes.h"

namespace kvd::mapreduce {

std::vector<Recipe> Recipes() {
  using Order = Recipe::Order;
  constexpr AggregatorSpec kSum{AggregatorKind::kSum};
  constexpr AggregatorSpec kDifferent{AggregatorKind::kHll};
  return {
      {"copy", "the records themselves", "identity"},
      {"count-distinct", "about how many different values of a field each key has", "fields",
       nullptr, kDifferent, nullptr, Order::kWithinPartition},
      {"grep", "lines that match", "grep"},
      {"group-by", "the sum of a field for each value of another; or another aggregator", "fields",
       nullptr, kSum, nullptr, Order::kWithinPartition},
      {"inverted-index",
       "the keys of the records that a word is in",
       "word-keys",
       "distinct",
       {},
       "unique",
       Order::kWithinPartition},
      {"join",
       "rows of two prefixes that belong together",
       "join-sides",
       nullptr,
       {},
       "join-pairs",
       Order::kWithinPartition},
      {"sample", "some of the records", "sample"},
      {"sizes", "how many keys and values are of which size", "sizes", nullptr, kSum, nullptr,
       Order::kTotal},
      {"sort-by-value",
       "value and key of each record, sorted by value",
       "invert",
       nullptr,
       {},
       nullptr,
       Order::kTotal},
      {"word-count", "how often each word comes", "words", nullptr, kSum, nullptr,
       Order::kWithinPartition},
  };
}

}  // namespace kvd::mapreduce
