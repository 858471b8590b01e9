#include "mapreduce/worker/answer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/codec.h"

namespace kvd::mapreduce {

using wire::FrameType;

Answers::Verdict Answers::Take(FrameType type, std::string_view payload, Emitter* out) {
  if (type == FrameType::kLog) {
    TakeLog(payload);
    return {};
  }
  if (type != FrameType::kEmits && type != FrameType::kCounts)
    return {absl::StrCat("it sent a frame of type ", static_cast<int>(type)), {}};
  if (out == nullptr) return {"it emits or counts where there is no input", {}};
  return type == FrameType::kEmits ? TakeEmits(payload, out) : TakeCounts(payload, out);
}

Answers::Verdict Answers::TakeEmits(std::string_view payload, Emitter* out) {
  Reader r(payload);
  while (!r.rest().empty()) {
    std::string_view key = r.Bytes();
    std::string_view value = r.Bytes();
    if (!r.ok() || key.size() > kKeyBytesMax || value.size() > kValueBytesMax) {
      return {"what it emits is malformed or too long", {}};
    }
    if (absl::Status status = out->Emit(key, value); !status.ok()) return {"", status};
  }
  return {};
}

Answers::Verdict Answers::TakeCounts(std::string_view payload, Emitter* out) {
  Reader r(payload);
  while (!r.rest().empty()) {
    std::string_view name = r.Bytes();
    int64_t delta = r.SignedVarint();
    if (!r.ok() || name.empty() || name.size() > wire::kNameBytesMax) {
      return {"a count is malformed", {}};
    }
    auto at = std::lower_bound(counters_.begin(), counters_.end(), name);
    if (at == counters_.end() || *at != name) {
      if (counters_.size() >= wire::kCountersMax) return {"it has too many counters", {}};
      counters_.insert(at, std::string(name));
    }
    out->Count(name, delta);
  }
  return {};
}

void Answers::TakeLog(std::string_view payload) {
  payload = payload.substr(0, wire::kLogLineBytesMax);
  // An empty line is not free either.
  log_bytes_ += payload.size() + 1;
  if (log_ && log_bytes_ <= log_bytes_max_) log_(payload);
}

}  // namespace kvd::mapreduce
