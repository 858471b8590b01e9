#include "client/kvctl/recover_plan.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace kvd::kvctl {
namespace {

constexpr uint64_t kController = 1;

// Whether so many of the voters can be reached that they can lead, and who does. A leader knows: it
// steps down without a majority.
bool HasMajority(const std::vector<Survivor>& found, uint64_t* leader) {
  *leader = 0;
  uint64_t term = 0;
  for (const Survivor& s : found) {
    if (s.status.role() != v1::GroupStatus::LEADER || s.status.term() < term) continue;
    *leader = s.store;
    term = s.status.term();
  }
  if (*leader != 0) return true;
  if (found.empty()) return false;
  std::set<uint64_t> there;
  for (const Survivor& s : found) {
    if (!s.status.rebuilding()) there.insert(s.status.replica_id());
  }
  int voters = 0;
  int up = 0;
  for (const auto& r : found[0].status.replicas()) {
    voters += r.voter() ? 1 : 0;
    up += r.voter() && there.contains(r.replica_id()) ? 1 : 0;
  }
  return voters > 0 && up > voters / 2;
}

LostGroup Describe(uint64_t group, std::vector<Survivor> found, const StoreAnswers& answers) {
  LostGroup lost;
  lost.group = group;
  lost.survivors = std::move(found);
  if (lost.survivors.empty()) return lost;
  const v1::GroupStatus& best = lost.survivors[0].status;
  std::set<uint64_t> there;
  for (const Survivor& s : lost.survivors) there.insert(s.status.replica_id());
  int voters = 0;
  int gone = 0;
  for (const auto& r : best.replicas()) {
    voters += r.voter() ? 1 : 0;
    if (there.contains(r.replica_id())) {
      if (r.store_id() != lost.survivors[0].store) lost.other_stores.push_back(r.store_id());
      continue;
    }
    gone += r.voter() ? 1 : 0;
    lost.gone_replicas.push_back(r.replica_id());
    auto answer = answers.find(r.store_id());
    bool answered = answer != answers.end() && answer->second.ok();
    (answered ? lost.other_stores : lost.gone_stores).push_back(r.store_id());
  }
  // Two majorities make the decisions of a joint configuration; which voter is of which is not
  // told.
  lost.may_lose = best.joint() || gone > voters / 2;
  return lost;
}

std::string Kvctl(const RecoveryPlan& plan) {
  return absl::StrCat(
      "kvctl --connect ",
      absl::StrJoin(plan.addresses, ",",
                    [](std::string* out, const auto& item) { absl::StrAppend(out, item.second); }),
      " ");
}

std::string RecoverText(const RecoveryPlan& plan, const LostGroup& lost) {
  std::string command =
      absl::StrCat(Kvctl(plan), "recover --group ", lost.group, " --store ",
                   lost.survivors[0].store, " --at ", PositionText(lost.survivors[0].status));
  if (lost.group == kController)
    absl::StrAppend(&command, " --gone ", absl::StrJoin(plan.ToGiveUp(), ","));
  return command + " --yes";
}

void AddCommands(RecoveryPlan* plan) {
  bool controller = plan->ControllerLost();
  if (!controller) {
    for (uint64_t store : plan->ToGiveUp())
      plan->commands.push_back(absl::StrCat(Kvctl(*plan), "store remove ", store, " --lost"));
  }
  for (const LostGroup& lost : plan->lost) {
    if (!lost.survivors.empty()) plan->commands.push_back(RecoverText(*plan, lost));
  }
}

}  // namespace

std::string PositionText(const v1::GroupStatus& status) {
  return absl::StrCat(status.last_term(), ":", status.last_index());
}

const LostGroup* RecoveryPlan::Find(uint64_t group) const {
  auto it = std::find_if(lost.begin(), lost.end(),
                         [group](const LostGroup& l) { return l.group == group; });
  return it == lost.end() ? nullptr : &*it;
}

std::vector<uint64_t> RecoveryPlan::ToGiveUp() const {
  std::set<uint64_t> stores;
  for (const LostGroup& l : lost) stores.insert(l.gone_stores.begin(), l.gone_stores.end());
  for (uint64_t store : removed) stores.erase(store);
  return {stores.begin(), stores.end()};
}

