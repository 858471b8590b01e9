// identity, invert, sample, sizes: functions that look at no more than a record's bytes.
#include <algorithm>
#include <bit>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "mapreduce/dataflow/decimal.h"
#include "mapreduce/dataflow/hash.h"
#include "mapreduce/functions/builtin.h"

namespace kvd::mapreduce {
namespace {

class IdentityMap final : public MapFunction {
 public:
  absl::Status Map(std::span<const Record> batch, Emitter* out) override {
    for (const Record& record : batch) {
      absl::Status status = out->Emit(record.key, record.value);
      if (!status.ok()) return Blame(status, "identity", record);
    }
    return absl::OkStatus();
  }
};

class IdentityReduce final : public ReduceFunction {
 public:
  absl::Status Reduce(std::string_view key, Values* values, Emitter* out) override {
    std::string_view value;
    while (values->Next(&value)) {
      absl::Status status = out->Emit(key, value);
      if (!status.ok()) return status;
    }
    return values->status();
  }
};

class Invert final : public MapFunction {
 public:
  absl::Status Map(std::span<const Record> batch, Emitter* out) override {
    for (const Record& record : batch) {
      absl::Status status = out->Emit(record.value, record.key);
      if (!status.ok()) return Blame(status, "invert", record);
    }
    return absl::OkStatus();
  }
};

// Takes a record if its key's hash is below the rate's share of all hashes.
class Sample final : public MapFunction {
 public:
  Sample(uint64_t below, uint64_t seed) : below_(below), seed_(seed) {}

  absl::Status Map(std::span<const Record> batch, Emitter* out) override {
    for (const Record& record : batch) {
      if (Hash64(record.key, kSampleSeed + seed_) >> 32 >= below_) continue;
      absl::Status status = out->Emit(record.key, record.value);
      if (!status.ok()) return Blame(status, "sample", record);
    }
    return absl::OkStatus();
  }

 private:
  const uint64_t below_;
  const uint64_t seed_;
};

std::unique_ptr<MapFunction> MakeSample(ParameterReader* p) {
  auto rate = ParseDecimal(p->Text("rate"));
  bool fits = rate.ok() && *rate >= 0 && *rate <= kDecimalUnit;
  if (!fits) p->Wrong("rate", "it must be a decimal number from 0 to 1");
  auto below = fits ? static_cast<uint64_t>((*rate << 32) / kDecimalUnit) : 0;
  return std::make_unique<Sample>(below, p->Number("seed", 0, UINT32_MAX));
}

// Counts by the power of two that a size is below or at.
class Sizes final : public MapFunction {
 public:
  absl::Status Map(std::span<const Record> batch, Emitter*) override {
    for (const Record& record : batch) {
      ++keys_[Bucket(record.key.size())];
      ++values_[Bucket(record.value.size())];
    }
    return absl::OkStatus();
  }
  absl::Status Finish(Emitter* out) override {
    absl::Status status = Emit("key", keys_, out);
    return status.ok() ? Emit("value", values_, out) : status;
  }

 private:
  static constexpr size_t kBuckets = 33;

  static size_t Bucket(size_t size) {
    return std::min<size_t>(size <= 1 ? size : std::bit_width(size - 1) + 1, kBuckets - 1);
  }
  static absl::Status Emit(const char* what, const int64_t (&counts)[kBuckets], Emitter* out) {
    for (size_t i = 0; i < kBuckets; ++i) {
      if (counts[i] == 0) continue;
      // Of one width, so that they sort as numbers do.
      std::string key =
          absl::StrFormat("%s <= %010u", what, i == 0 ? uint64_t{0} : uint64_t{1} << (i - 1));
      absl::Status status = out->EmitNumber(key, counts[i]);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  int64_t keys_[kBuckets] = {};
  int64_t values_[kBuckets] = {};
};

}  // namespace

std::vector<Builtin> BasicBuiltins() {
  return {
      {"identity",
       "the records as they are",
       {},
       [](ParameterReader*) { return std::make_unique<IdentityMap>(); },
       [](ParameterReader*) { return std::make_unique<IdentityReduce>(); }},
      {"invert",
       "the value with the record's key",
       {},
       [](ParameterReader*) { return std::make_unique<Invert>(); }},
      {"sample",
       "some of the records, always the same ones",
       {{"rate", nullptr, "which part of the keys: 0 to 1"},
        {"seed", "0", "another one takes others"}},
       MakeSample},
      {"sizes",
       "how many keys and values are of which size, in powers of two",
       {},
       [](ParameterReader*) { return std::make_unique<Sizes>(); }},
  };
}

}  // namespace kvd::mapreduce
