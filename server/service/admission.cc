#include "server/service/admission.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include "proto/fault_point.h"
#include "proto/limits.h"

namespace kvd::service {

std::vector<raft::Member> Predecessors(const shard::GroupMeta& meta,
                                       const raft::Configuration& configuration, StoreId store,
                                       const std::string& address, StoreId lost) {
  std::vector<raft::Member> found;
  for (const raft::Member& m : configuration.Members()) {
    if (m.store == store) continue;
    auto record = meta.stores.find(m.store);
    bool same = record != meta.stores.end() && record->second.address == address;
    if (same || (lost && m.store == lost)) found.push_back(m);
  }
  return found;
}

bool IsAdmitted(const shard::GroupMeta& meta, const raft::Configuration& configuration,
                const raft::Member& member, const std::string& address, StoreId lost,
                size_t voters_wanted) {
  // Somebody else may have promoted it and left the others where they are.
  if (!Predecessors(meta, configuration, member.store, address, lost).empty()) return false;
  if (configuration.IsVoter(member.replica)) return true;
  return configuration.IsLearner(member.replica) && configuration.voters.size() >= voters_wanted;
}

Duration SilenceMin(Duration election_timeout) {
  return std::max<Duration>(std::chrono::seconds(2), 2 * election_timeout);
}

StoreId Admission::StoreOf(uint64_t nonce) const {
  for (const auto& [id, record] : group_->meta().stores) {
    if (record.nonce == nonce) return id;
  }
  return StoreId();
}

absl::Status Admission::Check(const Applicant& applicant) const {
  if (applicant.cluster && applicant.cluster != options_.cluster) {
    return WrongClusterError(options_.cluster, applicant.cluster);
  }
  if (applicant.address.empty() || applicant.address.size() > kAddressBytesMax) {
    return LimitError("address", kAddressBytesMax, applicant.address.size(), "bytes");
  }
  if (applicant.nonce == 0) return LimitError("join_nonce", 1, 0, "");
  StoreId store = StoreOf(applicant.nonce);
  auto lost = group_->meta().stores.find(applicant.lost);
  if (!store && lost != group_->meta().stores.end() && lost->second.removed) {
    return absl::FailedPreconditionError(
        absl::StrCat("store ", applicant.lost.value(),
                     " was removed from the cluster; empty its data "
                     "directory to join as a new one"));
  }
  return CheckPlace(applicant, store);
}

// Whether those whose place it takes are gone, as far as a leader can tell.
absl::Status Admission::CheckPlace(const Applicant& applicant, StoreId store) const {
  const raft::Core& core = host_->core(group_->group());
  for (const raft::Member& m : Predecessors(group_->meta(), core.configuration(), store,
                                            applicant.address, applicant.lost)) {
    Duration silence = membership_->SilenceOf(m.replica);
    if (silence >= options_.silence_min) continue;
    auto ms = std::chrono::duration_cast<milliseconds>(silence).count();
    if (membership_->Heard(m.replica)) {
      return absl::AlreadyExistsError(
          absl::StrCat("address ", Printable(applicant.address), " is that of store ",
                       m.store.value(), ", which was heard from ", ms,
                       " ms ago: one of the two needs another --listen or --advertise"));
    }
    return absl::UnavailableError(
        absl::StrCat("the leader leads for ", ms, " ms and can't tell yet whether store ",
                     m.store.value(), " at ", Printable(applicant.address), " is gone"));
  }
  return absl::OkStatus();
}

void Admission::Join(const Applicant& applicant, Done done) {
  if (!group_->leads()) {
    return done(NotLeaderError(group_->group(), host_->LeaderStore(group_->group()), ""));
  }
  // What earlier leaders let in and removed must be known.
  if (!group_->ready()) return done(absl::UnavailableError("the new leader is not ready yet"));
  absl::Status status = Check(applicant);
  if (!status.ok()) return done(status);
  shard::Command command;
  command.kind = shard::CommandKind::kJoin;
  command.address = applicant.address;
  command.nonce = applicant.nonce;
  group_->Submit(std::move(command), [this, applicant, done = std::move(done)](
                                         absl::StatusOr<shard::CommandResult> result) {
    if (!result.ok()) return done(result.status());
    raft::Member member{result->replica, result->store};
    KVD_FAULT_POINT(kAllotted);
    done(member);
    Admit(member, applicant.address, applicant.lost);
  });
}

void Admission::Admit(raft::Member member, const std::string& address, StoreId lost) {
  const raft::Core& core = host_->core(group_->group());
  if (IsAdmitted(group_->meta(), core.configuration(), member, address, lost,
                 options_.voters_wanted) ||
      !admitting_.insert(member.replica).second) {
    return;
  }
  auto finish = [this, replica = member.replica](const absl::Status&) {
    admitting_.erase(replica);
  };
  membership_->AddLearner(
      member, [this, member, address, lost, finish](const absl::Status& status) {
        if (!status.ok()) return finish(status);
        const raft::Configuration& now = host_->core(group_->group()).configuration();
        Promotion promotion;
        promotion.learner = member.replica;
        auto replaced = Predecessors(group_->meta(), now, member.store, address, lost);
        for (const raft::Member& m : replaced) promotion.replaced.push_back(m.replica);
        if (!replaced.empty() && on_replacing) on_replacing(member, replaced);
        bool enough = now.voters.size() >= options_.voters_wanted && promotion.replaced.empty();
        if (enough) return finish(status);
        promotion.patience = std::chrono::seconds(60);
        promotion.voters_wanted = options_.voters_wanted;
        promotion.silence_min = options_.silence_min;
        membership_->Promote(promotion, finish);
      });
}

}  // namespace kvd::service
