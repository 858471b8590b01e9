// status, member.
#include "client/kvctl/cluster_text.h"
#include "client/kvctl/context.h"

namespace kvd::kvctl {
namespace {

void ShowStatus(Context& context) {
  auto cluster = context.cluster();
  v1::MembersResponse members = OrFail(cluster.Members());
  StoreAnswers answers;
  for (const auto& store : members.stores()) {
    answers.emplace(store.store_id(), cluster.StatusOf(store.address()));
  }
  std::cout << StatusText(members, answers, context.json());
}

void ShowGroup(const Context& context, const v1::GroupStatus& group) {
  std::cout << GroupText(group, context.json());
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
  AddChange(member, context, "remove", "Remove a store's replica",
            v1::ChangeMembershipRequest::REMOVE);
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
