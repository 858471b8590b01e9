// A store whose Raft log is lost. What its replica had acknowledged and whom it had voted for can't
// be told any more, so that replica is dead: the store joins anew, under new ids, as a learner that
// votes once it has everything, in the place of the dead one. data_directory_lost.cc has the
// durable steps.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/server_parts.h"

namespace kvd::server {
namespace {

// Removes what was set aside, away from the loop, then tells it.
class DropLostJob : public Job {
 public:
  DropLostJob(const DataDirectory* directory, std::function<void(absl::Status)> done)
      : directory_(directory), done_(std::move(done)) {}
  bool Step() override {
    done_(directory_->DropLost());
    return false;
  }

 private:
  const DataDirectory* const directory_;
  const std::function<void(absl::Status)> done_;
};

bool SameAsSaved(const std::optional<Peers>& saved, const Peers& now) {
  return saved && FormatPeers(*saved) == FormatPeers(now);
}

}  // namespace

void Server::Parts::LoadPeers() {
  auto loaded = directory->LoadPeers();
  if (loaded.ok()) {
    peers = *std::move(loaded);
  } else {
    spdlog::warn("--data-dir {}: {}; it is written anew", options.data_dir,
                 std::string(loaded.status().message()));
  }
  seeds = options.join;
  if (!peers) return;
  for (const std::string& at : AddressesOfOthers(*peers)) {
    if (std::find(seeds.begin(), seeds.end(), at) == seeds.end() && at != address)
      seeds.push_back(at);
  }
}

// Decides that what lived in this directory is lost, unless that would be the end of its data.
absl::Status Server::Parts::BeginAgain(const std::string& why) {
  StoreIdentity was = directory->identity();
  if (was.state == StoreIdentity::State::kNew && peers) {
    was.cluster = peers->cluster;
    was.store = peers->store;
    was.replica = peers->replica;
  }
  absl::Status may = MayJoinAnew(peers, !seeds.empty());
  if (!may.ok()) {
    return absl::DataLossError(
        absl::StrCat("--data-dir ", options.data_dir, ": ", why, ", ", std::string(may.message())));
  }
  spdlog::warn(
      "{}: replica {} of store {} never votes again; what is left of it goes to {}, and the store "
      "joins anew",
      why, was.replica.value(), was.store.value(), directory->lost_path());
  return directory->BeginAgain(was, RandomId());
}

absl::Status Server::Parts::OpenLog() {
  // A store that bootstraps writes PEERS, with itself as the only voter, before it serves anybody.
  bool member = directory->identity().state == StoreIdentity::State::kReady ||
                (directory->identity().state == StoreIdentity::State::kBootstrapping && peers);
  auto log = raft::RocksLogStore::Open(directory->raft_path(), Die,
                                       {compactions.file_manager(), compactions.listener()});
  std::string why;
  if (!log.ok()) {
    if (!member || !absl::IsDataLoss(log.status())) return log.status();
    why = std::string(log.status().message());
  } else if (member && (*log)->opened().empty()) {
    why = absl::StrCat("the Raft log of store ", directory->identity().store.value(), " is gone");
    log->reset();
  } else {
    log_store = *std::move(log);
    if (!log_store->opening_report().empty()) spdlog::warn("{}", log_store->opening_report());
    return absl::OkStatus();
  }
  absl::Status begun = BeginAgain(why);
  if (begun.ok()) begun = PrepareIdentity();
  return begun.ok() ? OpenLog() : begun;
}

// Once a second: what the store would need to know if it lost its log.
void Server::Parts::KeepPeers() {
  const raft::Core& core = host->core(kFirstGroup);
  const StoreIdentity& identity = directory->identity();
  if (core.configuration().voters.empty()) return;
  Peers now{identity.cluster, identity.store, core.id(), {}};
  for (const raft::Member& m : core.configuration().Members()) {
    now.members.push_back(
        {m.replica, m.store, core.configuration().IsVoter(m.replica), AddressOf(m.store)});
  }
  if (SameAsSaved(peers, now)) return;
  absl::Status saved = directory->SavePeers(now);
  if (!saved.ok()) return spdlog::error("{}", std::string(saved.message()));
  peers = std::move(now);
}

// Once a second: an admitted replica has all that was set aside of the lost one, and more.
void Server::Parts::FinishRejoin() {
  const StoreIdentity& identity = directory->identity();
  if (finishing_rejoin || !(identity.lost || identity.rejoins || holds_lost)) return;
  const raft::Core& core = host->core(kFirstGroup);
  if (core.applied_index() == Index() || !Admitted()) return;
  finishing_rejoin = true;
  worker->Run(std::make_unique<DropLostJob>(directory.get(), [this](const absl::Status& dropped) {
    loop->Post([this, dropped] {
      if (stopping) return;
      finishing_rejoin = false;
      StoreIdentity identity = directory->identity();
      StoreId lost = identity.lost;
      identity.lost = StoreId();
      identity.rejoins = false;
      absl::Status status = dropped.ok() ? directory->Save(identity) : dropped;
      if (!status.ok()) return spdlog::error("{}", std::string(status.message()));
      holds_lost = false;
      spdlog::info(
          "admitted as store={} replica={} in the place of store={}; what was left of that one is "
          "removed",
          identity.store.value(), identity.replica.value(), lost.value());
    });
  }));
}

}  // namespace kvd::server
