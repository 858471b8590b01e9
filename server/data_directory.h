// A store's data directory: locked while the store runs, and marked with whom it belongs to.
//
//   KVD      text: format, cluster, store, replica, nonce, state (one "name value" a line), and the
//            checksum (crc32c, decimal) of the lines before it; without one it is taken as it is
//   LOCK     held with flock
//   raft/    the log store
//   data/    the engine; state_files.h says what else it leaves
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/ids.h"

namespace kvd::server {

struct StoreIdentity {
  enum class State { kNew, kJoining, kBootstrapping, kReady };
  State state = State::kNew;
  ClusterId cluster;
  StoreId store;
  ReplicaId replica;    // of group 1, as first allotted
  uint64_t nonce = 0;   // of the store's own making; names it before it has an id
};

// The text of the file KVD. Parsing gives DATA_LOSS if it is damaged, FAILED_PRECONDITION if it is of
// a later version.
std::string FormatIdentity(const StoreIdentity& identity);
absl::StatusOr<StoreIdentity> ParseIdentity(const std::string& text);

class DataDirectory {
 public:
  // Creates it if needed and locks it. The error names the directory and the remedy.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Open(const std::string& path);
  ~DataDirectory();

  const StoreIdentity& identity() const { return identity_; }
  // Durable when it returns.
  absl::Status Save(const StoreIdentity& identity);

  const std::string& path() const { return path_; }
  std::string raft_path() const { return path_ + "/raft"; }
  std::string data_path() const { return path_ + "/data"; }

 private:
  DataDirectory(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  absl::Status Load();

  const std::string path_;
  const int lock_;
  StoreIdentity identity_;
};

}  // namespace kvd::server
