#include "mapreduce/dataflow/fold.h"

namespace kvd::mapreduce {
namespace {

// The values of the key that `in` stands at.
class GroupValues final : public Values {
 public:
  GroupValues(PairStream* in, std::string_view key) : in_(in), key_(key) {}

  bool Next(std::string_view* value) override {
    if (at_end_) return false;
    if (!first_ && !Advance()) return false;
    first_ = false;
    *value = in_->value();
    return true;
  }
  absl::Status status() const override { return in_->status(); }
  // Goes behind the group. Whether there is another one.
  bool Skip() {
    while (!at_end_ && Advance()) {
    }
    return more_;
  }

 private:
  bool Advance() {
    more_ = in_->Next();
    at_end_ = !more_ || in_->key() != key_;
    return !at_end_;
  }

  PairStream* const in_;
  const std::string_view key_;
  bool first_ = true;
  bool at_end_ = false;
  bool more_ = false;
};

}  // namespace

bool AggregatedPairs::Collect() {
  AggregateState state;
  aggregator_->Init(&state);
  absl::Status merged;
  do {
    merged = aggregator_->Merge(&state, in_->value());
    more_ = merged.ok() && in_->Next();
  } while (more_ && in_->key() == group_);
  if (merged.ok()) merged = in_->status();
  if (merged.ok()) {
    give_ == Give::kState ? aggregator_->Encode(state, &out_) : aggregator_->Render(state, &out_);
  }
  aggregator_->Destroy(&state);
  return merged.ok() || Fail(merged);
}

bool AggregatedPairs::Next() {
  if (!started_) {
    started_ = true;
    more_ = in_->Next();
    if (!in_->status().ok()) return Fail(in_->status());
  }
  if (!more_) return false;
  group_ = in_->key();
  if (!Collect()) return more_ = false;
  key_ = group_;
  value_ = out_;
  return true;
}

absl::Status ReducePairs(PairStream* in, ReduceFunction* reduce, Emitter* out) {
  std::string group;
  bool more = in->Next();
  while (more) {
    group = in->key();
    GroupValues values(in, group);
    absl::Status status = reduce->Reduce(group, &values, out);
    // A function that overlooks that its values ended too early changes nothing of that.
    if (!in->status().ok()) return in->status();
    if (!status.ok()) return status;
    more = values.Skip();
  }
  return in->status();
}

absl::Status CopyPairs(PairStream* in, PairSink* sink) {
  while (in->Next()) {
    absl::Status status = sink->Add(in->key(), in->value());
    if (!status.ok()) return status;
  }
  return in->status();
}

}  // namespace kvd::mapreduce
