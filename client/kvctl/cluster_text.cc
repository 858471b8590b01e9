#include "client/kvctl/cluster_text.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/kvctl/format.h"

namespace kvd::kvctl {
namespace {

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string out;
  (void)google::protobuf::util::MessageToJsonString(message, &out, options);
  return out;
}

std::string RoleName(v1::GroupStatus::Role role) {
  switch (role) {
    case v1::GroupStatus::LEADER: return "leader";
    case v1::GroupStatus::FOLLOWER: return "follower";
    case v1::GroupStatus::LEARNER: return "learner";
    case v1::GroupStatus::CANDIDATE: return "candidate";
    default: return "?";
  }
}

std::string StateName(const v1::GroupStatus& group) {
  return group.rebuilding() ? "rebuilding" : group.damage().empty() ? "up" : "damaged";
}

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
                             const v1::StatusResponse& answer, uint64_t commit) {
  const v1::GroupStatus& group = answer.groups(0);
  return {std::to_string(store),
          Escape(address),
          StateName(group),
          RoleName(group.role()),
          std::to_string(group.term()),
          std::to_string(group.commit_index()),
          std::to_string(group.applied_index()),
          std::to_string(commit - std::min(commit, group.applied_index())),
          HumanBytes(answer.data_bytes()),
          HumanBytes(answer.log_bytes()),
          DiskText(answer),
          absl::StrCat(answer.uptime_s(), " s")};
}

}  // namespace

std::string StatusText(const v1::MembersResponse& members, const StoreAnswers& answers, bool json) {
  uint64_t commit = 0;
  for (const auto& [store, answer] : answers) {
    if (answer.ok()) commit = std::max(commit, answer->groups(0).commit_index());
  }
  std::vector<std::vector<std::string>> rows = {{"STORE", "ADDRESS", "STATE", "ROLE", "TERM",
                                                 "COMMIT", "APPLIED", "LAG", "DATA", "LOG", "DISK",
                                                 "UPTIME"}};
  std::string objects;
  for (const auto& store : members.stores()) {
    const auto& answer = answers.at(store.store_id());
    absl::StrAppend(&objects, objects.empty() ? "" : ", ",
                    answer.ok() ? ToJson(*answer)
                                : DownJson(store.store_id(), store.address(), answer.status()));
    if (answer.ok()) {
      rows.push_back(Row(store.store_id(), store.address(), *answer, commit));
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
