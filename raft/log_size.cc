#include "raft/log_size.h"

#include <algorithm>

namespace kvd::raft {

namespace {
constexpr uint64_t kMarkBytes = 1 << 20;
}  // namespace

void LogSize::Begin(Index start) {
  total_ = 0;
  marks_ = {{start, 0}};
}

void LogSize::Add(Index index, uint64_t bytes) {
  // What is replaced counts up to the next mark behind it, since its own end is not known.
  while (marks_.size() > 1 && marks_.back().index >= index) {
    total_ = std::min(total_, marks_.back().bytes);
    marks_.pop_back();
  }
  total_ += bytes;
  if (total_ - marks_.back().bytes >= kMarkBytes) marks_.push_back({index, total_});
}

void LogSize::CutTo(Index start) {
  while (marks_.size() > 1 && marks_[1].index <= start) marks_.pop_front();
}

uint64_t LogSize::BytesBehind(Index index) const {
  auto behind = std::find_if(marks_.rbegin(), marks_.rend() - 1,
                             [index](const Mark& mark) { return mark.index <= index; });
  return total_ - behind->bytes;
}

Index LogSize::PlaceLeaving(uint64_t bytes) const {
  for (const Mark& mark : marks_) {
    if (total_ - mark.bytes <= bytes) return mark.index;
  }
  return marks_.back().index;
}

}  // namespace kvd::raft
