// What becomes of all values of one key when nothing but their sum, count, extreme and the like is
// wanted. A state is folded from values and from other states; in which order, and how they were
// split over tasks, never shows in its stored form: adding is associative and commutative to the
// byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mapreduce/dataflow/decimal.h"

namespace kvd::mapreduce {

enum class AggregatorKind : uint8_t { kSum, kCount, kMin, kMax, kTopK, kHll };

struct AggregatorSpec {
  AggregatorKind kind = AggregatorKind::kSum;
  // kTopK: how many, 1 to kTopMax.
  uint32_t top = 0;
  // kMin, kMax: of the values as bytes, not of numbers.
  bool bytes = false;
};

// INVALID_ARGUMENT naming the field if the spec is none.
absl::Status Validate(const AggregatorSpec& spec);

// The state of one key, owned by whoever called Init until Destroy. Moved by copying its bytes.
struct alignas(8) AggregateState {
  union {
    // The lower half of a decimal number,
    uint64_t low = 0;
    // or what is not of fixed size.
    void* object;
  };
  uint64_t high = 0;
};

// Pure and thread-safe; states are used by one thread each.
class Aggregator {
 public:
  // Requires: Validate(spec) is OK.
  explicit Aggregator(const AggregatorSpec& spec) : spec_(spec) {}

  void Init(AggregateState* state) const;
  void Destroy(AggregateState* state) const;
  // INVALID_ARGUMENT naming the value if it is not one of the aggregator's: the state is unchanged.
  absl::Status Add(AggregateState* state, std::string_view value) const;
  // Adding in two steps, for those of fixed size: what a value is to the state, and adding that.
  absl::StatusOr<Decimal> NumberOf(std::string_view value) const;
  Decimal NumberOf(int64_t value) const {
    return spec_.kind == AggregatorKind::kCount ? kDecimalUnit : Decimal{value} * kDecimalUnit;
  }
  absl::Status AddDecimal(AggregateState* state, Decimal number) const;
  // Takes in a stored form. DATA_LOSS if it is malformed: the state is good for nothing but
  // Destroy.
  absl::Status Merge(AggregateState* state, std::string_view encoded) const;
  // Replaces `out` by the stored form, which depends only on which values were added, and how
  // often.
  void Encode(const AggregateState& state, std::string* out) const;
  // Replaces `out` by the final value: a number as its shortest decimal text; kTopK: see TopValues.
  void Render(const AggregateState& state, std::string* out) const;
  // Bytes of a state beside AggregateState itself.
  size_t MemoryBytes(const AggregateState& state) const;

  bool fixed_size() const { return !object_; }

 private:
  AggregatorSpec spec_;
  bool object_ =
      spec_.kind == AggregatorKind::kTopK || spec_.kind == AggregatorKind::kHll || spec_.bytes;
};

}  // namespace kvd::mapreduce
