// What a data directory keeps of a replica that is lost, and the way there. Each step is durable
// before the next one, and each can be done again:
//
//   KVD says "joining", with a new nonce and without ids: the old replica is dead
//   raft/ and data/ go to lost/: nothing of them is taken for the new one
//   KVD has the new ids: raft/ and data/ begin empty
//   lost/ is removed, KVD forgets who was lost: the new replica is admitted
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "raft/durable_file.h"
#include "server/data_directory.h"

namespace kvd::server {
namespace {

namespace fs = std::filesystem;

absl::Status Failed(const std::string& path, const std::error_code& error) {
  return absl::UnavailableError(absl::StrCat(path, ": ", error.message()));
}

}  // namespace

StoreIdentity AfterLoss(const StoreIdentity& lost, uint64_t nonce) {
  StoreIdentity next;
  next.state = StoreIdentity::State::kJoining;
  next.cluster = lost.cluster;
  next.nonce = nonce;
  next.rejoins = true;
  next.lost = lost.store ? lost.store : lost.lost;
  return next;
}

bool DataDirectory::HoldsDatabases() const {
  std::error_code error;
  return fs::exists(raft_path(), error) || fs::exists(raft_path() + ".rebuilt", error) ||
         fs::exists(data_path(), error);
}

bool DataDirectory::HoldsLost() const {
  std::error_code error;
  return fs::exists(lost_path(), error);
}

absl::Status DataDirectory::BeginAgain(const StoreIdentity& was, uint64_t nonce) {
  // Without a KVD file nobody can tell whose lost/ is.
  if (!was.lost && !was.rejoins && identity_.state != StoreIdentity::State::kNew) {
    // Left by an earlier loss that is over.
    absl::Status dropped = DropLost();
    if (!dropped.ok()) return dropped;
  }
  return Save(AfterLoss(was, nonce));
}

absl::Status DataDirectory::SetAside() {
  std::error_code error;
  for (const char* name : {"raft", "raft.rebuilt", "data"}) {
    std::string from = absl::StrCat(path_, "/", name);
    std::string to = absl::StrCat(lost_path(), "/", name);
    if (!fs::exists(from, error)) continue;
    if (fs::exists(to, error)) {
      // Of a replica that never got as far as the one in lost/.
      fs::remove_all(from, error);
      if (error) return Failed(from, error);
    } else {
      fs::create_directories(lost_path(), error);
      if (error) return Failed(lost_path(), error);
      if (rename(from.c_str(), to.c_str()) != 0) {
        return FileError(
            absl::StrCat(from, " can't be moved to ", to, "; move it away and start again"));
      }
      absl::Status synced = SyncDirectory(lost_path());
      if (!synced.ok()) return synced;
    }
  }
  return SyncDirectory(path_);
}

absl::Status DataDirectory::DropLost() const {
  std::error_code error;
  if (!fs::exists(lost_path(), error)) return absl::OkStatus();
  fs::remove_all(lost_path(), error);
  return error ? Failed(lost_path(), error) : SyncDirectory(path_);
}

absl::StatusOr<std::optional<Peers>> DataDirectory::LoadPeers() const {
  std::ifstream file(path_ + "/PEERS", std::ios::binary);
  if (!file) return std::nullopt;
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  auto peers = ParsePeers(text);
  if (!peers.ok()) return peers.status();
  if (identity_.cluster && peers->cluster != identity_.cluster) {
    return absl::DataLossError(
        absl::StrCat("its file PEERS is of cluster ", peers->cluster.value()));
  }
  return *std::move(peers);
}

absl::Status DataDirectory::SavePeers(const Peers& peers) const {
  return ReplaceFile(path_, "PEERS", FormatPeers(peers));
}

}  // namespace kvd::server
