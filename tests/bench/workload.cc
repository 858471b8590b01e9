#include "tests/bench/workload.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/bytes.h"

namespace kvd::bench {

const char* NameOf(Kind kind) {
  static constexpr const char* kNames[] = {"get", "stale-get", "put", "scan", "read-modify-write"};
  return kNames[static_cast<size_t>(kind)];
}

absl::StatusOr<Workload::Mix> Workload::MixOf(std::string_view name) {
  if (name == "get") return Mix{.get = 1000};
  if (name == "stale-get") return Mix{.stale_get = 1000};
  if (name == "put") return Mix{.put = 1000};
  if (name == "load") return Mix{.put = 1000, .in_order = true};
  if (name == "scan") return Mix{.scan = 1000};
  if (name == "ycsb-a") return Mix{.get = 500, .put = 500, .zipfian = true};
  if (name == "ycsb-b") return Mix{.get = 950, .put = 50, .zipfian = true};
  if (name == "ycsb-c") return Mix{.get = 1000, .zipfian = true};
  if (name == "ycsb-d") return Mix{.get = 950, .insert = 50, .latest = true};
  if (name == "ycsb-e") return Mix{.insert = 50, .scan = 950, .zipfian = true, .short_scans = true};
  if (name == "ycsb-f") return Mix{.get = 500, .modify = 500, .zipfian = true};
  return absl::InvalidArgumentError(absl::StrCat("--workload ", ToAbsl(name),
                                                 " is not one of: put, get, stale-get, scan, load, "
                                                 "ycsb-a, ycsb-b, ycsb-c, ycsb-d, ycsb-e, ycsb-f"));
}

absl::StatusOr<Workload> Workload::Make(const WorkloadOptions& options) {
  auto mix = MixOf(options.name);
  if (!mix.ok()) return mix.status();
  return Workload(options, *mix);
}

Workload::Workload(const WorkloadOptions& options, const Mix& mix)
    : options_(options),
      mix_(mix),
      random_(options.seed),
      inserted_(options.keys),
      next_in_order_(options.first_key) {
  mix_.zipfian = mix.zipfian || options.zipfian;
  bytes_.resize(options.value_bytes_max + 4096);
  // Not compressible, as most values that are worth a database are not much.
  for (char& c : bytes_) c = static_cast<char>(random_.Next());
  if (!mix_.zipfian && !mix_.latest) return;
  for (uint64_t i = 1; i <= options.keys; ++i)
    zeta_ += 1 / std::pow(static_cast<double>(i), theta_);
  double zeta2 = 1 + std::pow(0.5, theta_);
  alpha_ = 1 / (1 - theta_);
  eta_ = (1 - std::pow(2.0 / static_cast<double>(options.keys), 1 - theta_)) / (1 - zeta2 / zeta_);
}

std::string Workload::KeyOf(uint64_t n) { return absl::StrFormat("bench/%012d", n); }

uint64_t Workload::Zipf() {
  double u = static_cast<double>(random_.Next() >> 11) * 0x1.0p-53;
  double uz = u * zeta_;
  if (uz < 1) return 0;
  if (uz < 1 + std::pow(0.5, theta_)) return 1;
  return static_cast<uint64_t>(static_cast<double>(options_.keys) *
                               std::pow(eta_ * u - eta_ + 1, alpha_));
}

uint64_t Workload::Pick() {
  if (mix_.latest) return inserted_ - 1 - std::min(Zipf(), inserted_ - 1);
  if (!mix_.zipfian) return random_.Below(inserted_);
  // Popular keys lie all over the range.
  return Zipf() * 0x9E3779B97F4A7C15ull % options_.keys;
}

std::string Workload::Value() {
  uint64_t size = random_.Between(options_.value_bytes_min, options_.value_bytes_max);
  return bytes_.substr(random_.Below(bytes_.size() - size), size);
}

Operation Workload::Next() {
  Operation op;
  auto pick = static_cast<uint32_t>(random_.Below(1000));
  auto is = [&pick](uint32_t share) {
    if (pick < share) return true;
    pick -= share;
    return false;
  };
  if (is(mix_.insert)) {
    op.kind = Kind::kPut;
    op.key = KeyOf(inserted_++);
    op.value = Value();
    return op;
  }
  op.key = KeyOf(mix_.in_order ? next_in_order_++ % options_.keys : Pick());
  if (is(mix_.get)) return op;
  if (is(mix_.stale_get)) {
    op.kind = Kind::kStaleGet;
  } else if (is(mix_.put)) {
    op.kind = Kind::kPut;
    op.value = Value();
  } else if (is(mix_.scan)) {
    op.kind = Kind::kScan;
    op.rows = mix_.short_scans ? static_cast<uint32_t>(random_.Between(1, options_.scan_rows))
                               : options_.scan_rows;
  } else {
    op.kind = Kind::kReadModifyWrite;
    op.value = Value();
  }
  return op;
}

}  // namespace kvd::bench
