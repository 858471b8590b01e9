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

// 0: nobody's yet.
StoreId OwnerOf(const std::vector<raft::GroupLog>& logs) {
  for (const raft::GroupLog& log : logs) {
    if (log.group == kOwnerRecord) return StoreId(log.replica.value());
  }
  return StoreId();
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
  }
  absl::Status may = MayJoinAnew(peers, !seeds.empty());
  if (!may.ok()) {
    return absl::DataLossError(
        absl::StrCat("--data-dir ", options.data_dir, ": ", why, ", ", std::string(may.message())));
  }
  spdlog::warn(
      "{}: the replicas of store {} never vote again; what is left of them goes to {}, and the "
      "store "
      "joins anew",
      why, was.store.value(), directory->lost_path());
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
  } else if (StoreId owner = OwnerOf((*log)->opened()); member && !owner) {
    why = absl::StrCat("the Raft log of store ", directory->identity().store.value(), " is gone");
    log->reset();
  } else if (owner && owner != directory->identity().store) {
    return absl::DataLossError(
        absl::StrCat("--data-dir ", options.data_dir, ": raft/ is of store ", owner.value(),
                     ", KVD of store ", directory->identity().store.value(),
                     "; put back what belongs together, or remove raft/ to join anew"));
  } else {
    log_store = *std::move(log);
    if (!log_store->opening_report().empty()) spdlog::warn("{}", log_store->opening_report());
    return absl::OkStatus();
  }
  absl::Status begun = BeginAgain(why);
  if (begun.ok()) begun = PrepareIdentity();
  return begun.ok() ? OpenLog() : begun;
}

// What was known when this store ran last, until the controller is heard.
void Server::Parts::RememberPeers() {
  if (!peers) return;
  v1::RoutingResponse known;
  for (const auto& [store, at] : peers->addresses) {
    auto* out = known.add_stores();
    out->set_store_id(store.value());
    out->set_address(store == directory->identity().store ? address : at);
  }
  auto* controller = known.add_groups();
  controller->set_group_id(shardctrler::kControllerGroup.value());
  for (const Peer& peer : peers->members) {
    if (peer.group != shardctrler::kControllerGroup) continue;
    auto* replica = controller->add_replicas();
    replica->set_replica_id(peer.replica.value());
    replica->set_store_id(peer.store.value());
  }
  node->Remember(known);
}

// Once a second: what the store would need to know if it started anew, or lost its log.
void Server::Parts::KeepPeers() {
  const StoreIdentity& identity = directory->identity();
  Peers now{identity.cluster, identity.store, {}, {}};
  for (const auto& [store, known] : node->routing().stores()) {
    if (!known.gone && !known.address.empty()) now.addresses[store] = known.address;
  }
  for (GroupId group : host->groups()) {
    const raft::Configuration& configuration = host->core(group).configuration();
    for (const raft::Member& m : configuration.Members())
      now.members.push_back({group, m.replica, m.store, configuration.IsVoter(m.replica)});
  }
  if (!host->Has(shardctrler::kControllerGroup)) {
    auto controller = node->routing().groups().find(shardctrler::kControllerGroup);
    if (controller != node->routing().groups().end()) {
      for (const auto& m : controller->second)
        now.members.push_back({shardctrler::kControllerGroup, m.replica, m.store, true});
    }
  }
  if (SameAsSaved(peers, now)) return;
  absl::Status saved = directory->SavePeers(now);
  if (!saved.ok()) return spdlog::error("{}", std::string(saved.message()));
  peers = std::move(now);
}

// Once a second: whether others have what was lost here: then what was set aside of it may go.
void Server::Parts::FinishRejoin() {
  const StoreIdentity& identity = directory->identity();
  if (finishing_rejoin || !(identity.lost || identity.rejoins || holds_lost)) return;
  if (!node->reported() || node->routing().shards().empty()) return;
  for (const auto& [group, members] : node->routing().groups()) {
    for (const auto& m : members) {
      if (identity.lost && m.store == identity.lost) return;
    }
  }
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
      spdlog::info("store={} has taken the place of store={}; what was left of that one is removed",
                   identity.store.value(), lost.value());
    });
  }));
}

}  // namespace kvd::server
