#include "client/kvctl/cluster_text.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "client/kvctl/controller_text.h"
#include "client/kvctl/format.h"

namespace kvd::kvctl {
namespace {

std::string StateName(const v1::StatusResponse& store) {
  std::string name = "up";
  for (const v1::GroupStatus& group : store.groups()) {
    if (group.rebuilding()) return "rebuilding";
    if (!group.damage().empty()) name = "damaged";
  }
  return name;
}

// The highest commit index that is known of each group.
using Commits = std::map<uint64_t, uint64_t>;

std::string DiskText(const v1::StatusResponse& store) {
  const char* state = store.disk_state() == v1::StatusResponse::DISK_LOW        ? "LOW, "
                      : store.disk_state() == v1::StatusResponse::DISK_CRITICAL ? "CRITICAL, "
                                                                                : "";
  return absl::StrCat(state, HumanBytes(store.disk_free_bytes()), " free");
}

std::string DownJson(uint64_t store, const std::string& address, const absl::Status& why) {
  return absl::StrCat("{\"store_id\": ", store, ", \"address\": ", JsonText(address),
                      ", \"error\": ", JsonText(std::string(why.message())), "}");
}

std::vector<std::string> Row(uint64_t store, const std::string& address,
                             const v1::StatusResponse& answer, const Commits& commits) {
  int leads = 0;
  uint64_t lag = 0;
  for (const v1::GroupStatus& group : answer.groups()) {
    leads += group.role() == v1::GroupStatus::LEADER ? 1 : 0;
    uint64_t commit = commits.at(group.group_id());
    lag += commit - std::min(commit, group.applied_index());
  }
  return {std::to_string(store),
          Escape(address),
          StateName(answer),
          std::to_string(answer.groups_size()),
          std::to_string(leads),
          std::to_string(lag),
          HumanBytes(answer.data_bytes()),
          HumanBytes(answer.log_bytes()),
          DiskText(answer),
          absl::StrCat(answer.uptime_s(), " s")};
}

}  // namespace

std::string StatusText(const v1::MembersResponse& members, const StoreAnswers& answers, bool json) {
  Commits commits;
  for (const auto& [store, answer] : answers) {
    if (!answer.ok()) continue;
    for (const v1::GroupStatus& group : answer->groups()) {
      uint64_t& commit = commits[group.group_id()];
      commit = std::max(commit, group.commit_index());
    }
  }
  std::vector<std::vector<std::string>> rows = {
      {"STORE", "ADDRESS", "STATE", "GROUPS", "LEADS", "LAG", "DATA", "LOG", "DISK", "UPTIME"}};
  std::string objects;
  for (const auto& store : members.stores()) {
    const auto& answer = answers.at(store.store_id());
    absl::StrAppend(&objects, objects.empty() ? "" : ", ",
                    answer.ok() ? ToJson(*answer)
                                : DownJson(store.store_id(), store.address(), answer.status()));
    if (answer.ok()) {
      rows.push_back(Row(store.store_id(), store.address(), *answer, commits));
    } else {
      rows.push_back({std::to_string(store.store_id()), Escape(store.address()), "down"});
    }
  }
  if (!json) return absl::StrCat("cluster ", members.cluster_id(), "\n", Table(rows));
  return absl::StrCat("{\"cluster_id\": \"", members.cluster_id(), "\", \"stores\": [", objects,
                      "]}\n");
}

std::string GroupText(const v1::GroupStatus& group, bool json) {
  if (json) return ToJson(group) + "\n";
  std::vector<std::vector<std::string>> rows = {
      {"STORE", "REPLICA", "ADDRESS", "VOTES", "MATCH", "PROGRESS"}};
  for (const auto& r : group.replicas()) {
    rows.push_back({std::to_string(r.store_id()), std::to_string(r.replica_id()),
                    Escape(r.address()), r.voter() ? "yes" : "learner",
                    std::to_string(r.match_index()),
                    r.store_id() == group.leader_store_id() ? "leader" : Escape(r.progress())});
  }
  return Table(rows);
}

}  // namespace kvd::kvctl
