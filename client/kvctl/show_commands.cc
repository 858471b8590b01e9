// store show, group show, shard show, config list.
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/kvctl/controller_calls.h"
#include "client/kvctl/show_text.h"

namespace kvd::kvctl {
namespace {

using Stub = ControllerStub;

v1::ListGroupsResponse Groups(const Context& context) {
  return OrFail(ClientOf(context).Call(&Stub::ListGroups, v1::ListGroupsRequest()));
}

std::optional<v1::ListGroupsResponse::Group> FindGroup(const Context& context, uint64_t id) {
  const v1::ListGroupsResponse groups = Groups(context);
  for (const auto& group : groups.groups()) {
    if (group.group().group_id() == id) return group;
  }
  return std::nullopt;
}

void ShowStore(const Context& context, uint64_t id) {
  v1::ListStoresRequest request;
  request.set_gone(true);
  v1::ListStoresResponse stores = OrFail(ClientOf(context).Call(&Stub::ListStores, request));
  for (const auto& store : stores.stores()) {
    if (store.store().store_id() != id) continue;
    std::cout << StoreText(store, Groups(context), context.json());
    return;
  }
  throw Failure{absl::NotFoundError(absl::StrCat("there is no store ", id))};
}

// What the newest config gives to a group. Pages are read until the end, and no more is kept.
v1::QueryResponse ShardsOf(Context& context, uint64_t group) {
  v1::QueryRequest request;
  request.set_loads(true);
  client::ControllerClient client = ClientOf(context);
  v1::QueryResponse all;
  do {
    v1::QueryResponse page = OrFail(client.Call(&Stub::Query, request));
    for (int i = 0; i < page.shards_size(); ++i) {
      if (page.shards(i).group_id() != group) continue;
      *all.add_shards() = page.shards(i);
      *all.add_loads() = page.loads(i);
    }
    all.set_config(page.config());
    request.set_config(page.config());
    request.set_next_key(page.next_key());
  } while (!request.next_key().empty());
  return all;
}

void ShowGroup(Context& context, uint64_t id) {
  auto group = FindGroup(context, id);
  if (!group) throw Failure{absl::NotFoundError(absl::StrCat("there is no group ", id))};
  v1::QueryResponse config = ShardsOf(context, id);
  std::cout << OneGroupText(*group, context.cluster().Group(id), config, context.json());
}

void ShowShard(const Context& context, const v1::DescribeShardRequest& request) {
  auto shard = OrFail(ClientOf(context).Call(&Stub::DescribeShard, request));
  std::optional<v1::ListOperationsResponse::Operation> operation;
  if (shard.load().operation_id() != 0) {
    v1::ListOperationsRequest look;
    look.set_operation_id(shard.load().operation_id());
    auto told = ClientOf(context).Call(&Stub::ListOperations, look);
    if (told.ok()) operation = told->operations(0);
  }
  std::cout << OneShardText(shard, FindGroup(context, shard.shard().group_id()), operation,
                            context.json());
}

}  // namespace

void AddStoreShow(CLI::App* store, Context& context) {
  auto id = std::make_shared<uint64_t>();
  CLI::App* show = store->add_subcommand("show", "Show one store, and its replicas");
  show->add_option("store", *id, "Store id, as store list shows it")->required();
  show->callback([&context, id] { ShowStore(context, *id); });
}

void AddGroupShow(CLI::App* group, Context& context) {
  auto id = std::make_shared<uint64_t>();
  CLI::App* show =
      group->add_subcommand("show", "Show one group, its replicas and its busiest shards");
  show->add_option("group", *id, "Group id, as group list shows it; 1 is the controller's")
      ->required();
  show->callback([&context, id] { ShowGroup(context, *id); });
}

void AddShardShow(CLI::App* shard, Context& context) {
  auto id = std::make_shared<uint64_t>(0);
  auto key = std::make_shared<std::string>();
  CLI::App* show = shard->add_subcommand("show", "Show one shard; explain shard tells why");
  auto* by_id = show->add_option("shard", *id, "Shard id, as shard list shows it")
                    ->check(CLI::PositiveNumber);
  show->add_option("--key", *key, "The shard of this key instead")->excludes(by_id);
  show->require_option(1);
  show->callback([&context, id, key] {
    v1::DescribeShardRequest request;
    request.set_shard_id(*id);
    request.set_key(OrFail(context.Bytes(*key)));
    ShowShard(context, request);
  });
}

void AddConfigList(CLI::App* config, Context& context) {
  auto limit = std::make_shared<uint32_t>(20);
  CLI::App* list =
      config->add_subcommand("list", "Show the newest configs, since when they hold or held");
  list->add_option("--limit", *limit, "At most so many")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str();
  list->callback([&context, limit] {
    v1::ListConfigsRequest request;
    request.set_limit(*limit);
    auto told = OrFail(ClientOf(context).Call(&Stub::ListConfigs, request));
    std::cout << (context.json() ? ToJson(told) + "\n" : ConfigsText(told, absl::Now()));
  });
}

}  // namespace kvd::kvctl
