// An error that is one record's fault: a job may skip that record and go on without it. Everything
// else that ends an attempt (a wrong script, a limit of the whole task, the environment) carries no
// such payload. Pure; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvd::mapreduce {

// Longer reasons are cut.
inline constexpr size_t kBadRecordReasonBytesMax = 1024;

struct BadRecordPayload {
  std::string key;
  // What was wrong, for people: "script error at line 3: ...", "crashed: signal 11".
  std::string reason;

  bool operator==(const BadRecordPayload&) const = default;
};

// INVALID_ARGUMENT "`where`, record `key`: `reason`", with the payload; `where` names job and task.
absl::Status BadRecordError(std::string_view where, const BadRecordPayload& record);

// Nothing if the status blames no record, or its payload is malformed.
std::optional<BadRecordPayload> BadRecordOf(const absl::Status& status);

}  // namespace kvd::mapreduce
