// recover: what is left of groups whose majority is gone, and bringing them back.
#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/kvctl/controller_calls.h"
#include "client/kvctl/recover_plan.h"

namespace kvd::kvctl {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(100);

// Groups of which no replica may be left are known to the controller alone, if it is there.
std::set<uint64_t> KnownGroups(const Context& context) {
  std::set<uint64_t> groups;
  client::ControllerClient controller(context.addresses, std::chrono::milliseconds(500));
  auto listed = controller.Call(&ControllerStub::ListGroups, v1::ListGroupsRequest());
  if (!listed.ok()) return groups;
  for (const auto& group : listed->groups()) groups.insert(group.group().group_id());
  return groups;
}

RecoveryPlan Plan(Context& context) {
  auto cluster = context.cluster();
  v1::MembersResponse members = OrFail(cluster.Members());
  StoreAnswers answers;
  for (const auto& store : members.stores())
    answers.emplace(store.store_id(), cluster.StatusOf(store.address()));
  return PlanRecovery(members, answers, KnownGroups(context));
}

// What the controller has removed counts, though the survivor may not have heard of it yet.
void NoteRemoved(const Context& context, const LostGroup& lost, RecoveryPlan* plan) {
  bool all = std::all_of(lost.gone_stores.begin(), lost.gone_stores.end(),
                         [&](uint64_t store) { return plan->removed.contains(store); });
  if (all) return;
  v1::ListStoresRequest request;
  request.set_gone(true);
  auto listed = ClientOf(context).Call(&ControllerStub::ListStores, request);
  if (!listed.ok()) return;
  for (const auto& store : listed->stores()) {
    if (store.store().state() == v1::RoutingResponse::Store::GONE)
      plan->removed.insert(store.store().store_id());
  }
}

// A store that was just removed is known as such where it matters within a second.
void AwaitRemoved(Context& context, const LostGroup& lost, const std::string& address) {
  auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(context.timeout_ms);
  while (std::chrono::steady_clock::now() < end) {
    auto status = context.cluster().StatusOf(address);
    if (!status.ok()) return;
    std::set<uint64_t> removed(status->removed_stores().begin(), status->removed_stores().end());
    bool all = std::all_of(lost.gone_stores.begin(), lost.gone_stores.end(),
                           [&](uint64_t store) { return removed.contains(store); });
    if (all) return;
    std::this_thread::sleep_for(kPollInterval);
  }
}

void Recover(Context& context, RecoveryPlan plan, const RecoveryChoice& choice) {
  if (plan.Find(choice.group) != nullptr && choice.group != 1 && !plan.ControllerLost())
    NoteRemoved(context, *plan.Find(choice.group), &plan);
  absl::Status may = CheckChoice(plan, choice);
  if (!may.ok()) throw Failure{may};
  const LostGroup& lost = *plan.Find(choice.group);
  auto from = std::find_if(lost.survivors.begin(), lost.survivors.end(),
                           [&](const Survivor& s) { return s.store == choice.store; });
  v1::RecoverGroupRequest request;
  request.set_cluster_id(plan.cluster);
  request.set_store_id(choice.store);
  request.set_group_id(choice.group);
  request.set_replica_id(from->status.replica_id());
  request.set_last_index(from->status.last_index());
  request.set_last_term(from->status.last_term());
  std::set<uint64_t> gone(choice.gone.begin(), choice.gone.end());
  gone.insert(lost.gone_stores.begin(), lost.gone_stores.end());
  request.mutable_gone_stores()->Add(gone.begin(), gone.end());
  for (const auto& r : from->status.replicas()) {
    if (r.store_id() != choice.store && !gone.contains(r.store_id()))
      request.add_other_stores(r.store_id());
  }
  if (choice.group != 1) AwaitRemoved(context, lost, from->address);
  v1::RecoverGroupResponse response = OrFail(context.cluster().Recover(from->address, request));
  if (context.json()) {
    std::cout << ToJson(response) << "\n";
    return;
  }
  std::cout << "OK group " << choice.group << " goes on from store " << choice.store
            << ", its only replica until the controller has made more: term "
            << response.group().term() << ", index " << response.group().last_index() << "\n";
}

}  // namespace

void AddRecoverCommand(CLI::App& app, Context& context, int*) {
  auto choice = std::make_shared<RecoveryChoice>();
  auto plan_only = std::make_shared<bool>(false);
  auto yes = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "recover",
      "After a majority of a group's stores is gone for good: what is left, what may be "
      "lost, and bringing the group back from one store");
  command->add_flag("--plan", *plan_only,
                    "Show what is to be done, with the commands; the default");
  CLI::Option* group =
      command->add_option("--group", choice->group, "Group to bring back; 1 is the controller's");
  CLI::Option* store =
      command->add_option("--store", choice->store, "Store whose replica it goes on from");
  command->add_option("--at", choice->at, "TERM:INDEX where that replica's log ends by the plan");
  command
      ->add_option("--gone", choice->gone,
                   "With --group 1: stores that are gone for good; they are removed with it")
      ->delimiter(',');
  command->add_flag("--yes", *yes, "Do it: what the plan says may be lost is given up");
  group->needs(store);
  store->needs(group);
  command->callback([&context, choice, plan_only, yes] {
    RecoveryPlan plan = Plan(context);
    if (*plan_only || choice->group == 0 || !*yes) {
      bool refused = choice->group != 0 && plan.Find(choice->group) == nullptr;
      if (!refused) std::cout << PlanText(plan, choice->group, context.json());
      if (*plan_only || choice->group == 0) return;
      absl::Status may = CheckChoice(plan, *choice);
      if (!may.ok()) throw Failure{may};
      throw Failure{absl::FailedPreconditionError("nothing was done: --yes is missing")};
    }
    Recover(context, std::move(plan), *choice);
  });
}

}  // namespace kvd::kvctl
