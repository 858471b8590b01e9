// The worker programs that an operator allows on a store, by name. Immutable, thread-safe.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mapreduce/worker/worker_process.h"

namespace kvd::mapreduce {

// Opens a program to be run as a worker. FAILED_PRECONDITION unless the path is absolute and leads
// to an executable file that nobody but root and this process's user may change: file and
// directories on the way are theirs and not writable by group or others (a directory with the
// sticky bit is well enough). What is opened is what was checked.
absl::StatusOr<OwnedFd> OpenProgram(const std::string& path);

class NativeWorkers {
 public:
  // Of entries NAME=PATH, NAME of 1 to 64 B. INVALID_ARGUMENT names the entry and what is wrong
  // with it; files are looked at only when they are run, since they may come later or be replaced.
  static absl::StatusOr<NativeWorkers> Parse(std::span<const std::string> entries);

  // FAILED_PRECONDITION: it is not in the list, or not as OpenProgram wants it.
  absl::StatusOr<OwnedFd> Open(std::string_view name) const;
  std::vector<std::string> names() const;

 private:
  std::map<std::string, std::string, std::less<>> paths_;
};

}  // namespace kvd::mapreduce
