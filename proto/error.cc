#include "proto/error.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "kvd/v1/common.pb.h"
#include "proto/bytes.h"

namespace kvd {
namespace {

absl::Status With(absl::Status status, const v1::ErrorDetail& detail) {
  status.SetPayload(kErrorDetailUrl, absl::Cord(detail.SerializeAsString()));
  return status;
}

}  // namespace

absl::Status NotLeaderError(GroupId group, StoreId leader, std::string_view leader_address) {
  v1::ErrorDetail detail;
  detail.mutable_not_leader()->set_group_id(group.value());
  detail.mutable_not_leader()->set_leader_store_id(leader.value());
  detail.mutable_not_leader()->set_leader_address(std::string(leader_address));
  std::string where =
      leader ? absl::StrCat("; store ", leader.value(), " does") : "; no leader is known";
  return With(
      absl::UnavailableError(absl::StrCat("this store does not lead group ", group.value(), where)),
      detail);
}

absl::Status SessionExpiredError(Timestamp safe_point, Timestamp fresh_token) {
  v1::ErrorDetail detail;
  detail.mutable_session_expired()->set_safe_point(safe_point.value());
  detail.mutable_session_expired()->set_fresh_token(fresh_token.value());
  return With(absl::FailedPreconditionError(absl::StrCat(
                  "the write's token is older than the safe point ", safe_point.value(),
                  ": whether an earlier attempt was applied can no longer be told")),
              detail);
}

absl::Status ConflictError(std::string_view key, std::string_view why) {
  v1::ErrorDetail detail;
  detail.mutable_conflict()->set_key(std::string(key));
  std::string message =
      absl::StrCat(ToAbsl(why), key.empty() ? "" : ": key ", key.empty() ? "" : Printable(key));
  return With(absl::AbortedError(message), detail);
}

absl::Status AcrossGroupsError(std::string_view key, std::string_view why) {
  v1::ErrorDetail detail;
  detail.mutable_conflict()->set_key(std::string(key));
  return With(absl::InvalidArgumentError(ToAbsl(why)), detail);
}

absl::Status LimitError(std::string_view field, uint64_t limit, uint64_t seen,
                        std::string_view unit) {
  v1::ErrorDetail detail;
  detail.mutable_limit_exceeded()->set_field(std::string(field));
  detail.mutable_limit_exceeded()->set_limit(limit);
  detail.mutable_limit_exceeded()->set_seen(seen);
  return With(absl::InvalidArgumentError(
                  absl::StrCat(ToAbsl(field), " is ", seen, unit.empty() ? "" : " ", ToAbsl(unit),
                               seen < limit ? ", it must be at least " : ", the limit is ", limit)),
              detail);
}

absl::Status OutcomeUnknownError(std::string_view why) {
  v1::ErrorDetail detail;
  detail.mutable_outcome_unknown();
  return With(absl::UnknownError(absl::StrCat(ToAbsl(why), "; the outcome is unknown")), detail);
}

absl::Status BusyError(std::string_view what, uint64_t retry_after_ms) {
  v1::ErrorDetail detail;
  detail.mutable_busy()->set_retry_after_ms(retry_after_ms);
  return With(absl::ResourceExhaustedError(ToAbsl(what)), detail);
}

absl::Status DiskFullError(StoreId store, uint64_t free_bytes, uint64_t needed_bytes) {
  v1::ErrorDetail detail;
  detail.mutable_disk_full()->set_store_id(store.value());
  detail.mutable_disk_full()->set_free_bytes(free_bytes);
  detail.mutable_disk_full()->set_needed_bytes(needed_bytes);
  std::string text =
      store ? absl::StrCat("the disk of store ", store.value(), " is nearly full: ", free_bytes,
                           " bytes are free, writes that add data need ", needed_bytes,
                           "; delete data or make room")
            : std::string(
                  "too many stores have nearly full disks to add data; kvctl status tells "
                  "which; delete data or make room");
  return With(absl::ResourceExhaustedError(text), detail);
}

absl::Status WrongClusterError(ClusterId ours, ClusterId named) {
  v1::ErrorDetail detail;
  detail.mutable_wrong_cluster()->set_cluster_id(ours.value());
  return With(absl::FailedPreconditionError(absl::StrCat("this store belongs to cluster ",
                                                         ours.value(), ", not to ", named.value())),
              detail);
}

absl::Status CorruptionError(std::string_view what, std::string_view key) {
  v1::ErrorDetail detail;
  detail.mutable_corruption()->set_key(std::string(key));
  return With(absl::DataLossError(absl::StrCat(ToAbsl(what), ": key ", Printable(key))), detail);
}

absl::Status ShardMovedError(std::string_view why, const ErrorInfo& now) {
  v1::ErrorDetail detail;
  v1::ShardMoved* moved = detail.mutable_shard_moved();
  if (now.group) {
    moved->mutable_shard()->set_shard_id(now.shard.value());
    moved->mutable_shard()->set_epoch(now.epoch.value());
    moved->mutable_shard()->set_group_id(now.group.value());
    moved->set_leader_address(now.leader_address);
  }
  return With(absl::UnavailableError(ToAbsl(why)), detail);
}

ErrorInfo InfoOf(const absl::Status& status) {
  ErrorInfo info;
  auto payload = status.GetPayload(kErrorDetailUrl);
  if (!payload.has_value()) return info;
  v1::ErrorDetail detail;
  if (!detail.ParseFromString(std::string(*payload))) return info;
  switch (detail.detail_case()) {
    case v1::ErrorDetail::kNotLeader:
      info.kind = ErrorKind::kNotLeader;
      info.group = GroupId(detail.not_leader().group_id());
      info.leader = StoreId(detail.not_leader().leader_store_id());
      info.leader_address = detail.not_leader().leader_address();
      break;
    case v1::ErrorDetail::kShardMoved:
      info.kind = ErrorKind::kShardMoved;
      info.shard = ShardId(detail.shard_moved().shard().shard_id());
      info.epoch = Epoch(detail.shard_moved().shard().epoch());
      info.group = GroupId(detail.shard_moved().shard().group_id());
      info.leader_address = detail.shard_moved().leader_address();
      break;
    case v1::ErrorDetail::kSessionExpired:
      info.kind = ErrorKind::kSessionExpired;
      info.safe_point = Timestamp(detail.session_expired().safe_point());
      info.fresh_token = Timestamp(detail.session_expired().fresh_token());
      break;
    case v1::ErrorDetail::kConflict: info.kind = ErrorKind::kConflict; break;
    case v1::ErrorDetail::kLimitExceeded: info.kind = ErrorKind::kLimitExceeded; break;
    case v1::ErrorDetail::kOutcomeUnknown: info.kind = ErrorKind::kOutcomeUnknown; break;
    case v1::ErrorDetail::kBusy:
      info.kind = ErrorKind::kBusy;
      info.retry_after_ms = detail.busy().retry_after_ms();
      break;
    case v1::ErrorDetail::kWrongCluster: info.kind = ErrorKind::kWrongCluster; break;
    case v1::ErrorDetail::kCorruption: info.kind = ErrorKind::kCorruption; break;
    case v1::ErrorDetail::kDiskFull: info.kind = ErrorKind::kDiskFull; break;
    case v1::ErrorDetail::DETAIL_NOT_SET: break;
  }
  return info;
}

std::string SerializeStatus(const absl::Status& status) {
  v1::Status out;
  out.set_code(static_cast<int>(status.code()));
  out.set_message(std::string(status.message()));
  if (auto payload = status.GetPayload(kErrorDetailUrl); payload.has_value()) {
    auto* any = out.add_details();
    any->set_type_url(kErrorDetailUrl);
    any->set_value(std::string(*payload));
  }
  return out.SerializeAsString();
}

absl::Status ParseStatus(std::string_view bytes) {
  v1::Status in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InternalError("status details are no kvd.v1.Status");
  }
  // 0 would make a failure a success, and gRPC has no others.
  constexpr int kCodeMax = 16;
  if (in.code() < 1 || in.code() > kCodeMax) {
    return absl::InternalError(absl::StrCat("status details have no known code: ", in.code()));
  }
  absl::Status status(static_cast<absl::StatusCode>(in.code()), in.message());
  for (const auto& any : in.details()) {
    if (any.type_url() == kErrorDetailUrl)
      status.SetPayload(kErrorDetailUrl, absl::Cord(any.value()));
  }
  return status;
}

}  // namespace kvd
