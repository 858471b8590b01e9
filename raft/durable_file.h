// Small files and directory entries that outlive a power loss. Blocks on the disk; thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace kvd {

// What errno says of `what`, as UNAVAILABLE.
absl::Status FileError(const std::string& what);

// Makes names that came, went or changed in the directory durable.
absl::Status SyncDirectory(const std::string& path);

// Puts `text` in the place of `directory`/`name`: all of it or none, durable when it returns.
absl::Status ReplaceFile(const std::string& directory, const std::string& name,
                         const std::string& text);

}  // namespace kvd
