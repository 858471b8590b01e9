#include "client/kvctl/controller_text.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/kvctl/format.h"

namespace kvd::kvctl {
namespace {

using Rows = std::vector<std::vector<std::string>>;

void AddLoad(const v1::QueryResponse::Load& load, std::vector<std::string>* row) {
  bool known = load.known();
  row->push_back(known ? HumanBytes(load.bytes()) : "?");
  row->push_back(known ? absl::StrFormat("%.0f", load.reads()) : "?");
  row->push_back(known ? absl::StrFormat("%.0f", load.writes()) : "?");
  row->push_back(load.hot_key().empty()
                     ? "-"
                     : absl::StrCat(Escape(load.hot_key()), " (", load.hot_percent(), " %)"));
  row->push_back(load.operation_id() == 0 ? "-" : std::to_string(load.operation_id()));
}

std::string KeyText(const std::string& key) { return key.empty() ? "-" : Escape(key); }
std::string IdText(uint64_t id) { return id == 0 ? "-" : std::to_string(id); }

}  // namespace

std::string StateName(v1::RoutingResponse::Store::State state) {
  switch (state) {
    case v1::RoutingResponse::Store::SERVING: return "serving";
    case v1::RoutingResponse::Store::DRAINING: return "draining";
    case v1::RoutingResponse::Store::GONE: return "gone";
    default: return "?";
  }
}

std::string LabelsText(const v1::RoutingResponse::Store& store) {
  std::vector<std::string> labels;
  for (const auto& [name, value] : store.labels())
    labels.push_back(absl::StrCat(Escape(name), "=", Escape(value)));
  std::sort(labels.begin(), labels.end());
  return absl::StrJoin(labels, ",");
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string out;
  (void)google::protobuf::util::MessageToJsonString(message, &out, options);
  return out;
}

std::string StoresText(const v1::ListStoresResponse& stores) {
  Rows rows = {{"STORE", "ADDRESS", "STATE", "REPLICAS", "LEADS", "CORES", "SYNC", "DISK FREE",
                "SILENT", "LABELS"}};
  for (const auto& listed : stores.stores()) {
    const auto& store = listed.store();
    rows.push_back({std::to_string(store.store_id()), Escape(store.address()),
                    StateName(store.state()) + (listed.slow().empty() ? "" : ", slow"),
                    std::to_string(listed.replicas()), std::to_string(listed.leads()),
                    std::to_string(store.cores()),
                    absl::StrFormat("%.1f ms", static_cast<double>(listed.sync_us()) / 1e3),
                    listed.disk_size() == 0 ? "-" : HumanBytes(listed.disk_free()),
                    absl::StrCat(listed.silent_ms() / 1000, " s"), LabelsText(store)});
  }
  return Table(rows);
}

std::string GroupsText(const v1::ListGroupsResponse& groups) {
  Rows rows = {{"GROUP", "STATE", "STORES", "LEADER", "SHARDS", "SIZE", "OPS/S", "OPERATION"}};
  for (const auto& listed : groups.groups()) {
    std::vector<std::string> stores;
    for (const auto& r : listed.group().replicas()) stores.push_back(std::to_string(r.store_id()));
    bool controller = listed.group().group_id() == 1;
    rows.push_back({std::to_string(listed.group().group_id()), Escape(listed.state()),
                    absl::StrJoin(stores, ","), IdText(listed.leader_store_id()),
                    controller ? "controller" : std::to_string(listed.shards()),
                    controller ? "-" : HumanBytes(listed.bytes()),
                    controller ? "-" : absl::StrFormat("%.0f", listed.load()),
                    IdText(listed.operation_id())});
  }
  return Table(rows);
}

std::string ShardsText(const v1::QueryResponse& config) {
  Rows rows = {{"SHARD", "START", "END", "EPOCH", "GROUP"}};
  // Of an earlier config, what shards take now says nothing.
  bool loads = config.loads_size() == config.shards_size();
  if (loads) rows[0].insert(rows[0].end(), {"SIZE", "READS/S", "WRITES/S", "HOT KEY", "OPERATION"});
  for (int i = 0; i < config.shards_size(); ++i) {
    const auto& shard = config.shards(i);
    std::string end =
        i + 1 < config.shards_size() ? config.shards(i + 1).start() : config.next_key();
    rows.push_back({std::to_string(shard.shard_id()), KeyText(shard.start()), KeyText(end),
                    std::to_string(shard.epoch()), std::to_string(shard.group_id())});
    if (loads) AddLoad(config.loads(i), &rows.back());
  }
  return Table(rows);
}

std::string BusyShardsText(const v1::QueryResponse& busiest) {
  Rows rows = {{"SHARD", "START", "GROUP", "SIZE", "READS/S", "WRITES/S", "HOT KEY", "OPERATION"}};
  for (int i = 0; i < std::min(busiest.shards_size(), busiest.loads_size()); ++i) {
    const auto& shard = busiest.shards(i);
    rows.push_back({std::to_string(shard.shard_id()), KeyText(shard.start()),
                    std::to_string(shard.group_id())});
    AddLoad(busiest.loads(i), &rows.back());
  }
  return Table(rows);
}

std::string OperationsText(const v1::ListOperationsResponse& operations) {
  Rows rows = {{"OPERATION", "KIND", "PHASE", "SHARD", "GROUP", "TO", "REASON", "IN THE WAY"}};
  for (const auto& o : operations.operations()) {
    rows.push_back({std::to_string(o.operation_id()), Escape(o.kind()), Escape(o.phase()),
                    IdText(o.shard_id()), IdText(o.group_id()), IdText(o.to_group_id()),
                    Escape(o.reason()), Escape(o.trouble())});
  }
  return Table(rows);
}

std::string SettingsText(const v1::ListSettingsResponse& settings) {
  Rows rows = {{"SETTING", "VALUE", "DEFAULT", "FROM", "TO", "MEANING"}};
  for (const auto& s : settings.settings()) {
    rows.push_back({Escape(s.name()), std::to_string(s.value()), std::to_string(s.initial()),
                    std::to_string(s.min()), std::to_string(s.max()), Escape(s.meaning())});
  }
  return Table(rows);
}

}  // namespace kvd::kvctl
