#include "tests/sim/scenario_world.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/check.h"

namespace kvd::sim {

using shardctrler::OperationKind;
using shardctrler::Phase;

namespace {

WorldOptions Calm(uint64_t seed, int stores, bool by_hand) {
  WorldOptions options;
  options.seed = seed;
  options.stores = stores;
  options.faults = options.operations = false;
  options.by_hand = by_hand;
  options.retention = std::chrono::minutes(10);
  return options;
}

client::SessionOptions KnownStores(int stores) {
  client::SessionOptions options;
  for (int i = 1; i <= stores; ++i) options.addresses.push_back(AddressOf(static_cast<Node>(i)));
  options.attempt_timeout = milliseconds(600);
  return options;
}

std::string ValueOf(const std::string& key, size_t bytes) {
  std::string value = absl::StrCat("of ", key);
  if (value.size() < bytes) value.resize(bytes, '.');
  return value;
}

}  // namespace

Asker::Asker(World* world, Node node, int stores)
    : world_(world),
      loop_(&world->scheduler(), 1.0, 0),
      caller_(&world->network(), &loop_, node),
      session_(&loop_, &caller_, KnownStores(stores)) {}

absl::StatusOr<client::ResponseItem> Asker::Ask(client::RequestItem item, Duration limit) {
  auto answer = std::make_shared<std::optional<absl::StatusOr<client::ResponseItem>>>();
  session_.Submit(std::move(item), loop_.Now() + limit,
                  [answer](const auto& told) { *answer = told; });
  KVD_CHECK(world_->Await([&] { return answer->has_value(); }, limit + std::chrono::seconds(1)));
  return **answer;
}

absl::Status Asker::Put(const std::string& key, const std::string& value, Duration limit) {
  client::RequestItem item;
  item.mutable_put()->set_key(key);
  item.mutable_put()->set_value(value);
  return Ask(std::move(item), limit).status();
}

absl::StatusOr<std::string> Asker::Get(const std::string& key, Duration limit) {
  client::RequestItem item;
  item.mutable_get()->set_key(key);
  auto answer = Ask(std::move(item), limit);
  if (!answer.ok()) return answer.status();
  if (!answer->get().found()) return absl::NotFoundError(key);
  return answer->get().version().value();
}

ScenarioWorld::ScenarioWorld(const Layout& layout)
    : World(Calm(layout.seed, layout.stores, /*by_hand=*/true)), known_stores_(layout.stores) {
  asker_ = NewAsker();
  KVD_CHECK(Await([&] {
    const shardctrler::State* known = state();
    return known != nullptr && known->stores().size() == static_cast<size_t>(layout.stores) &&
           Settled();
  }));
  Place(layout);
}

ScenarioWorld::ScenarioWorld(uint64_t seed, int stores)
    : World(Calm(seed, stores, /*by_hand=*/false)), known_stores_(stores) {
  asker_ = NewAsker();
  Settle();
  // A shard may go on to the next store that joins, as soon as there is one.
  shardctrler::Command command;
  command.kind = shardctrler::CommandKind::kSet;
  command.name = "shard-dwell-s";
  command.value = 0;
  KVD_CHECK(ControlNow(command).ok());
}

void ScenarioWorld::Place(const Layout& layout) {
  PlaceGroup(shardctrler::kControllerGroup, layout.controllers);
  PlaceGroup(shardctrler::kControllerGroup + 1, layout.groups[0]);
  for (size_t i = 1; i < layout.groups.size(); ++i)
    KVD_CHECK_MSG(Carry(shardctrler::GroupOn(layout.groups[i])), Describe());
  SplitAt(layout.cuts);
  size_t i = 0;
  std::vector<std::pair<ShardId, GroupId>> moves;
  for (const auto& [start, shard] : state()->shards().shards()) {
    GroupId to = shardctrler::kControllerGroup + 1 + (i++ % layout.groups.size());
    if (shard.group != to) moves.emplace_back(shard.id, to);
  }
  for (auto [shard, to] : moves)
    KVD_CHECK_MSG(Carry(shardctrler::MoveOf(shard.value(), to.value())), Describe());
  Settle();
}

void ScenarioWorld::PlaceGroup(GroupId group, const std::vector<uint64_t>& stores) {
  std::vector<uint64_t> added = stores, removed;
  for (const shardctrler::Replica& r : state()->FindGroup(group)->replicas) {
    if (std::erase(added, r.store.value()) == 0) removed.push_back(r.id.value());
  }
  if (added.empty() && removed.empty()) return;
  KVD_CHECK_MSG(Carry(shardctrler::ChangeOf(group.value(), added, removed)), Describe());
}

shardctrler::Result ScenarioWorld::Do(const shardctrler::Command& command) {
  auto result = ControlNow(command);
  KVD_CHECK_MSG(result.ok(), absl::StrCat(result.status().ToString(), "\n", Describe()));
  return *result;
}

OperationId ScenarioWorld::Begin(const shardctrler::Operation& operation) {
  return Do(shardctrler::OpenCommand(operation)).operation;
}

bool ScenarioWorld::Carry(const shardctrler::Operation& operation) {
  return AwaitOperation(Begin(operation)) == Phase::kDone;
}

std::string ScenarioWorld::Refused(const shardctrler::Command& command) {
  return std::string(ControlNow(command).status().message());
}

void ScenarioWorld::Drain(uint64_t store) {
  absl::Status status = absl::UnavailableError("not asked");
  for (int tries = 0; tries < 5 && !status.ok(); ++tries)
    status =
        ControlNow(shardctrler::StateCommand(store, shardctrler::StoreState::kDraining)).status();
  KVD_CHECK_MSG(status.ok(), absl::StrCat(status.ToString(), "\n", Describe()));
}

bool ScenarioWorld::AwaitPhase(OperationId id, Phase phase) {
  Phase seen = Phase::kRunning;
  Await(
      [&] {
        const shardctrler::State* known = state();
        const shardctrler::Operation* o = known == nullptr ? nullptr : known->FindOperation(id);
        if (o != nullptr) seen = o->phase;
        return o != nullptr && seen >= phase;
      },
      kLongMove);
  return seen == phase;
}

std::string ScenarioWorld::Trouble(OperationId id) {
  return state() == nullptr ? "" : Leader()->node().controller()->Trouble(id);
}

void ScenarioWorld::SplitAt(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    if (state()->shards().At(key)->first == key) continue;
    shardctrler::Operation split = shardctrler::SplitOf(ShardAt(key).value(), key);
    split.by_hand = true;
    KVD_CHECK_MSG(Carry(split), Describe());
  }
}

