// Fetches what a shard that moves here lacks, at the leader of the group that imports it: rounds of
// the other group's history, chunk by chunk, each replicated before the next is asked for; so a new
// leader goes on where the last one stopped (design, 7). Lives on the store's loop.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "server/node/group_caller.h"
#include "server/shard/data_group.h"

namespace kvd::node {

struct ImporterOptions {
  size_t chunk_bytes = 256 << 10;
  // Of all imports of this store together, whatever else it is told; 0: no bound.
  uint64_t bytes_per_second = 0;
  Duration call_timeout = milliseconds(2000);
};

class Importer {
 public:
  struct Pulled {
    Timestamp copied;
    uint64_t bytes = 0;
  };
  using Done = std::function<void(absl::StatusOr<Pulled>)>;

  // All given outlive it.
  Importer(Loop* loop, raft::Host* host, GroupCaller* caller, const ImporterOptions& options)
      : loop_(loop), host_(host), caller_(caller), options_(options) {}
  // What waits is told that it ended.
  ~Importer();

  // Fetches up to `at`, or, if that is 0, a round up to where the other group is. Asked again while
  // it is under way, both are answered when it is done.
  void Pull(shard::DataGroup* group, ShardId shard, OperationId operation, Timestamp at, Done done);
  // Of all imports of this store together, from now on.
  void SetRate(uint64_t bytes_per_second) { rate_ = bytes_per_second; }
  // Of rows that came, since the start.
  uint64_t bytes() const { return bytes_; }
  // Before the group goes.
  void Forget(GroupId group);

 private:
  struct Waiter {
    Timestamp at;
    Done done;
    uint64_t bytes_before = 0;
    bool round = false;  // a round has begun since it asked
  };
  struct Import {
    shard::DataGroup* group = nullptr;
    OperationId operation;
    bool busy = false;  // a call or a command is under way
    uint64_t bytes = 0;
    std::vector<Waiter> waiters;
    std::unique_ptr<Timer> pause;
  };
  using Key = std::pair<GroupId, ShardId>;

  void Step(const Key& key);
  void Fetch(const Key& key, const shard::ShardDescriptor& shard);
  void OnRows(const Key& key, Timestamp after, const std::string& from,
              absl::StatusOr<wire::StoreResponse> answer);
  void OnApplied(const Key& key, OperationId operation, uint64_t bytes, Duration pause,
                 const absl::Status& status);
  // Answers those that have what they asked for. Whether somebody waits still.
  bool Answer(const Key& key, const shard::ShardDescriptor& shard);
  void Fail(const Key& key, const absl::Status& status);
  Duration PauseFor(uint64_t bytes);
  void AfterPause(const Key& key);

  Loop* const loop_;
  raft::Host* const host_;
  GroupCaller* const caller_;
  const ImporterOptions options_;
  // Until it is told another one.
  uint64_t rate_ = 32 << 20;
  uint64_t bytes_ = 0;
  std::map<Key, Import> imports_;
  MonotonicTime paid_until_ = kLongAgo;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::node
