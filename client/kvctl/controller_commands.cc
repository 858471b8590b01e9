// store, group, shard, config, op, setting: what the cluster consists of, and changing it.
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/kvctl/context.h"
#include "client/kvctl/controller_text.h"
#include "client/src/controller_client.h"

namespace kvd::kvctl {
namespace {

using Stub = v1::Controller::Stub;

client::ControllerClient ClientOf(const Context& context) {
  return {context.addresses, std::chrono::milliseconds(context.timeout_ms)};
}

template <class Response>
void Show(const Context& context, const Response& response, std::string (*text)(const Response&)) {
  std::cout << (context.json() ? ToJson(response) + "\n" : text(response));
}

v1::QueryResponse WholeConfig(Context& context, uint64_t number) {
  v1::QueryResponse whole;
  v1::QueryRequest request;
  request.set_config(number);
  do {
    v1::QueryResponse page = OrFail(ClientOf(context).Call(&Stub::Query, request));
    whole.set_config(page.config());
    whole.mutable_shards()->MergeFrom(page.shards());
    request.set_config(page.config());
    request.set_next_key(page.next_key());
  } while (!request.next_key().empty());
  return whole;
}

// Begins it, and waits until it is over unless told not to.
void Begin(Context& context, const v1::BeginRequest& request, bool wait) {
  uint64_t id = OrFail(ClientOf(context).Call(&Stub::Begin, request)).operation_id();
  v1::ListOperationsRequest look;
  look.set_operation_id(id);
  auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(context.timeout_ms);
  std::string phase = "running", trouble;
  while (wait && phase != "done" && phase != "cancelled") {
    if (std::chrono::steady_clock::now() > end) {
      throw Failure{absl::DeadlineExceededError(absl::StrCat(
          "operation ", id, " goes on, it is not done yet", trouble.empty() ? "" : ": ", trouble))};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    auto told = OrFail(ClientOf(context).Call(&Stub::ListOperations, look));
    phase = told.operations(0).phase();
    trouble = told.operations(0).trouble();
  }
  if (context.json()) {
    std::cout << absl::StrCat("{\"operation_id\": ", id, ", \"phase\": \"", phase, "\"}\n");
  } else {
    std::cout << "OK operation " << id << " is " << phase << "\n";
  }
}

void SetState(Context& context, uint64_t store, v1::RoutingResponse::Store::State state,
              bool lost) {
  v1::SetStoreStateRequest request;
  request.set_store_id(store);
  request.set_state(state);
  request.set_lost(lost);
  (void)OrFail(ClientOf(context).Call(&Stub::SetStoreState, request));
  std::cout << (context.json() ? "{}\n" : absl::StrCat("OK store ", store, "\n"));
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
}

void AddShardCommands(CLI::App& app, Context& context) {
  CLI::App* shard = app.add_subcommand("shard", "Show, move, split and merge shards");
  shard->require_subcommand(1);
  shard->add_subcommand("list", "Show who owns which keys")->callback([&context] {
    Show(context, WholeConfig(context, 0), ShardsText);
  });
  auto wait = std::make_shared<bool>(true);
  auto add = [&](const char* name, const char* help) {
    CLI::App* command = shard->add_subcommand(name, help);
    command->add_flag("!--no-wait", *wait, "Only begin it");
    return command;
  };
  auto ids = std::make_shared<std::pair<uint64_t, uint64_t>>();
  CLI::App* move = add("move", "Move a shard to another group");
  move->add_option("shard", ids->first, "Shard id")->required();
  move->add_option("group", ids->second, "Group id")->required();
  move->callback([&context, ids, wait] {
    v1::BeginRequest request;
    request.mutable_move()->set_shard_id(ids->first);
    request.mutable_move()->set_to_group_id(ids->second);
    Begin(context, request, *wait);
  });
  auto key = std::make_shared<std::string>();
  CLI::App* split = add("split", "Split the shard of a key there: it becomes the next one's first");
  split->add_option("key", *key, "First key of the new shard")->required();
  split->callback([&context, key, wait] {
    v1::BeginRequest request;
    request.mutable_split()->set_key(OrFail(context.Bytes(*key)));
    Begin(context, request, *wait);
  });
  CLI::App* merge = add("merge", "Merge a shard with its right neighbour");
  merge->add_option("shard", ids->first, "Shard id")->required();
  merge->callback([&context, ids, wait] {
    v1::BeginRequest request;
    request.mutable_merge()->set_shard_id(ids->first);
    Begin(context, request, *wait);
  });
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
  AddShardCommands(app, context);
  CLI::App* config = app.add_subcommand("config", "Show the shard map, now or as it was");
  config->require_subcommand(1);
  auto number = std::make_shared<uint64_t>(0);
  CLI::App* show = config->add_subcommand("show", "Show a config");
  show->add_option("number", *number, "Its number; none: the newest");
  show->callback([&context, number] {
    v1::QueryResponse whole = WholeConfig(context, *number);
    if (!context.json()) std::cout << "config " << whole.config() << "\n";
    Show(context, whole, ShardsText);
  });
  AddOperationCommands(app, context);
  AddSettingCommands(app, context);
}

}  // namespace kvd::kvctl