RecoveryPlan PlanRecovery(const v1::MembersResponse& members, const StoreAnswers& answers,
                          const std::set<uint64_t>& groups) {
  RecoveryPlan plan;
  plan.cluster = members.cluster_id();
  std::map<uint64_t, std::vector<Survivor>> found;
  for (uint64_t group : groups) found[group];
  for (const auto& store : members.stores()) {
    const auto& answer = answers.at(store.store_id());
    if (!answer.ok()) {
      plan.unreachable[store.store_id()] =
          absl::StrCat(store.address(), ": ", std::string(answer.status().message()));
      continue;
    }
    plan.addresses[store.store_id()] = store.address();
    plan.removed.insert(answer->removed_stores().begin(), answer->removed_stores().end());
    for (const v1::GroupStatus& group : answer->groups())
      found[group.group_id()].push_back({store.store_id(), store.address(), group});
  }
  for (auto& [group, survivors] : found) {
    std::stable_sort(survivors.begin(), survivors.end(), [](const Survivor& a, const Survivor& b) {
      return std::tuple(a.status.last_term(), a.status.last_index()) >
             std::tuple(b.status.last_term(), b.status.last_index());
    });
    // One that was just created knows of nobody, and tells nothing.
    std::erase_if(survivors, [](const Survivor& s) { return s.status.replicas().empty(); });
    uint64_t leader = 0;
    if (HasMajority(survivors, &leader)) {
      plan.whole[group] = leader;
    } else {
      plan.lost.push_back(Describe(group, std::move(survivors), answers));
    }
  }
  AddCommands(&plan);
  return plan;
}

namespace {

absl::Status No(const std::string& why) { return absl::FailedPreconditionError(why); }

absl::Status CheckGone(const RecoveryPlan& plan, const RecoveryChoice& choice) {
  for (uint64_t store : choice.gone) {
    if (plan.addresses.contains(store))
      return No(absl::StrCat("--gone: store ", store, " answers: it is not gone"));
  }
  for (uint64_t store : plan.ToGiveUp()) {
    if (choice.group != kController) {
      const LostGroup& lost = *plan.Find(choice.group);
      if (std::find(lost.gone_stores.begin(), lost.gone_stores.end(), store) ==
          lost.gone_stores.end())
        continue;
      return No(absl::StrCat("store ", store, " is not removed from the cluster: first ",
                             Kvctl(plan), "store remove ", store, " --lost"));
    }
    if (std::find(choice.gone.begin(), choice.gone.end(), store) == choice.gone.end()) {
      return No(absl::StrCat(
          "--gone: store ", store, " (",
          plan.unreachable.contains(store) ? plan.unreachable.at(store) : "not known where",
          ") does not answer and is not named: start it, or name it for good"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckChoice(const RecoveryPlan& plan, const RecoveryChoice& choice) {
  if (auto whole = plan.whole.find(choice.group); whole != plan.whole.end()) {
    return No(absl::StrCat(
        "group ", choice.group, " has a majority",
        whole->second == 0 ? std::string() : absl::StrCat(", led by store ", whole->second)));
  }
  const LostGroup* lost = plan.Find(choice.group);
  if (lost == nullptr) return absl::NotFoundError(absl::StrCat("there is no group ", choice.group));
  auto from = std::find_if(lost->survivors.begin(), lost->survivors.end(),
                           [&](const Survivor& s) { return s.store == choice.store; });
  if (from == lost->survivors.end()) {
    return absl::NotFoundError(
        absl::StrCat("store ", choice.store,
                     plan.addresses.contains(choice.store)
                         ? absl::StrCat(" has no replica of group ", choice.group)
                         : std::string(" does not answer, or is no store of this cluster")));
  }
  const Survivor& best = lost->survivors[0];
  if (std::tuple(best.status.last_term(), best.status.last_index()) >
      std::tuple(from->status.last_term(), from->status.last_index())) {
    return No(absl::StrCat("store ", best.store, " has more of group ", choice.group, ": up to ",
                           PositionText(best.status), ", store ", choice.store, " up to ",
                           PositionText(from->status)));
  }
  if (!from->status.recovery_refusal().empty())
    return No(absl::StrCat("group ", choice.group, ": ", from->status.recovery_refusal()));
  if (choice.group != kController && plan.ControllerLost())
    return No("group 1, the controller's, has no majority: recover it first");
  absl::Status gone = CheckGone(plan, choice);
  if (!gone.ok()) return gone;
  if (choice.at == PositionText(from->status)) return absl::OkStatus();
  return No(absl::StrCat("--at: the replica on store ", choice.store, " is at ",
                         PositionText(from->status), ", not at ",
                         choice.at.empty() ? "a place that was given" : choice.at,
                         ": look at the plan again"));
}

}  // namespace kvd::kvctl
