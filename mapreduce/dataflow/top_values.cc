#include "mapreduce/dataflow/top_values.h"

#include <algorithm>
#include <utility>

#include "mapreduce/dataflow/limits.h"
#include "proto/codec.h"
#include "proto/error.h"

namespace kvd::mapreduce {

bool TopValues::Before(const Entry& a, const Entry& b) {
  return a.number != b.number ? a.number > b.number : a.payload < b.payload;
}

void TopValues::Insert(Entry entry, uint32_t top) {
  if (entries_.size() >= top && !Before(entry, entries_.back())) return;
  bytes_ += entry.payload.size();
  entries_.insert(std::upper_bound(entries_.begin(), entries_.end(), entry, Before),
                  std::move(entry));
  if (entries_.size() <= top) return;
  bytes_ -= entries_.back().payload.size();
  entries_.pop_back();
}

absl::Status TopValues::Add(std::string_view value, uint32_t top) {
  size_t end = value.find_first_of(" \t");
  auto number = ParseDecimal(value.substr(0, end));
  if (!number.ok()) return number.status();
  std::string_view payload = end == value.npos ? std::string_view() : value.substr(end + 1);
  if (payload.size() > kTopPayloadMax) {
    return LimitError("the text behind a TOPK value's number", kTopPayloadMax, payload.size(), "B");
  }
  Insert({*number, std::string(payload)}, top);
  return absl::OkStatus();
}

// A count, then of each entry the number and the length-prefixed payload.
void TopValues::Encode(std::string* out) const {
  Writer w(out);
  w.Varint(entries_.size());
  for (const Entry& entry : entries_) {
    EncodeDecimal(entry.number, out);
    w.Bytes(entry.payload);
  }
}

bool TopValues::Merge(std::string_view encoded, uint32_t top) {
  Reader counter(encoded);
  uint64_t count = counter.Count();
  std::string_view rest = counter.rest();
  if (!counter.ok() || count > kTopMax) return false;
  for (uint64_t i = 0; i < count; ++i) {
    Entry entry;
    if (!DecodeDecimal(&rest, &entry.number)) return false;
    Reader r(rest);
    std::string_view payload = r.Bytes();
    if (!r.ok() || payload.size() > kTopPayloadMax) return false;
    entry.payload = payload;
    rest = r.rest();
    Insert(std::move(entry), top);
  }
  return rest.empty();
}

void TopValues::Render(std::string* out) const {
  for (const Entry& entry : entries_) {
    if (&entry != &entries_.front()) out->push_back('\n');
    AppendDecimal(entry.number, out);
    if (entry.payload.empty()) continue;
    out->push_back(' ');
    out->append(entry.payload);
  }
}

}  // namespace kvd::mapreduce
