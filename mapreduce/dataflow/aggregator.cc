#include "mapreduce/dataflow/aggregator.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "mapreduce/dataflow/hyperloglog.h"
#include "mapreduce/dataflow/limits.h"
#include "mapreduce/dataflow/top_values.h"
#include "proto/bytes.h"
#include "proto/codec.h"
#include "proto/error.h"

namespace kvd::mapreduce {
namespace {

// Sums are below it in magnitude.
constexpr Decimal kSumLimit = static_cast<Decimal>(1) << 125;
// Of a state without values; no sum and no number is this.
constexpr Decimal kNoMin = kSumLimit;
constexpr Decimal kNoMax = -kSumLimit;

Decimal Number(const AggregateState& state) {
  return static_cast<Decimal>(static_cast<unsigned __int128>(state.high) << 64 | state.low);
}

void SetNumber(AggregateState* state, Decimal value) {
  state->low = static_cast<uint64_t>(value);
  state->high = static_cast<uint64_t>(static_cast<unsigned __int128>(value) >> 64);
}

template <class Object>
Object* ObjectOf(const AggregateState& state) {
  return static_cast<Object*>(state.object);
}

using Extreme = std::optional<std::string>;

absl::Status AddToSum(AggregateState* state, Decimal value) {
  Decimal sum = Number(*state) + value;
  if (sum <= -kSumLimit || sum >= kSumLimit) {
    std::string text;
    AppendDecimal(value, &text);
    return absl::InvalidArgumentError(
        absl::StrCat("value '", text, "' makes a SUM overflow: it is not below 4.2e28"));
  }
  SetNumber(state, sum);
  return absl::OkStatus();
}

absl::Status Malformed(std::string_view encoded) {
  return absl::DataLossError(
      absl::StrCat("an aggregator's state is malformed: ", Printable(encoded)));
}

}  // namespace

absl::Status Validate(const AggregatorSpec& spec) {
  if (spec.kind == AggregatorKind::kTopK && (spec.top < 1 || spec.top > kTopMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("top is ", spec.top, ", it must be 1 to ", kTopMax));
  }
  bool extreme = spec.kind == AggregatorKind::kMin || spec.kind == AggregatorKind::kMax;
  if (spec.bytes && !extreme) {
    return absl::InvalidArgumentError("only MIN and MAX can be of bytes");
  }
  return absl::OkStatus();
}

void Aggregator::Init(AggregateState* state) const {
  *state = {};
  switch (spec_.kind) {
    case AggregatorKind::kSum:
    case AggregatorKind::kCount: break;
    case AggregatorKind::kMin:
    case AggregatorKind::kMax:
      if (spec_.bytes) {
        state->object = new Extreme;
      } else {
        SetNumber(state, spec_.kind == AggregatorKind::kMin ? kNoMin : kNoMax);
      }
      break;
    case AggregatorKind::kTopK: state->object = new TopValues; break;
    case AggregatorKind::kHll: state->object = new HyperLogLog; break;
  }
}

void Aggregator::Destroy(AggregateState* state) const {
  if (!object_) return;
  if (spec_.kind == AggregatorKind::kTopK) {
    delete ObjectOf<TopValues>(*state);
  } else if (spec_.kind == AggregatorKind::kHll) {
    delete ObjectOf<HyperLogLog>(*state);
  } else {
    delete ObjectOf<Extreme>(*state);
  }
  *state = {};
}

absl::StatusOr<Decimal> Aggregator::NumberOf(std::string_view value) const {
  if (spec_.kind == AggregatorKind::kCount) return Decimal{kDecimalUnit};
  return ParseDecimal(value);
}

absl::Status Aggregator::AddDecimal(AggregateState* state, Decimal number) const {
  Decimal now = Number(*state);
  switch (spec_.kind) {
    case AggregatorKind::kMin: SetNumber(state, std::min(now, number)); break;
    case AggregatorKind::kMax: SetNumber(state, std::max(now, number)); break;
    default: return AddToSum(state, number);
  }
  return absl::OkStatus();
}

absl::Status Aggregator::Add(AggregateState* state, std::string_view value) const {
  if (spec_.kind == AggregatorKind::kTopK) {
    return ObjectOf<TopValues>(*state)->Add(value, spec_.top);
  }
  if (spec_.kind == AggregatorKind::kHll) {
    ObjectOf<HyperLogLog>(*state)->Add(value);
    return absl::OkStatus();
  }
  if (spec_.bytes) {
    Extreme* best = ObjectOf<Extreme>(*state);
    bool least = spec_.kind == AggregatorKind::kMin;
    if (!*best || (least ? value < **best : value > **best)) *best = value;
    return absl::OkStatus();
  }
  auto number = NumberOf(value);
  return number.ok() ? AddDecimal(state, *number) : number.status();
}

absl::Status Aggregator::Merge(AggregateState* state, std::string_view encoded) const {
  if (spec_.kind == AggregatorKind::kTopK) {
    return ObjectOf<TopValues>(*state)->Merge(encoded, spec_.top) ? absl::OkStatus()
                                                                  : Malformed(encoded);
  }
  if (spec_.kind == AggregatorKind::kHll) {
    return ObjectOf<HyperLogLog>(*state)->Merge(encoded) ? absl::OkStatus() : Malformed(encoded);
  }
  if (spec_.bytes) return Add(state, encoded);
  Decimal number;
  std::string_view rest = encoded;
  if (!DecodeDecimal(&rest, &number) || !rest.empty()) return Malformed(encoded);
  return AddDecimal(state, number);
}

void Aggregator::Encode(const AggregateState& state, std::string* out) const {
  out->clear();
  if (spec_.kind == AggregatorKind::kTopK) return ObjectOf<TopValues>(state)->Encode(out);
  if (spec_.kind == AggregatorKind::kHll) return ObjectOf<HyperLogLog>(state)->Encode(out);
  if (spec_.bytes) {
    *out = ObjectOf<Extreme>(state)->value_or("");
    return;
  }
  EncodeDecimal(Number(state), out);
}

void Aggregator::Render(const AggregateState& state, std::string* out) const {
  out->clear();
  if (spec_.kind == AggregatorKind::kTopK) return ObjectOf<TopValues>(state)->Render(out);
  if (spec_.kind == AggregatorKind::kHll) {
    absl::StrAppend(out, ObjectOf<HyperLogLog>(state)->Estimate());
    return;
  }
  if (spec_.bytes) {
    *out = ObjectOf<Extreme>(state)->value_or("");
    return;
  }
  AppendDecimal(Number(state), out);
}

size_t Aggregator::MemoryBytes(const AggregateState& state) const {
  if (!object_) return 0;
  // What the allocator keeps of its own is counted as 16 B.
  if (spec_.kind == AggregatorKind::kTopK) return ObjectOf<TopValues>(state)->MemoryBytes() + 16;
  if (spec_.kind == AggregatorKind::kHll) return ObjectOf<HyperLogLog>(state)->MemoryBytes() + 16;
  const Extreme& best = *ObjectOf<Extreme>(state);
  return sizeof(Extreme) + 16 + (best ? best->capacity() : 0);
}

}  // namespace kvd::mapreduce
