// A damaged state is given up and rebuilt from the other replicas: noted and left here, given up at
// the next start before the engine opens, fetched by the ordinary way of a state behind its log
// (raft/README.md, "Damage"). The process starts anew in between, so that nothing of what it had in
// memory, in caches or open survives: a crash at any moment does the same.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "server/server_parts.h"
#include "server/state_files.h"

namespace kvd::server {
namespace {

// What reads and verifications find is given in to this often: a disk that goes on decaying, or a
// value that is wrong everywhere, is not helped by more.
constexpr uint64_t kRebuildsAnHourMax = 10;

class RemoveOldState : public Job {
 public:
  explicit RemoveOldState(StateFiles files) : files_(std::move(files)) {}
  bool Step() override {
    files_.RemoveOld();
    return false;
  }

 private:
  const StateFiles files_;
};

// Whether nobody else could have a state of one of these groups, going by what the log says.
bool Alone(const std::vector<raft::GroupLog>& logs) {
  for (const raft::GroupLog& log : logs) {
    if (log.removed) continue;
    raft::Configuration configuration = log.start.configuration;
    for (const raft::EntryPtr& entry : log.entries) {
      if (entry->type != raft::EntryType::kConfiguration) continue;
      KVD_CHECK(raft::Configuration::Decode(entry->data, &configuration));
    }
    if (configuration.voters.size() == 1 && configuration.IsVoter(log.replica)) return true;
  }
  return false;
}

}  // namespace

absl::Status Server::Parts::OpenState() {
  StateFiles files(directory->path());
  std::optional<std::string> why = files.Condemned();
  // Noted while a leader was there; of a state that does not open nothing is known of the others'.
  bool others_have_it = why.has_value();
  bool alone = Alone(log_store->loaded());
  if (why && alone) {
    spdlog::error(
        "the state is damaged ({}), but no other replica has it any more: it is used as it is",
        *why);
    absl::Status absolved = files.Absolve();
    if (!absolved.ok()) return absolved;
    why.reset();
  }
  if (!why) {
    absl::Status opened = OpenEngine();
    if (!absl::IsDataLoss(opened)) return opened;
    if (alone) {
      return absl::DataLossError(
          absl::StrCat("the state in ", directory->data_path(),
                       " is damaged and no other replica has it; restore the data "
                       "directory from a backup: ",
                       std::string(opened.message())));
    }
    why = std::string(opened.message());
    groups.reset();
    engine.reset();
    others_have_it = false;
  }
  spdlog::error("the state is damaged: {}; it is given up and rebuilt from the other replicas",
                *why);
  absl::Status set_aside = files.SetAside(loop->WallMillis() / 1000, others_have_it);
  if (!set_aside.ok()) return set_aside;
  rebuilding = true;
  return OpenEngine();
}

void Server::Parts::PrepareRebuilder() {
  rebuilder = std::make_unique<shard::Rebuilder>(loop.get(), host);
  StateFiles files(directory->path());
  StateFiles::Record record = files.Rebuilds(loop->WallMillis() / 1000);
  rebuilds = record.total;
  old_state_kept = files.HasOld() && !files.KeepsOld();
  if (record.last_hour >= kRebuildsAnHourMax) rebuilder->Forbid(std::chrono::hours(1));
  rebuilder->on_damage = [this](const std::string& damage) {
    spdlog::error("the state is damaged: {}; {}", damage,
                  rebuilder->Possible()
                      ? "it will be rebuilt from the other replicas"
                      : "what is damaged is answered with DATA_LOSS, since no other replica can "
                        "help, or helped too often in the last hour");
  };
  rebuilder->on_waiting = [](const std::string& damage) {
    spdlog::error(
        "the state is damaged: {}; it can't be rebuilt as long as no other replica leads with a "
        "whole state, or too few others have theirs",
        damage);
  };
  rebuilder->go_out = [this](const std::string& damage) { GoOut(damage); };
  verifier->on_damage = [this](const absl::Status& damage) {
    rebuilder->Report(damage, shard::kVerifiedDamageDelay);
  };
}

absl::Status Server::Parts::KeepOldState() {
  spdlog::error(
      "the state that the others sent has values that match no checksum; what was given up here "
      "may have them right: data.damaged is kept, for you to look into and to remove");
  return StateFiles(directory->path()).KeepOld();
}

void Server::Parts::GoOut(const std::string& damage) {
  absl::Status noted = StateFiles(directory->path()).Condemn(damage);
  if (noted.ok()) {
    spdlog::error("starting anew without the damaged state: {}", damage);
    spdlog::default_logger()->flush();
    if (options.start_anew) options.start_anew();
  }
  spdlog::critical(
      "the state is damaged and this process can't start itself anew ({}); start it again",
      noted.ok() ? std::strerror(errno) : std::string(noted.message()));
  spdlog::shutdown();
  _exit(70);
}

// Once a second: whether the state is there, and whether what it replaces may go.
void Server::Parts::WatchRebuild() {
  bool needs_state = false, needs_repair = false;
  for (GroupId group : host->groups()) {
    needs_state = needs_state || host->core(group).NeedsState();
    needs_repair = needs_repair || host->core(group).NeedsRepair();
  }
  if (needs_state) {
    rebuilding = true;
    if (++seconds_rebuilding % 10 == 0) {
      spdlog::warn("the state is missing for {} s: no other replica has sent its own yet",
                   seconds_rebuilding);
    }
    return;
  }
  if (needs_repair) return;
  if (rebuilding) spdlog::info("the state is there again");
  rebuilding = false;
  seconds_rebuilding = 0;
  if (!old_state_kept) return;
  old_state_kept = false;
  worker->Run(std::make_unique<RemoveOldState>(StateFiles(directory->path())));
}

}  // namespace kvd::server
