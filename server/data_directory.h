// A store's data directory: locked while the store runs, and marked with whom it belongs to.
//
//   KVD      text: format, cluster, store, nonce, lost, rejoins, state (one "name value" a
//            line), and the checksum (crc32c, decimal) of the lines before it; without one it is
//            taken as it is
//   PEERS    who else is in the cluster: peers.h
//   LOCK     held with flock
//   raft/    the log store
//   data/    the engine; state_files.h says what else it leaves
//   lost/    what was in raft/ and data/ of a replica that is lost, until another one is admitted
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "proto/ids.h"
#include "server/peers.h"

namespace kvd::server {

struct StoreIdentity {
  enum class State { kNew, kJoining, kBootstrapping, kReady };
  State state = State::kNew;
  ClusterId cluster;
  StoreId store;
  uint64_t nonce = 0;    // of the store's own making; names it before it has an id
  StoreId lost;          // which store this was before it lost its log, until it is admitted again
  bool rejoins = false;  // likewise, whether that is known or not
};

// The text of the file KVD. Parsing gives DATA_LOSS if it is damaged, FAILED_PRECONDITION if it is
// of a later version.
std::string FormatIdentity(const StoreIdentity& identity);
absl::StatusOr<StoreIdentity> ParseIdentity(const std::string& text);

// Who a store is that lost what its replica promised: nobody yet, joining the same cluster.
StoreIdentity AfterLoss(const StoreIdentity& lost, uint64_t nonce);

class DataDirectory {
 public:
  // Creates it if needed and locks it. The error names the directory and the remedy.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Open(const std::string& path);
  ~DataDirectory();

  const StoreIdentity& identity() const { return identity_; }
  // Durable when it returns.
  absl::Status Save(const StoreIdentity& identity);

  // data_directory_lost.cc, which has the order of the steps.
  bool HoldsDatabases() const;  // raft/, what would become it, or data/
  bool HoldsLost() const;
  // From here on the replica that lived here, `was`, is lost, and the store joins as another one.
  // Durable.
  absl::Status BeginAgain(const StoreIdentity& was, uint64_t nonce);
  // Moves raft/ and data/ to lost/. What lies there already stays: it is of the replica that was
  // admitted last. Durable.
  absl::Status SetAside();
  // Removes lost/. Thread-safe.
  absl::Status DropLost() const;
  // None if there is no such file; DATA_LOSS if it tells nothing.
  absl::StatusOr<std::optional<Peers>> LoadPeers() const;
  // Durable when it returns.
  absl::Status SavePeers(const Peers& peers) const;

  const std::string& path() const { return path_; }
  std::string raft_path() const { return path_ + "/raft"; }
  std::string data_path() const { return path_ + "/data"; }
  std::string lost_path() const { return path_ + "/lost"; }

 private:
  DataDirectory(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  absl::Status Load();

  const std::string path_;
  const int lock_;
  StoreIdentity identity_;
};

}  // namespace kvd::server
