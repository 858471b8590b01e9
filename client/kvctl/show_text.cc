#include "client/kvctl/show_text.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/kvctl/cluster_text.h"
#include "client/kvctl/controller_text.h"
#include "client/kvctl/format.h"
#include "proto/timestamp.h"

namespace kvd::kvctl {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr size_t kBusyShards = 10;

std::string IdText(uint64_t id) { return id == 0 ? "-" : std::to_string(id); }
std::string OrDash(const std::string& text) { return text.empty() ? "-" : Escape(text); }

std::string StoreIds(const v1::RoutingResponse::Group& group) {
  return absl::StrJoin(group.replicas(), ", ", [](std::string* out, const auto& replica) {
    absl::StrAppend(out, replica.store_id());
  });
}

// Those of one group, with their loads.
v1::QueryResponse ShardsOf(const v1::QueryResponse& config, uint64_t group) {
  v1::QueryResponse out;
  for (int i = 0; i < config.shards_size(); ++i) {
    if (config.shards(i).group_id() != group) continue;
    *out.add_shards() = config.shards(i);
    if (i < config.loads_size()) *out.add_loads() = config.loads(i);
  }
  return out;
}

std::string GroupJson(const v1::ListGroupsResponse::Group& group,
                      const absl::StatusOr<v1::GroupStatus>& status,
                      const v1::QueryResponse& shards) {
  auto id = [](std::string* out, const auto& shard) { absl::StrAppend(out, shard.shard_id()); };
  std::string told = status.ok() ? absl::StrCat("\"status\": ", ToJson(*status))
                                 : absl::StrCat("\"status\": null, \"error\": ",
                                                JsonText(std::string(status.status().message())));
  return absl::StrCat("{\"group\": ", ToJson(group), ", ", told, ", \"shard_ids\": [",
                      absl::StrJoin(shards.shards(), ", ", id), "]}\n");
}

// Of a shard, what its load says.
void AddLoad(const v1::QueryResponse::Load& load,
             std::vector<std::pair<std::string, std::string>>* fields) {
  bool known = load.known();
  fields->emplace_back("size", known ? HumanBytes(load.bytes()) : "?");
  fields->emplace_back("reads", known ? absl::StrFormat("%.0f/s", load.reads()) : "?");
  fields->emplace_back("writes", known ? absl::StrFormat("%.0f/s", load.writes()) : "?");
  fields->emplace_back("hot key", load.hot_key().empty()
                                      ? "-"
                                      : absl::StrCat(Escape(load.hot_key()), ", ",
                                                     load.hot_percent(), " % of the load"));
}

// The busiest of them, the busiest first.
v1::QueryResponse Busiest(const v1::QueryResponse& shards) {
  std::vector<int> order(static_cast<size_t>(shards.shards_size()));
  std::iota(order.begin(), order.end(), 0);
  auto asked = [&shards](int i) { return shards.loads(i).reads() + shards.loads(i).writes(); };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return asked(a) > asked(b); });
  if (order.size() > kBusyShards) order.resize(kBusyShards);
  v1::QueryResponse busiest;
  for (int i : order) {
    *busiest.add_shards() = shards.shards(i);
    *busiest.add_loads() = shards.loads(i);
  }
  return busiest;
}

}  // namespace

std::string StoreText(const v1::ListStoresResponse::Store& store,
                      const v1::ListGroupsResponse& groups, bool json) {
  uint64_t id = store.store().store_id();
  Rows rows = {{"GROUP", "REPLICA", "LEADS", "SHARDS", "SIZE", "OPERATION"}};
  std::string objects;
  for (const auto& listed : groups.groups()) {
    for (const auto& replica : listed.group().replicas()) {
      if (replica.store_id() != id) continue;
      absl::StrAppend(&objects, objects.empty() ? "" : ", ", ToJson(listed));
      rows.push_back(
          {std::to_string(listed.group().group_id()), std::to_string(replica.replica_id()),
           listed.leader_store_id() == id ? "yes" : "no", std::to_string(listed.shards()),
           HumanBytes(listed.bytes()), IdText(listed.operation_id())});
    }
  }
  if (json) return absl::StrCat("{\"store\": ", ToJson(store), ", \"groups\": [", objects, "]}\n");
  auto disk =
      absl::StrCat(HumanBytes(store.disk_free()), " free of ", HumanBytes(store.disk_size()));
  std::vector<std::pair<std::string, std::string>> fields = {
      {"store", std::to_string(id)},
      {"address", Escape(store.store().address())},
      {"state", StateName(store.store().state())},
      {"slow", OrDash(store.slow())},
      {"silent", absl::StrFormat("%.1f s", static_cast<double>(store.silent_ms()) / 1e3)},
      {"cores", std::to_string(store.store().cores())},
      {"sync", absl::StrFormat("%.1f ms", static_cast<double>(store.sync_us()) / 1e3)},
      {"disk", store.disk_size() == 0 ? "?" : disk},
      {"labels", store.store().labels().empty() ? "-" : LabelsText(store.store())},
      {"replicas", std::to_string(store.replicas())},
      {"leads", std::to_string(store.leads())}};
  return absl::StrCat(Record(fields), "\n", Table(rows));
}

