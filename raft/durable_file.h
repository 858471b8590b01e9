// Small files and directory entries that outlive a power loss. Blocks on the disk; thread-safe.
#pragma once

#include <optional>
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

// The first line of a note that was left in a file, in one that may have decayed: what is no
// printable ASCII is a question mark, and beyond kNoteBytesMax nothing is read. Empty if the file
// is there and can't be read; nothing if it is not there.
inline constexpr size_t kNoteBytesMax = 4096;
std::optional<std::string> ReadNote(const std::string& path);

}  // namespace kvd
