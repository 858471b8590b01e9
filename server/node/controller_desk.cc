#include "server/node/controller_desk.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/error.h"
#include "server/node/routing_answer.h"

namespace kvd::node {

namespace wire = internal::v1;
using Case = wire::StoreRequest;

constexpr uint32_t kBusiestMax = 1'000;
constexpr size_t kOperationIdsMax = 1'000;

bool ControllerDesk::Takes(const wire::StoreRequest& request) {
  switch (request.request_case()) {
    case Case::kListStores:
    case Case::kListGroups:
    case Case::kQuery:
    case Case::kDescribeShard:
    case Case::kListConfigs:
    case Case::kListOperations:
    case Case::kListSettings:
    case Case::kBegin:
    case Case::kCancel:
    case Case::kSetStoreState:
    case Case::kSetSetting:
    case Case::kScatter:
    case Case::kExplain:
    case Case::kSetStoreLabel: return true;
    default: return false;
  }
}

void ControllerDesk::Handle(const wire::StoreRequest& request, const Done& done) {
  wire::StoreResponse out;
  absl::Status status;
  switch (request.request_case()) {
    case Case::kListStores: ListStores(request.list_stores(), out.mutable_list_stores()); break;
    case Case::kListGroups: ListGroups(out.mutable_list_groups()); break;
    case Case::kQuery: status = Query(request.query(), out.mutable_query()); break;
    case Case::kDescribeShard:
      status = DescribeShard(request.describe_shard(), out.mutable_describe_shard());
      break;
    case Case::kListConfigs:
      status = ListConfigs(request.list_configs(), out.mutable_list_configs());
      break;
    case Case::kListOperations:
      status = ListOperations(request.list_operations(), out.mutable_list_operations());
      break;
    case Case::kListSettings: ListSettings(out.mutable_list_settings()); break;
    case Case::kExplain: status = Explain(request.explain(), out.mutable_explain()); break;
    case Case::kScatter: return Scatter(request.scatter(), done);
    default: {
      auto command = CommandOf(request);
      if (!command.ok()) return done(command.status());
      auto kind = request.request_case();
      return role_->Propose(*command, [kind, done](const auto& result) {
        if (!result.ok()) return done(result.status());
        wire::StoreResponse out;
        switch (kind) {
          case Case::kBegin:
            out.mutable_begin()->set_operation_id(result->operation.value());
            break;
          case Case::kCancel: out.mutable_cancel(); break;
          case Case::kSetStoreState: out.mutable_set_store_state(); break;
          case Case::kSetStoreLabel: out.mutable_set_store_label(); break;
          default: out.mutable_set_setting(); break;
        }
        done(std::move(out));
      });
    }
  }
  if (!status.ok()) return done(status);
  done(std::move(out));
}

void ControllerDesk::ListStores(const v1::ListStoresRequest& request,
                                v1::ListStoresResponse* out) const {
  const shardctrler::State& state = role_->state();
  std::map<StoreId, uint32_t> coming;
  for (const auto& [id, o] : state.operations()) {
    if (!shardctrler::IsOpen(o.phase) || o.kind != shardctrler::OperationKind::kChangeReplicas)
      continue;
    for (const shardctrler::Replica& r : o.added) ++coming[r.store];
  }
  for (const auto& [id, store] : state.stores()) {
    if (store.state == shardctrler::StoreState::kGone && !request.gone()) continue;
    auto* listed = out->add_stores();
    *listed->mutable_store() = StoreMessage(id, store);
    listed->set_replicas(static_cast<uint32_t>(state.group_table().On(id).size()) + coming[id]);
    listed->set_silent_ms(static_cast<uint64_t>(
        std::chrono::duration_cast<milliseconds>(role_->SilenceOf(id)).count()));
    listed->set_leads(static_cast<uint32_t>(role_->load().LeadsOf(id)));
    listed->set_slow(role_->load().WhySlow(id));
    const shardctrler::StoreReport* report = role_->load().Find(id);
    if (report == nullptr) continue;
    listed->set_sync_us(static_cast<uint64_t>(report->sync_ms * 1e3));
    listed->set_disk_free(report->disk_free);
    listed->set_disk_size(report->disk_size);
  }
}

void ControllerDesk::ListGroups(v1::ListGroupsResponse* out) const {
  for (const auto& [id, group] : role_->state().groups()) {
    auto* listed = out->add_groups();
    *listed->mutable_group() = GroupMessage(id, group);
    listed->set_state(std::string(ToString(group.state)));
    listed->set_shards(role_->state().shards().Of(id).size());
    listed->set_operation_id(group.operation.value());
    listed->set_leader_store_id(role_->load().LeaderOf(id).value());
    shardctrler::Amounts amounts = role_->load().Of(id);
    listed->set_bytes(amounts.bytes);
    listed->set_load(amounts.load);
  }
}

void ControllerDesk::FillLoad(const shardctrler::Shard& shard, v1::QueryResponse::Load* out) const {
  out->set_operation_id(shard.operation.value());
  const shardctrler::ShardReport* report = role_->load().Find(shard.id);
  if (report == nullptr) return;
  out->set_known(true);
  out->set_bytes(report->bytes);
  out->set_reads(report->reads);
  out->set_writes(report->writes);
  out->set_hot_key(report->hot_key);
  out->set_hot_percent(report->hot_percent);
}

absl::Status ControllerDesk::Query(const v1::QueryRequest& request, v1::QueryResponse* out) const {
  const shardctrler::State& state = role_->state();
  if (request.busiest() > 0) return Busiest(request, out);
  ConfigNumber number = request.config() == 0 ? state.ids().config : ConfigNumber(request.config());
  out->set_config(number.value());
  size_t most = request.limit() == 0 ? kRoutingShardsMax
                                     : std::min<size_t>(request.limit(), kRoutingShardsMax);
  auto add = [&](const std::string& start, const shardctrler::Shard& shard) {
    *out->add_shards() = ShardMessage(start, shard);
    if (request.loads()) FillLoad(shard, out->add_loads());
  };
  if (number != state.ids().config) {
    auto page = shardctrler::ReadConfig(group_->reader(), number, group_->meta().clock,
                                        group_->meta().safe_point, request.next_key(), most);
    if (!page.ok()) return page.status();
    for (const auto& [start, shard] : page->shards) add(start, shard);
    out->set_next_key(page->next_key);
    return absl::OkStatus();
  }
  const auto& shards = state.shards().shards();
  auto it = shards.lower_bound(request.next_key());
  for (; it != shards.end() && static_cast<size_t>(out->shards_size()) < most; ++it)
    add(it->first, it->second);
  if (it != shards.end()) out->set_next_key(it->first);
  return absl::OkStatus();
}

absl::Status ControllerDesk::Busiest(const v1::QueryRequest& request,
                                     v1::QueryResponse* out) const {
  if (request.busiest() > kBusiestMax)
    return LimitError("busiest", kBusiestMax, request.busiest(), "shards");
  const shardctrler::State& state = role_->state();
  out->set_config(state.ids().config.value());
  for (ShardId id : role_->load().Busiest(request.busiest())) {
    auto shard = state.shards().Find(id);
    // It was merged, and what was told of it last came late.
    if (shard == state.shards().end()) continue;
    *out->add_shards() = ShardMessage(shard->first, shard->second);
    FillLoad(shard->second, out->add_loads());
  }
  return absl::OkStatus();
}

void ControllerDesk::AddOperation(OperationId id, const shardctrler::Operation& o,
                                  v1::ListOperationsResponse* out) const {
  auto* listed = out->add_operations();
  listed->set_operation_id(id.value());
  listed->set_kind(std::string(ToString(o.kind)));
  listed->set_phase(std::string(ToString(o.phase)));
  listed->set_reason(o.reason);
  listed->set_trouble(role_->Trouble(id));
  listed->set_shard_id(o.shard.value());
  listed->set_key(o.key);
  listed->set_other_shard_id(o.other.value());
  listed->set_group_id(o.group.value());
  listed->set_to_group_id(o.to.value());
  for (const shardctrler::Replica& r : o.added) listed->add_added_stores(r.store.value());
  for (ReplicaId r : o.removed) listed->add_removed_replicas(r.value());
  listed->set_opened(o.opened.value());
  listed->set_changed(o.changed.value());
}

absl::Status ControllerDesk::ListOperations(const v1::ListOperationsRequest& request,
                                            v1::ListOperationsResponse* out) const {
  const shardctrler::State& state = role_->state();
  if (request.operation_ids_size() > static_cast<int>(kOperationIdsMax))
    return LimitError("operation_ids", kOperationIdsMax,
                      static_cast<uint64_t>(request.operation_ids_size()), "operations");
  if (OperationId wanted(request.operation_id()); wanted) {
    const shardctrler::Operation* o = state.FindOperation(wanted);
    if (o == nullptr)
      return absl::NotFoundError(absl::StrCat("there is no operation ", wanted.value()));
    AddOperation(wanted, *o, out);
    return absl::OkStatus();
  }
  if (!request.operation_ids().empty()) {
    for (uint64_t id : request.operation_ids()) {
      const shardctrler::Operation* o = state.FindOperation(OperationId(id));
      if (o != nullptr) AddOperation(OperationId(id), *o, out);
    }
    return absl::OkStatus();
  }
  for (const auto& [id, o] : state.operations()) {
    if (request.over() || shardctrler::IsOpen(o.phase)) AddOperation(id, o, out);
  }
  return absl::OkStatus();
}

void ControllerDesk::ListSettings(v1::ListSettingsResponse* out) const {
  for (const shardctrler::SettingInfo& info : shardctrler::kSettings) {
    auto* listed = out->add_settings();
    listed->set_name(std::string(info.name));
    listed->set_value(role_->state().settings()[info.setting]);
    listed->set_initial(info.initial);
    listed->set_min(info.min);
    listed->set_max(info.max);
    listed->set_meaning(std::string(info.meaning));
  }
}

}  // namespace kvd::node