void ScenarioWorld::HoldShards() {
  for (const char* name : {"auto-split", "auto-merge", "auto-balance"})
    Do(shardctrler::SetCommand(name, 0));
}

absl::StatusOr<internal::v1::StoreResponse> ScenarioWorld::Tell(
    NodeStore& store, const internal::v1::StoreRequest& request) {
  auto answer = std::make_shared<std::optional<absl::StatusOr<internal::v1::StoreResponse>>>();
  store.process().loop->Post([node = &store.node(), request, answer] {
    node->Handle(request, [answer](const auto& told) { *answer = told; });
  });
  if (!Await([&] { return answer->has_value(); })) return absl::UnavailableError("no answer");
  return **answer;
}

ShardId ScenarioWorld::ShardAt(const std::string& key) {
  KVD_CHECK(Await([&] { return state() != nullptr; }));
  return state()->shards().At(key)->second.id;
}

GroupId ScenarioWorld::OwnerOf(const std::string& key) {
  KVD_CHECK(Await([&] { return state() != nullptr; }));
  return state()->shards().At(key)->second.group;
}

std::map<GroupId, size_t> ScenarioWorld::ShardCounts() {
  std::map<GroupId, size_t> counts;
  KVD_CHECK(Await([&] { return state() != nullptr; }));
  for (const auto& [id, group] : state()->groups()) {
    if (id != shardctrler::kControllerGroup) counts[id] = state()->shards().Of(id).size();
  }
  return counts;
}

size_t ScenarioWorld::Finished(OperationKind kind) {
  size_t count = 0;
  for (const auto& [id, o] : state()->operations())
    count += o.kind == kind && o.phase == Phase::kDone ? 1 : 0;
  return count;
}

std::vector<uint64_t> ScenarioWorld::StoresOf(GroupId group) {
  KVD_CHECK(Await([&] { return state() != nullptr; }));
  std::vector<uint64_t> found;
  for (const shardctrler::Replica& r : state()->FindGroup(group)->replicas)
    found.push_back(r.store.value());
  return found;
}

size_t ScenarioWorld::Leads(NodeStore& store) {
  size_t count = 0;
  if (!store.running()) return 0;
  for (const auto& [id, local] : store.node().groups().all())
    count += store.process().host->core(id).IsLeader() ? 1 : 0;
  return count;
}

void ScenarioWorld::Crash(const std::vector<uint64_t>& ids) {
  for (uint64_t id : ids) {
    if (store(id).running()) store(id).Crash();
  }
}

void ScenarioWorld::StartAll() {
  for (auto& [id, store] : stores()) {
    if (!store->running()) store->Start();
  }
}

void ScenarioWorld::CutBetween(const std::vector<uint64_t>& ones,
                               const std::vector<uint64_t>& others) {
  for (uint64_t one : ones) {
    for (uint64_t other : others) {
      network().Cut(one, other);
      network().Cut(other, one);
    }
  }
}

void ScenarioWorld::Isolate(uint64_t id) {
  for (const auto& [other, store] : stores()) {
    if (other.value() != id) CutBetween({id}, {other.value()});
  }
}

absl::Status ScenarioWorld::Fill(const std::string& prefix, int count, size_t value_bytes) {
  for (int i = 0; i < count; ++i) {
    std::string key = absl::StrCat(prefix, i);
    absl::Status put = asker().Put(key, ValueOf(key, value_bytes));
    if (!put.ok()) return put;
  }
  return ReadFilled(prefix, count);
}

absl::Status ScenarioWorld::ReadFilled(const std::string& prefix, int count) {
  for (int i = 0; i < count; ++i) {
    std::string key = absl::StrCat(prefix, i);
    auto value = asker().Get(key);
    if (!value.ok()) return value.status();
    if (*value != ValueOf(key, value->size()))
      return absl::DataLossError(absl::StrCat(key, " is now ", *value));
  }
  return absl::OkStatus();
}

std::unique_ptr<Asker> ScenarioWorld::NewAsker() {
  return std::make_unique<Asker>(this, next_asker_++, known_stores_);
}

void ScenarioWorld::Finish() {
  Heal();
  StopClients();
  Settle();
  Check();
}

}  // namespace kvd::sim
