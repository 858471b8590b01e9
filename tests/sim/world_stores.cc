// The stores of a world: how they come, and how many there are.
#include <algorithm>

#include "proto/check.h"
#include "tests/sim/world.h"

namespace kvd::sim {

NodeStore& World::MakeStore(StoreId id, const std::string& address, uint64_t nonce) {
  NodeStoreOptions options = store_options_;
  Random& random = scheduler_.random();
  // Within the bound that leases rely on.
  options.clock_rate = 1.0 + (static_cast<double>(random.Below(80)) - 40) / 1000;
  if (clocks_beyond_bound_)
    options.clock_rate = 0.6 + static_cast<double>(random.Below(1000)) / 1000;
  options.wall_offset_ms = static_cast<int64_t>(random.Below(2000)) - 1000;
  options.node.address = address;
  options.node.nonce = nonce;
  auto& store = stores_[id] = std::make_unique<NodeStore>(&scheduler_, &network_, id, options);
  store->on_applied = [this](NodeStore&, GroupId group, const raft::Entry& entry,
                             const shard::CommandResult& result) {
    oracle_.Applied(group, entry, result);
  };
  store->after_turn = [this](NodeStore& s) { CheckLeases(s); };
  store->on_going_out = [this](NodeStore& s) { CheckOthersKeepTheirs(s); };
  store->on_crashed = [this](NodeStore& s) {
    ++report_.crashes;
    StartLater(s.id());
  };
  return *store;
}

void World::Bootstrap() {
  NodeStore& first = MakeStore(StoreId(1), AddressOf(1), 1);
  joined_[1] = {Node(1), StoreId(), false, StoreId(1)};
  first.Format();
  first.Start();
  bool done = false;
  KVD_CHECK(Await([&] {
    if (!first.running()) first.Start();
    if (!done && first.node().controller() != nullptr && first.node().controller()->ready()) {
      done = true;
      first.process().loop->Post([&first] { first.node().Bootstrap([](const absl::Status&) {}); });
    }
    const shardctrler::State* known = state();
    return known != nullptr && !known->shards().empty() && Settled();
  }));
  for (int i = 1; i < options_.stores; ++i) AddStore();
}

size_t World::StoresThere() const {
  return static_cast<size_t>(std::count_if(
      stores_.begin(), stores_.end(), [](const auto& store) { return !store.second->lost(); }));
}

size_t World::StoresServing() {
  const shardctrler::State* known = state();
  if (known == nullptr) return 0;
  return static_cast<size_t>(
      std::count_if(stores_.begin(), stores_.end(), [known](const auto& item) {
        const shardctrler::Store* store = known->FindStore(item.first);
        return !item.second->lost() && store != nullptr &&
               store->state == shardctrler::StoreState::kServing;
      }));
}

bool World::Grown() {
  const shardctrler::State* known = state();
  return known != nullptr && StoresThere() >= 3 &&
         std::all_of(known->groups().begin(), known->groups().end(),
                     [](const auto& group) { return group.second.replicas.size() >= 3; });
}

NodeStore& World::AnyStore(Random& random) {
  return *std::next(stores_.begin(), static_cast<ptrdiff_t>(random.Below(stores_.size())))->second;
}

void World::AddStore() { Join(Node(600 + joined_.size()), StoreId(), false); }

void World::Join(Node at, StoreId before, bool knows) {
  uint64_t nonce = 100 + joined_.size();
  joined_[nonce] = {at, before, knows, StoreId()};
  AskToJoin(nonce);
}

// As a real one: whoever can be reached is asked, and sends on to the controller's leader.
void World::AskToJoin(uint64_t nonce) {
  const Joining& joining = joined_.at(nonce);
  if (joining.id) return;
  scheduler_.After(milliseconds(operation_random_.Between(100, 700)),
                   [this, nonce] { AskToJoin(nonce); });
  NodeStore* leader = Leader();
  if (leader == nullptr) return;
  internal::v1::StoreRequest request;
  request.mutable_join()->set_address(AddressOf(joining.at));
  request.mutable_join()->set_join_nonce(nonce);
  request.mutable_join()->set_cores(4);
  if (joining.knows) request.mutable_join()->set_lost_store_id(joining.before.value());
  leader->process().loop->Post([this, leader, nonce, request] {
    leader->node().Handle(request, [this, nonce](const auto& answer) {
      Joining& joining = joined_.at(nonce);
      // The answer may be lost: asking again gives the same.
      if (!answer.ok() || joining.id || operation_random_.Chance(0.1)) return;
      StoreId id(answer->join().store_id());
      joining.id = id;
      report_.stores_back += joining.before ? 1 : 0;
      network_.successors[joining.at] = id.value();
      if (joining.before && joining.before.value() != joining.at)
        network_.successors[joining.before.value()] = id.value();
      scheduler_.After(Duration::zero(), [this, id, nonce, known = answer->join().routing()] {
        NodeStore& store = MakeStore(id, AddressOf(joined_.at(nonce).at), nonce);
        store.Remember(known);
        store.Start();
      });
    });
  });
}

}  // namespace kvd::sim
