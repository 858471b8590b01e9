// kvd's typed errors: absl::Status whose payload says what the caller should do. The table is in
// proto/README.md. Pure: no protobuf header is visible here; the payload's bytes are those of
// kvd.v1.ErrorDetail, so the services pass them on as they are. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "proto/ids.h"
#include "proto/timestamp.h"

namespace kvd {

enum class ErrorKind {
  kNone,            // no detail: the code alone speaks
  kNotLeader,       // nothing applied; retry at the hint
  kShardMoved,      // nothing applied; refresh routing, retry
  kSessionExpired,  // the outcome of an earlier attempt can no longer be told
  kConflict,        // nothing applied; another owner is in the way
  kLimitExceeded,   // the request is wrong; do not retry
  kOutcomeUnknown,  // may have been applied; retry only with the same writer
  kBusy,            // nothing applied; retry after a delay
  kWrongCluster,    // the request is at the wrong cluster; do not retry
  kCorruption,      // bytes do not match their checksum
  kDiskFull,        // nothing applied; until somebody deletes data or makes room, it will not be
};

// The detail of a status in plain form. Only the fields of its kind are set.
struct ErrorInfo {
  ErrorKind kind = ErrorKind::kNone;
  StoreId leader;
  std::string leader_address;
  Timestamp safe_point;
  Timestamp fresh_token;
  uint64_t retry_after_ms = 0;
  // kShardMoved: who has it now, as far as the refuser knows.
  ShardId shard;
  Epoch epoch;
  GroupId group;
};

absl::Status NotLeaderError(GroupId group, StoreId leader, std::string_view leader_address);
absl::Status SessionExpiredError(Timestamp safe_point, Timestamp fresh_token);
// `key`: what it is about; empty: a key says nothing of that, or there is none.
absl::Status ConflictError(std::string_view key, std::string_view why);
// A write whose keys are several groups', as far as is known: nothing was applied by this attempt.
// INVALID_ARGUMENT.
absl::Status AcrossGroupsError(std::string_view key, std::string_view why);
// "`field` is `seen` `unit`, the limit is `limit`" as INVALID_ARGUMENT; "it must be at least
// `limit`" if `seen` is below.
absl::Status LimitError(std::string_view field, uint64_t limit, uint64_t seen,
                        std::string_view unit);
absl::Status OutcomeUnknownError(std::string_view why);
absl::Status BusyError(std::string_view what, uint64_t retry_after_ms);
// Of a store that leads; with store 0: of too many of the others.
absl::Status DiskFullError(StoreId store, uint64_t free_bytes, uint64_t needed_bytes);
absl::Status WrongClusterError(ClusterId ours, ClusterId named);
absl::Status CorruptionError(std::string_view what, std::string_view key);
// The key belongs to no shard that this group serves. With whom to ask, if that is known.
absl::Status ShardMovedError(std::string_view why, const ErrorInfo& now = {});

ErrorInfo InfoOf(const absl::Status& status);

// The type under which the detail is attached, as in google.protobuf.Any.
inline constexpr char kErrorDetailUrl[] = "type.googleapis.com/kvd.v1.ErrorDetail";

// Text forms for the gRPC trailer `grpc-status-details-bin`.
std::string SerializeStatus(const absl::Status& status);
// Never OK: INTERNAL if the bytes are no kvd.v1.Status of a failure.
absl::Status ParseStatus(std::string_view bytes);

}  // namespace kvd
