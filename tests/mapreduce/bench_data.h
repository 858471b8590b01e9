// The data of the MapReduce benchmark, in memory: made once, then given out in batches of 256 KiB.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "tests/mapreduce/local_job.h"

namespace kvd::mapreduce {

struct BenchData {
  struct Chunk {
    std::string bytes;
    std::vector<Record> records;
  };
  std::deque<Chunk> chunks;
  uint64_t bytes = 0;
  uint64_t records = 0;

  // As slices of `slice_bytes`; the data outlives them.
  std::vector<Slice> Slices(uint64_t slice_bytes) const;
};

// Records of 1 to 4 KiB of words, of which word n of 479,000 comes 1/n as often as the first.
BenchData MakeText(uint64_t bytes);
// `rows` records, "r" and eight digits -> "g" and a group of `groups`, a tab, a number below 1,000.
BenchData MakeRows(uint64_t rows, uint32_t groups);
// The word of that rank.
std::string WordOf(uint32_t rank);

}  // namespace kvd::mapreduce
