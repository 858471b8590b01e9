#include "tests/mapreduce/bench_data.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "absl/strings/str_format.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

constexpr size_t kChunkBytes = 256 << 10;
constexpr uint32_t kWords = 479'000;

// Adds records to chunks of a fixed capacity, so that nothing moves once it is referred to.
class Filler {
 public:
  explicit Filler(BenchData* data) : data_(data) {}

  void Add(std::string_view key, std::string_view value) {
    size_t size = key.size() + value.size();
    if (data_->chunks.empty() || data_->chunks.back().bytes.size() + size > kChunkBytes) {
      data_->chunks.emplace_back().bytes.reserve(kChunkBytes);
    }
    BenchData::Chunk& chunk = data_->chunks.back();
    const char* at = chunk.bytes.data() + chunk.bytes.size();
    chunk.bytes.append(key).append(value);
    chunk.records.push_back({{at, key.size()}, {at + key.size(), value.size()}});
    data_->bytes += size;
    ++data_->records;
  }

 private:
  BenchData* const data_;
};

}  // namespace

std::vector<Slice> BenchData::Slices(uint64_t slice_bytes) const {
  std::vector<Slice> slices;
  for (size_t begin = 0; begin < chunks.size();) {
    uint64_t bytes_taken = 0;
    size_t end = begin;
    while (end < chunks.size() && bytes_taken < slice_bytes)
      bytes_taken += chunks[end++].bytes.size();
    slices.push_back([this, begin, end](const std::function<absl::Status(Batch)>& each) {
      for (size_t i = begin; i < end; ++i) {
        absl::Status status = each(chunks[i].records);
        if (!status.ok()) return status;
      }
      return absl::OkStatus();
    });
    begin = end;
  }
  return slices;
}

std::string WordOf(uint32_t rank) {
  // Frequent words are short, as words are; each is different by its number in base 26.
  std::mt19937_64 random(rank);
  std::string word;
  for (uint32_t left = rank; word.empty() || left > 0; left /= 26) {
    word.push_back(static_cast<char>('a' + left % 26));
  }
  size_t size = 3 + random() % 8;
  // A capital ends the number: what follows makes no other word of it.
  if (word.size() < size) word.push_back('Q');
  while (word.size() < size) word.push_back(static_cast<char>('a' + random() % 26));
  return word;
}

BenchData MakeText(uint64_t bytes) {
  std::vector<std::string> words(kWords);
  std::vector<double> weights(kWords);
  for (uint32_t i = 0; i < kWords; ++i) words[i] = WordOf(i);
  double sum = 0;
  for (uint32_t i = 0; i < kWords; ++i) weights[i] = sum += 1.0 / (i + 1);
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> place(0, sum);
  BenchData data;
  Filler filler(&data);
  std::string text;
  while (data.bytes < bytes) {
    size_t size = 1024 + random() % 3072;
    text.clear();
    for (int in_line = 0; text.size() < size; ++in_line) {
      auto at = std::lower_bound(weights.begin(), weights.end(), place(random));
      text += words[static_cast<size_t>(at - weights.begin())];
      text.push_back(in_line % 12 == 11 ? '\n' : ' ');
    }
    filler.Add(absl::StrFormat("text/%010d", data.records), text);
  }
  return data;
}

BenchData MakeRows(uint64_t rows, uint32_t groups) {
  std::mt19937_64 random(2);
  BenchData data;
  Filler filler(&data);
  char key[32];
  char value[48];
  for (uint64_t i = 0; i < rows; ++i) {
    int key_bytes = std::snprintf(key, sizeof(key), "r%08lu", static_cast<unsigned long>(i));
    int value_bytes =
        std::snprintf(value, sizeof(value), "g%u\t%u", static_cast<uint32_t>(random() % groups),
                      static_cast<uint32_t>(random() % 1000));
    filler.Add({key, static_cast<size_t>(key_bytes)}, {value, static_cast<size_t>(value_bytes)});
  }
  return data;
}

}  // namespace kvd::mapreduce
