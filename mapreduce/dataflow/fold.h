// What happens to the pairs of one key on their way: their aggregate states become one, or a reduce
// function is called with them.
#pragma once

#include <string>
#include <string_view>

#include "mapreduce/dataflow/aggregator.h"
#include "mapreduce/dataflow/pairs.h"
#include "mapreduce/function.h"

namespace kvd::mapreduce {

// One pair for each key of `in`, whose values are stored states: their union, as a state or as the
// final value. Used by one thread.
class AggregatedPairs final : public PairStream {
 public:
  enum class Give { kState, kFinal };
  // `in` and `aggregator` outlive it.
  AggregatedPairs(PairStream* in, const Aggregator* aggregator, Give give)
      : in_(in), aggregator_(aggregator), give_(give) {}
  bool Next() override;

 private:
  bool Collect();

  PairStream* const in_;
  const Aggregator* const aggregator_;
  const Give give_;
  bool started_ = false;
  bool more_ = false;
  std::string group_;
  std::string out_;
};

// Calls `reduce` with each key of `in` and its values; not its Finish.
absl::Status ReducePairs(PairStream* in, ReduceFunction* reduce, Emitter* out);

// Adds what is left of `in` to `sink`.
absl::Status CopyPairs(PairStream* in, PairSink* sink);

}  // namespace kvd::mapreduce
