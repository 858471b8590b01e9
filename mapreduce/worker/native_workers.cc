#include "mapreduce/worker/native_workers.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "mapreduce/worker/protocol.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

absl::Status Refuse(const std::string& path, const std::string& why) {
  return absl::FailedPreconditionError(
      absl::StrCat("worker program ", Printable(path, 256), " is not run: ", why));
}

// Why others than root and us could change what is there; empty: they can't.
std::string WhoElse(const struct stat& file, const std::string& what) {
  if (file.st_uid != 0 && file.st_uid != geteuid())
    return absl::StrCat(what, " belongs to user ", file.st_uid,
                        ", it must be root's or the store's");
  bool sticky = S_ISDIR(file.st_mode) && (file.st_mode & S_ISVTX) != 0;
  if ((file.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !sticky)
    return absl::StrCat(what, " can be written by its group or by others");
  return "";
}

}  // namespace

absl::StatusOr<OwnedFd> OpenProgram(const std::string& path) {
  if (path.empty() || path[0] != '/') return Refuse(path, "the path is not absolute");
  OwnedFd at(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (at.get() < 0) return Refuse(path, strerrordesc_np(errno));
  struct stat file = {};
  // Step by step, each from the one before, so that nothing can be put in the place of what was
  // checked.
  for (size_t begin = 1; begin < path.size();) {
    size_t end = std::min(path.find('/', begin), path.size());
    std::string part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    OwnedFd next(openat(at.get(), part.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (next.get() < 0 || fstat(next.get(), &file) != 0)
      return Refuse(path, absl::StrCat(path.substr(0, end), ": ", strerrordesc_np(errno)));
    if (S_ISLNK(file.st_mode)) return Refuse(path, path.substr(0, end) + " is a symbolic link");
    if (std::string why = WhoElse(file, path.substr(0, end)); !why.empty())
      return Refuse(path, why);
    at = std::move(next);
  }
  if (!S_ISREG(file.st_mode)) return Refuse(path, "it is no file");
  if ((file.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0)
    return Refuse(path, "it is not executable");
  return at;
}

absl::StatusOr<NativeWorkers> NativeWorkers::Parse(std::span<const std::string> entries) {
  NativeWorkers workers;
  for (const std::string& entry : entries) {
    size_t at = entry.find('=');
    std::string name = entry.substr(0, at);
    auto refuse = [&](const char* why) {
      return absl::InvalidArgumentError(
          absl::StrCat("native worker ", Printable(entry, 256), ": ", why));
    };
    if (at == std::string::npos) return refuse("it must be NAME=PATH");
    if (name.empty() || name.size() > wire::kNameBytesMax)
      return refuse("the name must have 1 to 64 B");
    if (entry.size() == at + 1 || entry[at + 1] != '/') return refuse("the path must be absolute");
    if (!workers.paths_.emplace(name, entry.substr(at + 1)).second)
      return refuse("the name is there already");
  }
  return workers;
}

absl::StatusOr<OwnedFd> NativeWorkers::Open(std::string_view name) const {
  auto at = paths_.find(name);
  if (at == paths_.end())
    return absl::FailedPreconditionError(
        absl::StrCat("native worker ", Printable(name), " is not in this store's list"));
  return OpenProgram(at->second);
}

std::vector<std::string> NativeWorkers::names() const {
  std::vector<std::string> names;
  for (const auto& [name, path] : paths_) names.push_back(name);
  return names;
}

}  // namespace kvd::mapreduce
