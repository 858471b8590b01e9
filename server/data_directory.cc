#include "server/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/crc32c.h"
#include "raft/durable_file.h"

namespace kvd::server {
namespace {

constexpr uint64_t kFormat = 3;  // of raft/ and data/
constexpr uint64_t kOldestFormat = 3;
constexpr const char* kStates[] = {"new", "joining", "bootstrapping", "ready"};
constexpr char kChecksum[] = "checksum ";

// False if the text's last line is a checksum of something else. One digit that changed would make
// it another store's.
bool ChecksumMatches(const std::string& text) {
  size_t at = text.rfind(kChecksum);
  uint64_t noted = 0;
  if (at == std::string::npos) return true;
  std::string_view digits = std::string_view(text).substr(at + sizeof kChecksum - 1);
  digits = digits.substr(0, digits.find('\n'));
  return absl::SimpleAtoi(absl::string_view(digits.data(), digits.size()), &noted) &&
         noted == Crc32c(std::string_view(text).substr(0, at));
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return absl::UnavailableError(absl::StrCat("--data-dir ", path, " can't be created (",
                                               error.message(),
                                               "); name a directory that this user may write to"));
  }
  // Its own entry must outlive a power loss too, or its data would be gone with it.
  std::string parent = std::filesystem::absolute(path).lexically_normal().parent_path().string();
  absl::Status synced = SyncDirectory(parent.empty() ? "/" : parent);
  if (!synced.ok()) return synced;
  std::string lock_path = path + "/LOCK";
  int lock = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) {
    return absl::UnavailableError(absl::StrCat("--data-dir ", path, " is not writable (",
                                               std::strerror(errno),
                                               "); name a directory that this user may write to"));
  }
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    close(lock);
    return absl::UnavailableError(absl::StrCat(
        "--data-dir ", path, " is in use by another kvd; stop that one or name another directory"));
  }
  std::unique_ptr<DataDirectory> directory(new DataDirectory(path, lock));
  absl::Status loaded = directory->Load();
  if (!loaded.ok()) return loaded;
  return directory;
}

DataDirectory::~DataDirectory() { close(lock_); }

absl::Status DataDirectory::Load() {
  std::ifstream file(path_ + "/KVD");
  if (!file) {
    if (std::filesystem::exists(raft_path()) || std::filesystem::exists(raft_path() + ".rebuilt")) {
      return absl::DataLossError(
          absl::StrCat("--data-dir ", path_,
                       " holds data but no KVD file that says whose; restore it, or empty the "
                       "directory and let the store join anew"));
    }
    return absl::OkStatus();
  }
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  auto identity = ParseIdentity(text);
  if (!identity.ok()) {
    return absl::Status(identity.status().code(),
                        absl::StrCat("--data-dir ", path_, ": ", identity.status().message()));
  }
  identity_ = *identity;
  return absl::OkStatus();
}

absl::StatusOr<StoreIdentity> ParseIdentity(const std::string& text) {
  StoreIdentity identity;
  if (!ChecksumMatches(text)) {
    return absl::DataLossError(
        "KVD is damaged; restore it, or empty the directory and let the store join anew");
  }
  uint64_t format = 0, cluster = 0, store = 0, lost = 0, rejoins = 0;
  std::string name, value, state;
  std::istringstream in(text);
  while (in >> name >> value) {
    bool ok = true;
    if (name == "format")
      ok = absl::SimpleAtoi(value, &format);
    else if (name == "cluster")
      ok = absl::SimpleAtoi(value, &cluster);
    else if (name == "store")
      ok = absl::SimpleAtoi(value, &store);
    else if (name == "nonce")
      ok = absl::SimpleAtoi(value, &identity.nonce);
    else if (name == "lost")
      ok = absl::SimpleAtoi(value, &lost);
    else if (name == "rejoins")
      ok = absl::SimpleAtoi(value, &rejoins);
    else if (name == "state")
      state = value;
    if (!ok)
      return absl::DataLossError(
          absl::StrCat("KVD: ", name, " ", Printable(value), " is no number"));
  }
  if (format > kFormat) {
    return absl::FailedPreconditionError(absl::StrCat("it has format ", format,
                                                      ", this kvd knows formats up to ", kFormat,
                                                      "; start a newer kvd"));
  }
  if (format != 0 && format < kOldestFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat("it has format ", format, ", this kvd knows formats from ", kOldestFormat,
                     " on; export the data with the kvd that wrote it"));
  }
  using State = StoreIdentity::State;
  for (State known : {State::kJoining, State::kBootstrapping, State::kReady}) {
    if (state == kStates[static_cast<int>(known)]) identity.state = known;
  }
  identity.cluster = ClusterId(cluster);
  identity.store = StoreId(store);
  identity.lost = StoreId(lost);
  identity.rejoins = rejoins != 0;
  bool named = identity.cluster && identity.store;
  bool joining = identity.state == State::kJoining && identity.nonce != 0;
  bool member = identity.state == State::kBootstrapping || identity.state == State::kReady;
  if (format == 0 || !(joining || (member && named)))
    return absl::DataLossError("its file KVD is damaged");
  return identity;
}

std::string FormatIdentity(const StoreIdentity& identity) {
  std::string lost = identity.lost ? absl::StrCat("\nlost ", identity.lost.value()) : "";
  if (identity.rejoins) lost += "\nrejoins 1";
  std::string text =
      absl::StrCat("format ", kFormat, "\ncluster ", identity.cluster.value(), "\nstore ",
                   identity.store.value(), "\nnonce ", identity.nonce, lost, "\nstate ",
                   kStates[static_cast<int>(identity.state)], "\n");
  return absl::StrCat(text, kChecksum, Crc32c(text), "\n");
}

absl::Status DataDirectory::Save(const StoreIdentity& identity) {
  absl::Status status = ReplaceFile(path_, "KVD", FormatIdentity(identity));
  if (status.ok()) identity_ = identity;
  return status;
}

}  // namespace kvd::server
