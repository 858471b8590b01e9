// Parts that records and commands share. Private to the module.
#pragma once

#include <utility>
#include <vector>

#include "mapreduce/coordinator/types.h"
#include "proto/codec.h"

namespace kvd::jobs {

inline constexpr uint8_t kRecordFormat = 1;

void EncodeRange(Writer& w, const KeyRange& range);
KeyRange DecodeRange(Reader& r);
void EncodeSlice(Writer& w, const Slice& slice);
Slice DecodeSlice(Reader& r);
void EncodeCounters(Writer& w, const Counters& counters);
Counters DecodeCounters(Reader& r);
void EncodeOutput(Writer& w, const Output& output);
Output DecodeOutput(Reader& r);
void EncodeStrings(Writer& w, const std::vector<std::string>& strings);
std::vector<std::string> DecodeStrings(Reader& r);
void EncodeBadRecords(Writer& w, const std::vector<BadRecord>& records);
std::vector<BadRecord> DecodeBadRecords(Reader& r);

// Reads one byte that has to be one of an enumeration's, from `first` to `last`.
template <class E>
bool DecodeEnum(Reader& r, E first, E last, E* out) {
  uint8_t byte = r.Byte();
  *out = static_cast<E>(byte);
  return r.ok() && byte >= static_cast<uint8_t>(first) && byte <= static_cast<uint8_t>(last);
}

}  // namespace kvd::jobs
