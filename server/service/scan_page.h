// One page of a scan, from the versions of one group. Pure but for the reader.
#pragma once

#include "server/service/translate.h"

namespace kvd::service {

// Fills rows, count, done, and where the next page begins. Bounded in bytes, rows and versions
// looked at, so that the loop gets its turn. `range` is of what the request asks for.
absl::Status FillPage(const v1::ScanRequest& request, const KeyRange& range, Timestamp at,
                      const storage::MvccReader& reader, v1::ScanResponse* page);

}  // namespace kvd::service
