#include "mapreduce/coordinator/codec.h"

namespace kvd::jobs {

void EncodeRange(Writer& w, const KeyRange& range) {
  w.Bytes(range.start);
  w.Bytes(range.end);
}

KeyRange DecodeRange(Reader& r) {
  KeyRange range;
  range.start = r.Bytes();
  range.end = r.Bytes();
  return range;
}

void EncodeSlice(Writer& w, const Slice& slice) {
  EncodeRange(w, slice.range);
  w.Varint(slice.bytes);
}

Slice DecodeSlice(Reader& r) {
  Slice slice;
  slice.range = DecodeRange(r);
  slice.bytes = r.Varint();
  return slice;
}

void EncodeCounters(Writer& w, const Counters& counters) {
  w.Varint(counters.size());
  for (const auto& [name, value] : counters) {
    w.Bytes(name);
    w.SignedVarint(value);
  }
}

Counters DecodeCounters(Reader& r) {
  Counters counters;
  for (uint64_t n = r.Count(); n > 0; --n) {
    std::string name(r.Bytes());
    counters[std::move(name)] = r.SignedVarint();
  }
  return counters;
}

void EncodeOutput(Writer& w, const Output& output) {
  w.Varint(output.store);
  w.Varint(output.attempt);
  w.Fixed64(output.hash.high);
  w.Fixed64(output.hash.low);
  w.Varint(output.bytes);
  w.Varint(output.records);
  EncodeCounters(w, output.counters);
  w.Varint(output.skipped);
}

Output DecodeOutput(Reader& r) {
  Output output;
  output.store = r.Id<StoreId>();
  output.attempt = r.Varint();
  output.hash.high = r.Fixed64();
  output.hash.low = r.Fixed64();
  output.bytes = r.Varint();
  output.records = r.Varint();
  output.counters = DecodeCounters(r);
  output.skipped = static_cast<uint32_t>(r.Varint());
  return output;
}

void EncodeStrings(Writer& w, const std::vector<std::string>& strings) {
  w.Varint(strings.size());
  for (const std::string& s : strings) w.Bytes(s);
}

std::vector<std::string> DecodeStrings(Reader& r) {
  std::vector<std::string> strings(r.Count());
  for (std::string& s : strings) s = r.Bytes();
  return strings;
}

void EncodeBadRecords(Writer& w, const std::vector<BadRecord>& records) {
  w.Varint(records.size());
  for (const BadRecord& record : records) {
    w.Bytes(record.key);
    w.Bytes(record.reason);
  }
}

std::vector<BadRecord> DecodeBadRecords(Reader& r) {
  std::vector<BadRecord> records(r.Count());
  for (BadRecord& record : records) {
    record.key = r.Bytes();
    record.reason = r.Bytes();
  }
  return records;
}

}  // namespace kvd::jobs
