// join-sides and join-pairs: rows of two prefixes that belong together.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "mapreduce/functions/builtin.h"
#include "mapreduce/functions/field_reader.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

// What stands in front of a value on its way to join-pairs.
constexpr char kLeft = 'L';
constexpr char kRight = 'R';
// Of the values of one key.
constexpr size_t kValuesBytesMax = 64 << 20;

class JoinSides final : public MapFunction {
 public:
  struct Side {
    char tag;
    std::string prefix;
    // Null: the key behind the prefix is what rows are joined on.
    std::unique_ptr<FieldReader> on;
  };
  // The one with the longer prefix first, in case it begins with the other.
  JoinSides(Side first, Side second) : sides_{std::move(first), std::move(second)} {}

  absl::Status Map(std::span<const Record> batch, Emitter* out) override {
    for (const Record& record : batch) {
      absl::Status status = MapOne(record, out);
      if (!status.ok()) return Blame(status, "join-sides", record);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status MapOne(const Record& record, Emitter* out) {
    for (const Side& side : sides_) {
      if (record.key.substr(0, side.prefix.size()) != side.prefix) continue;
      std::string_view key = record.key.substr(side.prefix.size());
      if (side.on != nullptr) {
        absl::Status status = side.on->Read(record, &fields_);
        if (!status.ok()) return status;
        key = fields_[0];
        if (key.data() == nullptr) {
          out->Count("rows_without_field", 1);
          return absl::OkStatus();
        }
      }
      value_.assign(1, side.tag);
      value_.append(record.value);
      return out->Emit(key, value_);
    }
    out->Count("rows_of_neither_side", 1);
    return absl::OkStatus();
  }

  const Side sides_[2];
  std::string value_;
  std::vector<std::string_view> fields_;
};

std::unique_ptr<MapFunction> MakeJoinSides(ParameterReader* p) {
  auto side = [p](char tag, const char* prefix, const char* on) {
    JoinSides::Side made{tag, p->Text(prefix), nullptr};
    if (!p->Text(on).empty()) made.on = MakeFieldReader(p, {on});
    return made;
  };
  JoinSides::Side left = side(kLeft, "left", "left-on");
  JoinSides::Side right = side(kRight, "right", "right-on");
  if (left.prefix == right.prefix) p->Wrong("right", "it must not be that of the left side");
  bool left_first = left.prefix.size() > right.prefix.size();
  return left_first ? std::make_unique<JoinSides>(std::move(left), std::move(right))
                    : std::make_unique<JoinSides>(std::move(right), std::move(left));
}

class JoinPairs final : public ReduceFunction {
 public:
  JoinPairs(bool keep_left, std::string separator)
      : keep_left_(keep_left), separator_(std::move(separator)) {}

  absl::Status Reduce(std::string_view key, Values* values, Emitter* out) override {
    absl::Status status = Collect(key, values);
    if (!status.ok()) return status;
    if (right_.empty() && keep_left_) right_.emplace_back();
    for (const std::string& left : left_) {
      for (const std::string& right : right_) {
        pair_.assign(left).append(separator_).append(right);
        status = out->Emit(key, pair_);
        if (!status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Collect(std::string_view key, Values* values) {
    left_.clear();
    right_.clear();
    size_t bytes = 0;
    std::string_view value;
    while (values->Next(&value)) {
      bytes += value.size() + sizeof(std::string);
      if (bytes > kValuesBytesMax) {
        return absl::ResourceExhaustedError(absl::StrCat("the rows to join on key ", Printable(key),
                                                         " are more than ", kValuesBytesMax, " B"));
      }
      char tag = value.empty() ? '\0' : value[0];
      if (tag != kLeft && tag != kRight) {
        return absl::InvalidArgumentError(
            absl::StrCat("a value of key ", Printable(key), " is not one that join-sides gives"));
      }
      (tag == kLeft ? left_ : right_).emplace_back(value.substr(1));
    }
    return values->status();
  }

  const bool keep_left_;
  const std::string separator_;
  std::vector<std::string> left_;
  std::vector<std::string> right_;
  std::string pair_;
};

}  // namespace

std::vector<Builtin> JoinBuiltins() {
  std::vector<ParameterInfo> sides = {
      {"left", nullptr, "what keys of the left side begin with"},
      {"right", nullptr, "what keys of the right side begin with"},
      {"left-on", "", "the left rows' field to join on; none: the key behind the prefix"},
      {"right-on", "", "the right rows' field to join on; none: the key behind the prefix"}};
  for (const ParameterInfo& parameter : FieldParameters()) sides.push_back(parameter);
  return {
      {"join-sides", "what rows of two prefixes are joined on, with side and value", sides,
       MakeJoinSides},
      {"join-pairs",
       "each left value with each right value of the key",
       {{"kind", "inner", "inner, or left: left values also without a right one"},
        {"separator", "\t", "what stands between the two values"}},
       nullptr,
       [](ParameterReader* p) {
         return std::make_unique<JoinPairs>(p->Choice("kind", {"inner", "left"}) == 1,
                                            p->Text("separator"));
       }},
  };
}

}  // namespace kvd::mapreduce
