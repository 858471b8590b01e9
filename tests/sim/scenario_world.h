// A whole simulated cluster as a scenario wants it: laid out by hand, steered step by step, and
// asked key by key.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/shardctrler/commands.h"
#include "tests/sim/world.h"

namespace kvd::sim {

// Where controller and data groups are, by the numbers of their stores, and where the key space is
// cut. Shards go round the groups, in order.
struct Layout {
  uint64_t seed = 1;
  int stores = 3;
  std::vector<uint64_t> controllers = {1, 2, 3};
  std::vector<std::vector<uint64_t>> groups = {{1, 2, 3}, {1, 2, 3}};  // groups 2, 3, ...
  std::vector<std::string> cuts = {"m"};
};

// One client that asks for one thing at a time and waits for the answer.
class Asker {
 public:
  // `stores`: how many it knows of from the start.
  Asker(World* world, Node node, int stores);

  absl::Status Put(const std::string& key, const std::string& value,
                   Duration limit = std::chrono::seconds(10));
  // NOT_FOUND if there is none.
  absl::StatusOr<std::string> Get(const std::string& key,
                                  Duration limit = std::chrono::seconds(10));

 private:
  absl::StatusOr<client::ResponseItem> Ask(client::RequestItem item, Duration limit);

  World* const world_;
  SimLoop loop_;
  SimCaller caller_;
  client::Session session_;
};

// A shard that has come and gone under clients has a long history, which moves along, in some seeds
// byte by byte.
inline constexpr Duration kLongMove = std::chrono::seconds(120);

class ScenarioWorld : public World {
 public:
  // Nothing happens by itself but elections, and no fault.
  explicit ScenarioWorld(const Layout& layout);
  // One that looks after itself, without faults, grown to so many stores; history is kept for ten
  // minutes.
  ScenarioWorld(uint64_t seed, int stores);

  // Accepted by the controller; else the process fails.
  shardctrler::Result Do(const shardctrler::Command& command);
  OperationId Begin(const shardctrler::Operation& operation);
  // Begins it, and whether it is done in the end.
  bool Carry(const shardctrler::Operation& operation);
  // Why the controller does not take it; empty if it does.
  std::string Refused(const shardctrler::Command& command);
  // As an operator, who asks again while the controller changes hands.
  void Drain(uint64_t store);
  // Until the operation is in the phase, or beyond it, which the answer tells: false.
  bool AwaitPhase(OperationId id, shardctrler::Phase phase);
  // What an operation waits for, as it is told to people.
  std::string Trouble(OperationId id);
  // Splits at the keys what is not split there; by hand, so that it stays.
  void SplitAt(const std::vector<std::string>& keys);
  // The scheduler does no more than repair and grow.
  void HoldShards();
  // Whatever store answers for the controller is asked, once.
  absl::StatusOr<internal::v1::StoreResponse> Tell(NodeStore& store,
                                                   const internal::v1::StoreRequest& request);

  ShardId ShardAt(const std::string& key);
  GroupId OwnerOf(const std::string& key);
  // Shards of each data group.
  std::map<GroupId, size_t> ShardCounts();
  // Finished ones of the kind.
  size_t Finished(shardctrler::OperationKind kind);
  // Stores that hold a replica as the controller has it.
  std::vector<uint64_t> StoresOf(GroupId group);
  std::vector<uint64_t> Controllers() { return StoresOf(shardctrler::kControllerGroup); }
  // Groups that the store leads, the controller's too.
  size_t Leads(NodeStore& store);

  // Those of them that run.
  void Crash(const std::vector<uint64_t>& ids);
  // All that are down.
  void StartAll();
  // Both ways, between any of the ones and any of the others.
  void CutBetween(const std::vector<uint64_t>& ones, const std::vector<uint64_t>& others);
  // From all other stores.
  void Isolate(uint64_t id);

  // Writes `count` keys that begin with `prefix`, and reads them all again. OK if all are there.
  absl::Status Fill(const std::string& prefix, int count, size_t value_bytes = 10);
  absl::Status ReadFilled(const std::string& prefix, int count);

  Asker& asker() { return *asker_; }
  // One that has asked nothing yet.
  std::unique_ptr<Asker> NewAsker();
  // No clients any more, all well again and at rest; then histories, map and replicas are checked.
  void Finish();

 private:
  void Place(const Layout& layout);
  // Makes the group's stores those.
  void PlaceGroup(GroupId group, const std::vector<uint64_t>& stores);

  int known_stores_;
  Node next_asker_ = 2000;
  std::unique_ptr<Asker> asker_;
};

}  // namespace kvd::sim