std::string OneGroupText(const v1::ListGroupsResponse::Group& group,
                         const absl::StatusOr<v1::GroupStatus>& status,
                         const v1::QueryResponse& config, bool json) {
  v1::QueryResponse shards = ShardsOf(config, group.group().group_id());
  if (json) return GroupJson(group, status, shards);
  std::vector<std::pair<std::string, std::string>> fields = {
      {"group", std::to_string(group.group().group_id())},
      {"state", Escape(group.state())},
      {"stores", StoreIds(group.group())},
      {"leader", group.leader_store_id() == 0 ? "not known"
                                              : absl::StrCat("store ", group.leader_store_id())}};
  if (status.ok()) {
    fields.emplace_back("term", std::to_string(status->term()));
    fields.emplace_back("log", absl::StrCat(status->first_index(), " to ", status->last_index(),
                                            ", committed to ", status->commit_index()));
  }
  fields.emplace_back("shards", std::to_string(group.shards()));
  fields.emplace_back("size", HumanBytes(group.bytes()));
  fields.emplace_back("load", absl::StrFormat("%.0f/s", group.load()));
  fields.emplace_back("operation", IdText(group.operation_id()));
  std::string out = absl::StrCat(
      Record(fields), "\n",
      status.ok() ? GroupText(*status, false)
                  : absl::StrCat("its replicas do not answer: ",
                                 Escape(std::string(status.status().message())), "\n"));
  if (shards.shards().empty()) return out;
  return absl::StrCat(out, "\n", BusyShardsText(Busiest(shards)));
}

std::string OneShardText(const v1::DescribeShardResponse& shard,
                         const std::optional<v1::ListGroupsResponse::Group>& group,
                         const std::optional<v1::ListOperationsResponse::Operation>& operation,
                         bool json) {
  if (json) {
    return absl::StrCat("{\"shard\": ", ToJson(shard),
                        ", \"group\": ", group ? ToJson(*group) : "null",
                        ", \"operation\": ", operation ? ToJson(*operation) : "null", "}\n");
  }
  const auto& s = shard.shard();
  std::vector<std::pair<std::string, std::string>> fields = {
      {"shard", std::to_string(s.shard_id())},
      {"start", OrDash(s.start())},
      {"end", OrDash(shard.end())},
      {"epoch", std::to_string(s.epoch())},
      {"group", std::to_string(s.group_id())}};
  if (group) {
    fields.emplace_back("stores", StoreIds(group->group()));
    fields.emplace_back("leader", IdText(group->leader_store_id()));
  }
  AddLoad(shard.load(), &fields);
  std::string open = IdText(shard.load().operation_id());
  if (operation) {
    absl::StrAppend(&open, ": ", Escape(operation->kind()), ", ", Escape(operation->phase()));
    if (!operation->trouble().empty()) absl::StrAppend(&open, ": ", Escape(operation->trouble()));
  }
  fields.emplace_back("operation", open);
  return Record(fields);
}

std::string ConfigsText(const v1::ListConfigsResponse& configs, absl::Time now) {
  Rows rows = {{"CONFIG", "SINCE", "AGE", "MAP"}};
  for (const auto& config : configs.configs()) {
    absl::Time since =
        absl::FromUnixMillis(static_cast<int64_t>(MillisOf(Timestamp(config.since()))));
    absl::Duration age = absl::Trunc(std::max(now - since, absl::ZeroDuration()), absl::Seconds(1));
    rows.push_back({std::to_string(config.config()),
                    absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", since, absl::UTCTimeZone()),
                    absl::FormatDuration(age), config.kept() ? "kept" : "forgotten"});
  }
  return Table(rows);
}

}  // namespace kvd::kvctl
