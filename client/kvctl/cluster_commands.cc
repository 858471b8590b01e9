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
  auto group = std::make_shared<uint64_t>(0);
  command->add_option("store", *store, "Store id, as kvctl status shows it")->required();
  command->add_option("--group", *group, "Group id; none: the one that has the first key");
  command->callback([&context, store, group, change] {
    v1::ChangeMembershipRequest request;
    request.set_change(change);
    request.set_group_id(*group);
    request.set_store_id(*store);
    (void)OrFail(context.cluster().Change(request));
    ShowGroup(context, OrFail(context.cluster().Group(*group)));
  });
}

}  // namespace

void AddClusterCommands(CLI::App& app, Context& context, int*) {
  app.add_subcommand("status", "Show all stores")->callback([&context] { ShowStatus(context); });
  CLI::App* member = app.add_subcommand("member", "Show and change who replicates the data");
  member->require_subcommand(1);
  auto listed = std::make_shared<uint64_t>(0);
  CLI::App* list = member->add_subcommand("list", "Show a group's replicas");
  list->add_option("--group", *listed, "Group id; none: the one that has the first key");
  list->callback(
      [&context, listed] { ShowGroup(context, OrFail(context.cluster().Group(*listed))); });
  AddChange(member, context, "add", "Add a replica on a store, which votes once it has caught up",
            v1::ChangeMembershipRequest::ADD);
  AddChange(member, context, "remove", "Remove a store's replica",
            v1::ChangeMembershipRequest::REMOVE);
  auto ids = std::make_shared<std::pair<uint64_t, uint64_t>>();
  CLI::App* replace = member->add_subcommand("replace", "Put NEW in the place of OLD in one step");
  replace->add_option("old", ids->first, "Store id to remove")->required();
  replace->add_option("new", ids->second, "Store id to make a voter")->required();
  auto replaced = std::make_shared<uint64_t>(0);
  replace->add_option("--group", *replaced, "Group id; none: the one that has the first key");
  replace->callback([&context, ids, replaced] {
    v1::ChangeMembershipRequest request;
    request.set_group_id(*replaced);
    request.set_change(v1::ChangeMembershipRequest::REPLACE);
    request.set_store_id(ids->second);
    request.set_replaced_store_id(ids->first);
    (void)OrFail(context.cluster().Change(request));
    ShowGroup(context, OrFail(context.cluster().Group(*replaced)));
  });
  auto target = std::make_shared<uint64_t>(0);
  CLI::App* transfer = member->add_subcommand("transfer", "Hand leadership to a store");
  transfer->add_option("store", *target, "Store id; none: the most caught-up voter");
  auto led = std::make_shared<uint64_t>(0);
  transfer->add_option("--group", *led, "Group id; none: the one that has the first key");
  transfer->callback([&context, target, led] {
    v1::TransferLeadershipRequest request;
    request.set_group_id(*led);
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
