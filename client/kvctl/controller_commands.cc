// store, group, op, setting: what the cluster consists of, and changing it.
#include "absl/strings/str_cat.h"
#include "client/kvctl/controller_calls.h"

namespace kvd::kvctl {
namespace {

using Stub = ControllerStub;

void SetState(Context& context, uint64_t store, v1::RoutingResponse::Store::State state,
              bool lost) {
  v1::SetStoreStateRequest request;
  request.set_store_id(store);
  request.set_state(state);
  request.set_lost(lost);
  (void)OrFail(ClientOf(context).Call(&Stub::SetStoreState, request));
  std::cout << (context.json() ? "{}\n" : absl::StrCat("OK store ", store, "\n"));
}

void AddLabelCommand(CLI::App* store, Context& context) {
  auto id = std::make_shared<uint64_t>();
  auto label = std::make_shared<std::string>();
  CLI::App* command = store->add_subcommand(
      "label", "Give a store a label, whatever it was started with; zone tells replicas apart");
  command->add_option("store", *id, "Store id, as store list shows it")->required();
  command->add_option("label", *label, "name=value; with no value it has no such label")
      ->required();
  command->callback([&context, id, label] {
    size_t equals = label->find('=');
    if (equals == std::string::npos || equals == 0)
      throw CLI::ValidationError("label", *label + " is not of the form name=value");
    v1::SetStoreLabelRequest request;
    request.set_store_id(*id);
    request.set_name(label->substr(0, equals));
    request.set_value(label->substr(equals + 1));
    (void)OrFail(ClientOf(context).Call(&Stub::SetStoreLabel, request));
    std::cout << (context.json() ? "{}\n" : absl::StrCat("OK store ", *id, "\n"));
  });
}

void AddStoreCommands(CLI::App& app, Context& context) {
  using Store = v1::RoutingResponse::Store;
  CLI::App* store = app.add_subcommand("store", "Show stores, empty them, give them up");
  store->require_subcommand(1);
  auto gone = std::make_shared<bool>(false);
  CLI::App* list = store->add_subcommand("list", "Show the stores as the controller sees them");
  list->add_flag("--gone", *gone, "Also those that are gone for good");
  list->callback([&context, gone] {
    v1::ListStoresRequest request;
    request.set_gone(*gone);
    Show(context, OrFail(ClientOf(context).Call(&Stub::ListStores, request)), StoresText);
  });
  AddStoreShow(store, context);
  auto add = [&](const char* name, const char* help, Store::State state) {
    auto id = std::make_shared<uint64_t>();
    auto lost = std::make_shared<bool>(false);
    CLI::App* command = store->add_subcommand(name, help);
    command->add_option("store", *id, "Store id, as store list shows it")->required();
    if (state == Store::GONE)
      command->add_flag("--lost", *lost, "Although it has replicas: it will never come back");
    command->callback([&context, id, lost, state] { SetState(context, *id, state, *lost); });
  };
  add("drain", "Move a store's replicas elsewhere; it can be stopped once it has none",
      Store::DRAINING);
  add("undrain", "Let a store have replicas again", Store::SERVING);
  add("remove", "Give a store up for good: it can't come back under its id", Store::GONE);
  AddLabelCommand(store, context);
}

void AddOperationCommands(CLI::App& app, Context& context) {
  CLI::App* op = app.add_subcommand("op", "Show and cancel operations");
  op->require_subcommand(1);
  auto over = std::make_shared<bool>(false);
  auto id = std::make_shared<uint64_t>(0);
  CLI::App* list = op->add_subcommand("list", "Show what is under way");
  list->add_flag("--all", *over, "Also the last ones that are over");
  list->callback([&context, over] {
    v1::ListOperationsRequest request;
    request.set_over(*over);
    Show(context, OrFail(ClientOf(context).Call(&Stub::ListOperations, request)), OperationsText);
  });
  CLI::App* show = op->add_subcommand("show", "Show one operation");
  show->add_option("operation", *id, "Operation id")->required();
  show->callback([&context, id] {
    v1::ListOperationsRequest request;
    request.set_operation_id(*id);
    Show(context, OrFail(ClientOf(context).Call(&Stub::ListOperations, request)), OperationsText);
  });
  CLI::App* cancel = op->add_subcommand("cancel", "Have an operation taken back");
  cancel->add_option("operation", *id, "Operation id")->required();
  cancel->callback([&context, id] {
    v1::CancelRequest request;
    request.set_operation_id(*id);
    (void)OrFail(ClientOf(context).Call(&Stub::Cancel, request));
    std::cout << (context.json() ? "{}\n" : absl::StrCat("OK operation ", *id, "\n"));
  });
}

void AddSettingCommands(CLI::App& app, Context& context) {
  CLI::App* setting = app.add_subcommand("setting", "Show and change the cluster's settings");
  setting->require_subcommand(1);
  setting->add_subcommand("list", "Show all settings")->callback([&context] {
    Show(context, OrFail(ClientOf(context).Call(&Stub::ListSettings, v1::ListSettingsRequest())),
         SettingsText);
  });
  auto name = std::make_shared<std::string>();
  auto value = std::make_shared<uint64_t>();
  CLI::App* set = setting->add_subcommand("set", "Change one");
  set->add_option("name", *name, "As setting list shows it")->required();
  set->add_option("value", *value, "A number")->required();
  set->callback([&context, name, value] {
    v1::SetSettingRequest request;
    request.set_name(*name);
    request.set_value(*value);
    (void)OrFail(ClientOf(context).Call(&Stub::SetSetting, request));
    std::cout << (context.json() ? "{}\n" : absl::StrCat("OK ", *name, " is ", *value, "\n"));
  });
}

}  // namespace

void AddControllerCommands(CLI::App& app, Context& context, int*) {
  AddStoreCommands(app, context);
  CLI::App* group = app.add_subcommand("group", "Show groups");
  group->require_subcommand(1);
  group->add_subcommand("list", "Show all groups, and where their replicas are")
      ->callback([&context] {
        Show(context, OrFail(ClientOf(context).Call(&Stub::ListGroups, v1::ListGroupsRequest())),
             GroupsText);
      });
  AddGroupShow(group, context);
  AddShardCommands(app, context);
  AddExplainCommand(app, context);
  AddTopCommand(app, context);
  AddConfigCommands(app, context);
  AddOperationCommands(app, context);
  AddSettingCommands(app, context);
}

}  // namespace kvd::kvctl
