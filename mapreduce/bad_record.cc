#include "mapreduce/bad_record.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/codec.h"

namespace kvd::mapreduce {
namespace {

constexpr char kUrl[] = "kvd/mapreduce.BadRecord";

}  // namespace

absl::Status BadRecordError(std::string_view where, const BadRecordPayload& record) {
  std::string reason = record.reason.substr(0, kBadRecordReasonBytesMax);
  absl::Status status = absl::InvalidArgumentError(
      absl::StrCat(ToAbsl(where), ", record ", Printable(record.key), ": ", reason));
  std::string payload;
  Writer w(&payload);
  w.Bytes(record.key);
  w.Bytes(reason);
  status.SetPayload(kUrl, absl::Cord(payload));
  return status;
}

std::optional<BadRecordPayload> BadRecordOf(const absl::Status& status) {
  auto payload = status.GetPayload(kUrl);
  if (!payload) return std::nullopt;
  std::string bytes(*payload);
  Reader r(bytes);
  BadRecordPayload record;
  record.key = r.Bytes();
  record.reason = r.Bytes();
  if (!r.Done()) return std::nullopt;
  return record;
}

}  // namespace kvd::mapreduce
