// The controller's state machine (design, 7): stores that come and go, groups, the shard map, and
// operations, which change them step by step. The same commands give the same state on every
// replica. It decides nothing by itself: what to begin, and whether a step was carried out, is for
// the leader to say, in the next command.
#pragma once

#include "shardctrler/change_log.h"
#include "shardctrler/command.h"
#include "shardctrler/state.h"

namespace kvd::shardctrler {

class Machine : public storage::RecordMachine {
 public:
  const State& state() const { return state_; }
  // Of the records, by their keys.
  const ChangeLog& changes() const { return changes_; }

  absl::Status Load(const storage::MvccReader& reader, Timestamp at) override;
  // The answer is an encoded Result.
  absl::StatusOr<std::string> Apply(std::string_view command, const Position& position,
                                    storage::RecordSink* records) override;

 private:
  // What a handler is given beside the command.
  struct Context {
    Position position;
    storage::RecordSink* records;
  };

  absl::Status Handle(const Command& command, const Context& context, Result* result);

  // machine_stores.cc
  absl::Status Bootstrap(const Command& command, const Context& context, Result* result);
  absl::Status CheckJoin(const Command& command) const;
  absl::Status Join(const Command& command, const Context& context, Result* result);
  absl::Status UpdateStore(const Command& command, const Context& context);
  absl::Status SetLabel(const Command& command, const Context& context);
  absl::Status SetStoreState(const Command& command, const Context& context);
  StoreId StoreOf(uint64_t nonce) const;
  // Whether a store serves beside `but`.
  bool AnotherServes(StoreId but) const;

  // machine_recover.cc
  void Recover(const Command& command, const Context& context);
  absl::Status AdoptMembers(const Command& command, const Context& context);

  // machine_open.cc: each fills in what the operation lacks, or says why it can't begin.
  absl::Status Open(Operation operation, const Context& context, Result* result);
  absl::Status OpenMove(Operation* operation) const;
  absl::Status OpenSplit(Operation* operation, Ids* ids) const;
  absl::Status OpenMerge(Operation* operation) const;
  absl::Status OpenCreateGroup(Operation* operation, Ids* ids) const;
  absl::Status OpenChangeReplicas(Operation* operation, Ids* ids) const;
  absl::Status OpenRetireGroup(Operation* operation) const;
  absl::StatusOr<ShardMap::Position> FreeShard(ShardId id, Epoch epoch) const;
  absl::StatusOr<const Group*> FreeGroup(GroupId id) const;
  absl::Status Place(std::vector<Replica>* added, const Group* into, Ids* ids) const;

  // machine_advance.cc: each carries the new phase's effect out.
  absl::Status Advance(const Command& command, const Context& context);
  void EnterMove(const Operation& operation, OperationId id, const Context& context);
  void EnterSplit(const Operation& operation, const Context& context);
  void EnterMerge(const Operation& operation, const Context& context);
  void EnterCreateGroup(const Operation& operation, const Context& context);
  void EnterChangeReplicas(const Operation& operation, const Context& context);
  void EnterRetireGroup(const Operation& operation, const Context& context);

  State state_;
  ChangeLog changes_;
};

}  // namespace kvd::shardctrler
