#include "tests/mapreduce/coordinator/model.h"

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace kvd::jobs {
namespace {

uint64_t Fnv(std::string_view bytes, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325 ^ seed;
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash ^ hash >> 29;
}

using Emit = std::function<void(const std::string&, const std::string&)>;

bool IsBad(const std::string& value) { return value.find("BAD") != std::string::npos; }

// The functions of the simulator's jobs, by name.
void MapRecord(const JobSpec& spec, const std::string& key, const std::string& value,
               const Emit& emit) {
  if (spec.map.text == "words") {
    size_t begin = 0;
    while (begin < value.size()) {
      size_t end = std::min(value.find(' ', begin), value.size());
      if (end > begin) emit(value.substr(begin, end - begin), "1");
      begin = end + 1;
    }
  } else if (spec.map.text == "invert") {
    emit(value, key);
  } else {
    emit(key, value);
  }
}

uint32_t PartitionOf(const JobSpec& spec, const std::string& key, uint32_t partitions,
                     const std::vector<std::string>& splitters) {
  if (partitions <= 1) return 0;
  if (spec.order != Order::kTotal) return static_cast<uint32_t>(Fnv(key, 7) % partitions);
  auto it = std::upper_bound(splitters.begin(), splitters.end(), key);
  return static_cast<uint32_t>(it - splitters.begin());
}

// Values of neighbours with one key become their sum.
Pairs Sum(const Pairs& pairs) {
  Pairs out;
  for (const auto& [key, value] : pairs) {
    if (!out.empty() && out.back().first == key) {
      out.back().second = std::to_string(std::stoll(out.back().second) + std::stoll(value));
    } else {
      out.emplace_back(key, value);
    }
  }
  return out;
}

void SortByKey(Pairs* pairs) {
  std::stable_sort(pairs->begin(), pairs->end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
}

void Measure(ModelFile* file) {
  uint64_t number = 0;
  for (const Pairs& partition : file->partitions) {
    ++number;
    for (const auto& [key, value] : partition) {
      file->bytes += key.size() + value.size();
      ++file->records;
      file->hash.high = Fnv(key, file->hash.high + number);
      file->hash.low = Fnv(value, file->hash.low ^ file->hash.high);
    }
  }
}

}  // namespace

Pairs ModelData::Read(const KeyRange& range, Timestamp at) const {
  Pairs out;
  for (auto it = rows_.lower_bound(range.start); it != rows_.end(); ++it) {
    if (!range.end.empty() && it->first >= range.end) break;
    auto version = it->second.upper_bound(at);
    if (version == it->second.begin()) continue;
    --version;
    if (version->second) out.emplace_back(it->first, *version->second);
  }
  return out;
}

void ModelData::Forget(Timestamp safe_point) {
  if (safe_point <= safe_point_) return;
  safe_point_ = safe_point;
  for (auto& [key, versions] : rows_) {
    auto newest = versions.upper_bound(safe_point);
    if (newest != versions.begin()) versions.erase(versions.begin(), std::prev(newest));
  }
}

std::optional<ModelFile> RunMap(const JobSpec& spec, const Pairs& records, uint32_t partitions,
                                const std::vector<std::string>& splitters,
                                const std::vector<std::string>& skip, BadRecord* bad) {
  ModelFile file;
  file.partitions.resize(partitions);
  for (const auto& [key, value] : records) {
    if (std::find(skip.begin(), skip.end(), key) != skip.end()) continue;
    if (IsBad(value)) {
      *bad = {key, "no words"};
      return std::nullopt;
    }
    ++file.counters["records"];
    MapRecord(spec, key, value, [&](const std::string& k, const std::string& v) {
      ++file.counters["emitted"];
      file.partitions[PartitionOf(spec, k, partitions, splitters)].emplace_back(k, v);
    });
  }
  for (Pairs& partition : file.partitions) {
    SortByKey(&partition);
    if (spec.aggregator == Aggregator::kSum) partition = Sum(partition);
  }
  Measure(&file);
  return file;
}

ModelFile RunReduce(const JobSpec& spec, const std::vector<const Pairs*>& sources) {
  ModelFile file;
  Pairs all;
  for (const Pairs* source : sources) all.insert(all.end(), source->begin(), source->end());
  SortByKey(&all);
  if (spec.aggregator == Aggregator::kSum) all = Sum(all);
  if (spec.reduce.text == "list") {
    Pairs lists;
    for (const auto& [key, value] : all) {
      if (!lists.empty() && lists.back().first == key) {
        lists.back().second += "," + value;
      } else {
        lists.emplace_back(key, value);
      }
    }
    all = std::move(lists);
  }
  file.counters["out"] = static_cast<int64_t>(all.size());
  file.partitions = {std::move(all)};
  Measure(&file);
  return file;
}

std::vector<SampledKey> RunSample(const JobSpec& spec, const Pairs& records) {
  std::vector<SampledKey> sample;
  for (const auto& [key, value] : records) {
    if (IsBad(value)) continue;
    MapRecord(spec, key, value, [&](const std::string& k, const std::string&) {
      if (sample.size() < 20) sample.push_back({Fnv(k, sample.size()), k});
    });
  }
  return sample;
}

std::vector<std::string> ModelSplitters(const std::vector<std::string>& keys, uint32_t partitions) {
  std::vector<std::string> out;
  for (uint32_t i = 1; i < partitions && !keys.empty(); ++i) {
    const std::string& key = keys[keys.size() * i / partitions];
    if (out.empty() || out.back() < key) out.push_back(key);
  }
  return out;
}

Reference RunAtOnce(const JobSpec& spec, const Pairs& records) {
  Reference reference;
  Pairs good;
  for (const auto& record : records) {
    if (IsBad(record.second)) {
      ++reference.bad;
    } else {
      good.push_back(record);
    }
  }
  BadRecord bad;
  auto mapped = RunMap(spec, good, 1, {}, {}, &bad);
  KVD_CHECK(mapped.has_value());
  reference.counters = mapped->counters;
  if (IsDirect(spec)) {
    reference.rows = mapped->partitions[0];
    return reference;
  }
  ModelFile reduced = RunReduce(spec, {&mapped->partitions[0]});
  reference.rows = reduced.partitions[0];
  reference.counters["out"] = reduced.counters["out"];
  return reference;
}

}  // namespace kvd::jobs
