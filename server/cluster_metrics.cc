// What the daemon tells Prometheus of the cluster, as far as it takes part in running it.
#include "proto/bytes.h"
#include "server/server_parts.h"

namespace kvd::server {
namespace {

using shardctrler::OperationKind;
using shardctrler::Phase;
using shardctrler::StoreState;

std::string Text(std::string_view name) { return std::string(name); }

// So that a kind that never happens is a zero, not a gap.
constexpr OperationKind kKinds[] = {OperationKind::kMove,           OperationKind::kSplit,
                                    OperationKind::kMerge,          OperationKind::kCreateGroup,
                                    OperationKind::kChangeReplicas, OperationKind::kRetireGroup};

void CollectOperations(const node::ControllerRole& role, service::Metrics* metrics) {
  std::map<OperationKind, double> open;
  for (const auto& [id, o] : role.state().operations()) {
    if (shardctrler::IsOpen(o.phase)) ++open[o.kind];
  }
  for (OperationKind kind : kKinds) {
    metrics->Set("kvd_controller_operations_open", "Operations under way, by kind", open[kind],
                 {{"kind", Text(ToString(kind))}});
    for (Phase phase : {Phase::kDone, Phase::kCancelled}) {
      auto ended = role.ended().find({kind, phase});
      metrics->SetTotal("kvd_controller_operations_total",
                        "Operations that ended while this store led the controller",
                        ended == role.ended().end() ? 0 : static_cast<double>(ended->second),
                        {{"kind", Text(ToString(kind))}, {"result", Text(ToString(phase))}});
    }
  }
}

void CollectStores(const node::ControllerRole& role, service::Metrics* metrics) {
  std::map<StoreState, double> stores;
  for (const auto& [id, store] : role.state().stores()) {
    ++stores[store.state];
    if (store.state == StoreState::kGone) continue;
    std::map<std::string, std::string> labels = {{"store", std::to_string(id.value())}};
    double silence = std::chrono::duration<double>(role.SilenceOf(id)).count();
    metrics->Set("kvd_controller_store_silent_seconds", "Since a store was last heard of", silence,
                 labels);
    metrics->Set("kvd_controller_store_slow", "1 if the store is slow beside the others",
                 role.load().IsSlow(id) ? 1 : 0, labels);
  }
  for (StoreState state : {StoreState::kServing, StoreState::kDraining, StoreState::kGone}) {
    metrics->Set("kvd_controller_stores", "Stores, by state", stores[state],
                 {{"state", Text(ToString(state))}});
  }
}

}  // namespace

void Server::Parts::CollectClusterMetrics() {
  metrics->SetTotal("kvd_requests_forwarded_total", "Requests passed on to another store",
                    static_cast<double>(node->dispatcher().forwarded()));
  metrics->SetTotal("kvd_migration_bytes_total",
                    "Bytes of rows that shards brought that moved here",
                    static_cast<double>(node->importer().bytes()));
  const node::ControllerRole* role = node->controller();
  bool leads = role != nullptr && role->ready();
  metrics->Set("kvd_controller_leads", "1 if this store leads the controller", leads ? 1 : 0);
  if (!leads) return;
  const shardctrler::State& state = role->state();
  std::map<std::string, std::string> labels = {{"by", "leader"}};
  auto set = [&](const char* name, const char* help, auto value) {
    metrics->Set(name, help, static_cast<double>(value), labels);
  };
  set("kvd_controller_groups", "Data groups", state.groups().size() - 1);
  set("kvd_controller_shards", "Shards", state.shards().size());
  set("kvd_controller_config", "Number of the newest config", state.ids().config.value());
  set("kvd_controller_bytes", "What all shards take on disk, about", role->load().total().bytes);
  set("kvd_controller_schedule_seconds", "Time of the last look at what to begin",
      std::chrono::duration<double>(role->schedule_time()).count());
  CollectOperations(*role, metrics.get());
  CollectStores(*role, metrics.get());
}

}  // namespace kvd::server
