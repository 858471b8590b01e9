// unique and distinct: the different values of a key.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "mapreduce/functions/builtin.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

// Of all different values of one key.
constexpr size_t kValuesBytesMax = 64 << 20;

// The different values of a group, in order.
class ValueSet {
 public:
  // At most `limit` of them, the least, if it is not 0.
  absl::Status Collect(std::string_view key, Values* values, size_t limit) {
    values_.clear();
    bytes_ = 0;
    limit_ = limit;
    size_t compact_at = kValuesBytesMax / 2;
    std::string_view value;
    while (values->Next(&value)) {
      if (!values_.empty() && values_.back() == value) continue;
      values_.emplace_back(value);
      bytes_ += value.size() + sizeof(std::string);
      if (bytes_ < compact_at) continue;
      Compact();
      if (bytes_ > kValuesBytesMax) {
        return absl::ResourceExhaustedError(absl::StrCat("the values of key ", Printable(key),
                                                         " are more than ", kValuesBytesMax, " B"));
      }
      // The less room is left, the more often; never for every value.
      compact_at = bytes_ + (kValuesBytesMax - bytes_) / 2 + kValuesBytesMax / 16;
    }
    Compact();
    return values->status();
  }
  const std::vector<std::string>& values() const { return values_; }

 private:
  void Compact() {
    if (!std::is_sorted(values_.begin(), values_.end())) std::sort(values_.begin(), values_.end());
    values_.erase(std::unique(values_.begin(), values_.end()), values_.end());
    if (limit_ != 0 && values_.size() > limit_) values_.resize(limit_);
    bytes_ = 0;
    for (const std::string& value : values_) bytes_ += value.size() + sizeof(std::string);
  }

  std::vector<std::string> values_;
  size_t bytes_ = 0;
  size_t limit_ = 0;
};

class Unique final : public ReduceFunction {
 public:
  Unique(std::string separator, size_t limit) : separator_(std::move(separator)), limit_(limit) {}

  absl::Status Reduce(std::string_view key, Values* values, Emitter* out) override {
    absl::Status status = set_.Collect(key, values, limit_);
    if (!status.ok()) return status;
    list_.clear();
    for (const std::string& value : set_.values()) {
      if (&value != &set_.values().front()) list_.append(separator_);
      list_.append(value);
    }
    return out->Emit(key, list_);
  }

 private:
  const std::string separator_;
  const size_t limit_;
  ValueSet set_;
  std::string list_;
};

class Distinct final : public ReduceFunction {
 public:
  absl::Status Reduce(std::string_view key, Values* values, Emitter* out) override {
    absl::Status status = set_.Collect(key, values, 0);
    for (const std::string& value : set_.values()) {
      if (status.ok()) status = out->Emit(key, value);
    }
    return status;
  }

 private:
  ValueSet set_;
};

}  // namespace

std::vector<Builtin> ListBuiltins() {
  return {
      {"unique",
       "the key with its different values, sorted, as one list",
       {{"separator", "\n", "what stands between two values"},
        {"limit", "0", "how many values, the least, are kept; 0: all"}},
       nullptr,
       [](ParameterReader* p) {
         return std::make_unique<Unique>(p->Text("separator"), p->Number("limit", 0, 1'000'000));
       }},
      {"distinct",
       "the key with each of its different values, sorted; also to combine",
       {},
       nullptr,
       [](ParameterReader*) { return std::make_unique<Distinct>(); }},
  };
}

}  // namespace kvd::mapreduce
