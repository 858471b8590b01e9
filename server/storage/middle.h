// Where a range of the engine's keys parts into halves of about the same size.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/storage/engine.h"

namespace kvd::storage {

// A key that exists in [lower, upper), behind the first one, with about half of the bytes before
// it. Empty if there is none: all is one key's, or sizes are too small to tell. Looks at few keys.
absl::StatusOr<std::string> MiddleKey(const Engine& engine, const std::string& lower,
                                      const std::string& upper);

}  // namespace kvd::storage
