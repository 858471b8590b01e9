// What requests are about: their keys, and whether reads are within the limits. Pure.
#pragma once

#include <functional>
#include <string>

#include "server/service/translate.h"

namespace kvd::service {

// Each key that a write names; of a range its start.
void ForEachKey(const RequestItem& item, const std::function<void(const std::string&)>& f);
// Requires: a get, a multi-get or a scan.
const v1::ReadOptions& ReadOptionsOf(const RequestItem& item);
// INVALID_ARGUMENT names field, limit and what was seen. OK for a write: its command is checked.
absl::Status CheckRead(const RequestItem& item);

}  // namespace kvd::service
