#include "tests/mapreduce/functions_testing.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "mapreduce/functions/registry.h"
#include "proto/check.h"
#include "tests/scratch_directory.h"

namespace kvd::mapreduce {
namespace {

std::vector<Record> Views(const Pairs& records, size_t begin, size_t end) {
  std::vector<Record> views;
  for (size_t i = begin; i < end; ++i) views.push_back({records[i].first, records[i].second});
  return views;
}

Recipe RecipeOf(const std::string& name) {
  for (const Recipe& recipe : Recipes()) {
    if (name == recipe.name) return recipe;
  }
  KVD_CHECK_MSG(false, name);
}

}  // namespace

absl::StatusOr<Pairs> MapPairs(std::string_view function, const Parameters& parameters,
                               const Pairs& records, Counters* counters) {
  auto map = MakeMap(function, parameters);
  if (!map.ok()) return map.status();
  KeepingEmitter emitter;
  absl::Status status = (*map)->Map(Views(records, 0, records.size()), &emitter);
  if (status.ok()) status = (*map)->Finish(&emitter);
  if (!status.ok()) return status;
  if (counters != nullptr) *counters = emitter.counters;
  return emitter.pairs;
}

Pairs Mapped(std::string_view function, const Parameters& parameters, const Pairs& records,
             Counters* counters) {
  auto pairs = MapPairs(function, parameters, records, counters);
  KVD_CHECK_MSG(pairs.ok(), std::string(pairs.status().message()));
  return *std::move(pairs);
}

absl::StatusOr<Pairs> RunRecipe(const std::string& name, const Parameters& map_parameters,
                                const Parameters& reduce_parameters, const Pairs& records,
                                size_t slice_records, uint64_t memory_bytes) {
  Recipe recipe = RecipeOf(name);
  // Parameters that are wrong are the test's error.
  KVD_CHECK(MakeMap(recipe.map, map_parameters).ok());
  ScratchDirectory scratch;
  LocalJob job;
  job.directory = scratch.path();
  job.memory_bytes = memory_bytes;
  job.map = [&] { return *MakeMap(recipe.map, map_parameters); };
  if (recipe.combine != nullptr) job.combine = [&] { return *MakeReduce(recipe.combine, {}); };
  if (recipe.reduce != nullptr) {
    job.reduce = [&] { return *MakeReduce(recipe.reduce, reduce_parameters); };
    job.reduce_keeps_order = FindFunction(Role::kReduce, recipe.reduce)->keeps_order;
  }
  job.aggregator = recipe.aggregator;
  job.total_order = recipe.order == Recipe::Order::kTotal;
  std::vector<Slice> slices;
  for (size_t begin = 0; begin < records.size(); begin += slice_records) {
    slices.push_back([&records, begin, slice_records](const auto& each) {
      size_t end = std::min(begin + slice_records, records.size());
      // Batches that end anywhere.
      for (size_t at = begin; at < end;) {
        size_t next = std::min(end, at + 1 + at % 97);
        absl::Status status = each(Views(records, at, next));
        if (!status.ok()) return status;
        at = next;
      }
      return absl::OkStatus();
    });
  }
  auto result = RunLocally(job, slices);
  if (!result.ok()) return result.status();
  Pairs all;
  for (const std::string& path : result->paths) {
    auto pairs = ReadPairs(path);
    if (!pairs.ok()) return pairs.status();
    all.insert(all.end(), pairs->begin(), pairs->end());
  }
  return all;
}

Pairs TextRecords(size_t count, uint32_t seed) {
  static const char* const endings[] = {" ", " ", " ", " ", ", ", ". ", "\n", " - ", "; \"", "\t"};
  std::mt19937_64 random(seed);
  Pairs records;
  for (size_t i = 0; i < count; ++i) {
    std::string text;
    for (size_t words = random() % 60; words > 0; --words) {
      auto place = static_cast<double>(random() % 1'000'000 + 1) / 1e6;
      // Rank n about as often as 1 / n.
      auto rank = static_cast<uint64_t>(std::exp(place * 8.5));
      std::string word = absl::StrCat(absl::Hex(rank * 2654435761u % 0xfffff));
      if (rank % 5 == 0) word = "don't";
      if (rank % 7 == 0) word += "\xc3\xa4";
      if (rank % 3 == 0) word[0] = static_cast<char>(std::toupper(word[0]));
      text += word;
      text += endings[random() % 10];
    }
    records.emplace_back(absl::StrFormat("doc/%06d", i), text);
  }
  return records;
}

}  // namespace kvd::mapreduce
