// status, member.
#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "client/kvctl/context.h"
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

void ShowStatus(Context& context) {
  auto cluster = context.cluster();
  v1::MembersResponse members = OrFail(cluster.Members());
  std::vector<std::vector<std::string>> rows = {{"STORE", "ADDRESS", "STATE", "ROLE", "TERM", "COMMIT",
                                                 "APPLIED", "LAG", "DATA", "LOG", "DISK", "UPTIME"}};
  std::string json;
  uint64_t commit = 0;
  std::map<uint64_t, absl::StatusOr<v1::StatusResponse>> answers;
  for (const auto& store : members.stores()) {
    auto answer = cluster.StatusOf(store.address());
    if (answer.ok()) commit = std::max(commit, answer->groups(0).commit_index());
    answers.emplace(store.store_id(), std::move(answer));
  }
  for (const auto& store : members.stores()) {
    const auto& answer = answers.at(store.store_id());
    absl::StrAppend(&json, json.empty() ? "" : ", ");
    if (!answer.ok()) {
      rows.push_back({std::to_string(store.store_id()), store.address(), "down"});
      absl::StrAppend(&json, "{\"store_id\": ", store.store_id(), ", \"address\": ",
                      JsonString(store.address()), ", \"error\": ",
                      JsonString(std::string(answer.status().message())), "}");
      continue;
    }
    const v1::GroupStatus& group = answer->groups(0);
    rows.push_back({std::to_string(store.store_id()), store.address(), StateName(group), RoleName(group.role()),
                    std::to_string(group.term()), std::to_string(group.commit_index()),
                    std::to_string(group.applied_index()),
                    std::to_string(commit - std::min(commit, group.applied_index())),
                    HumanBytes(answer->data_bytes()), HumanBytes(answer->log_bytes()), DiskText(*answer),
                    absl::StrCat(answer->uptime_s(), " s")});
    json += ToJson(*answer);
  }
  if (context.json()) {
    std::cout << "{\"cluster_id\": \"" << members.cluster_id() << "\", \"stores\": [" << json << "]}\n";
  } else {
    std::cout << "cluster " << members.cluster_id() << "\n" << Table(rows);
  }
}

void ShowGroup(const Context& context, const v1::GroupStatus& group) {
  if (context.json()) {
    std::cout << ToJson(group) << "\n";
    return;
  }
  std::vector<std::vector<std::string>> rows = {{"STORE", "REPLICA", "ADDRESS", "VOTES", "MATCH", "PROGRESS"}};
  for (const auto& r : group.replicas()) {
    rows.push_back({std::to_string(r.store_id()), std::to_string(r.replica_id()), r.address(),
                    r.voter() ? "yes" : "learner", std::to_string(r.match_index()),
                    r.store_id() == group.leader_store_id() ? "leader" : r.progress()});
  }
  std::cout << Table(rows);
}

void AddChange(CLI::App* member, Context& context, const char* name, const char* help,
               v1::ChangeMembershipRequest::Change change) {
  auto store = std::make_shared<uint64_t>();
  CLI::App* command = member->add_subcommand(name, help);
  command->add_option("store", *store, "Store id, as kvctl status shows it")->required();
  command->callback([&context, store, change] {
    v1::ChangeMembershipRequest request;
    request.set_change(change);
    request.set_store_id(*store);
    ShowGroup(context, OrFail(context.cluster().Change(request)).group());
  });
}

}  // namespace

void AddClusterCommands(CLI::App& app, Context& context, int*) {
  app.add_subcommand("status", "Show all stores")->callback([&context] { ShowStatus(context); });
  CLI::App* member = app.add_subcommand("member", "Show and change who replicates the data");
  member->require_subcommand(1);
  member->add_subcommand("list", "Show the replicas")->callback([&context] {
    ShowGroup(context, OrFail(context.cluster().Members()).groups(0));
  });
  AddChange(member, context, "add", "Make a joined store's replica a voter once it has caught up",
            v1::ChangeMembershipRequest::ADD);
  AddChange(member, context, "promote", "As add", v1::ChangeMembershipRequest::PROMOTE);
  AddChange(member, context, "remove", "Remove a store's replica", v1::ChangeMembershipRequest::REMOVE);
  auto ids = std::make_shared<std::pair<uint64_t, uint64_t>>();
  CLI::App* replace = member->add_subcommand("replace", "Put NEW in the place of OLD in one step");
  replace->add_option("old", ids->first, "Store id to remove")->required();
  replace->add_option("new", ids->second, "Store id to make a voter")->required();
  replace->callback([&context, ids] {
    v1::ChangeMembershipRequest request;
    request.set_change(v1::ChangeMembershipRequest::REPLACE);
    request.set_store_id(ids->second);
    request.set_replaced_store_id(ids->first);
    ShowGroup(context, OrFail(context.cluster().Change(request)).group());
  });
  auto target = std::make_shared<uint64_t>(0);
  CLI::App* transfer = member->add_subcommand("transfer", "Hand leadership to a store");
  transfer->add_option("store", *target, "Store id; none: the most caught-up voter");
  transfer->callback([&context, target] {
    v1::TransferLeadershipRequest request;
    request.set_store_id(*target);
    auto response = OrFail(context.cluster().Transfer(request));
    if (context.json()) {
      std::cout << "{\"leader_store_id\": " << response.store_id() << "}\n";
    } else {
      std::cout << "OK store " << response.store_id() << " leads\n";
    }
  });
}

}  // namespace kvd::kvctl
