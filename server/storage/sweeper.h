// Removes keys that are dead for every reader and have no older version left. A compaction that
// does not span all levels must keep such a key's last tombstone, or expired value, since an older
// version might lie below; the sweep reads that there is none. It goes through a group's keys a few
// at a time and rests while nothing has died. Local to a replica: what it removes is invisible.
//
// Lives on the group's loop.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/storage/engine.h"
#include "server/storage/mvcc_key.h"

namespace kvd::storage {

class Sweeper {
 public:
  // What was deleted, or expired, up to `possible` may still be stored.
  Sweeper(Engine* engine, GroupId group, Timestamp possible);

  // A tombstone was written, or a value expires, at this time.
  void NoteDeath(Timestamp at);

  // Looks at up to `keys_max` keys, if it can remove something at all. `safe_point` must be the
  // durable one: a replay after a crash must see what this pass saw. Gives how many it removed.
  absl::StatusOr<uint64_t> Step(Timestamp safe_point, uint64_t keys_max);

  bool resting() const { return !passing_ && first_death_ == kTimestampMax; }

 private:
  // Where the iterator stands, on a key's first version: whether its newest version at or below the
  // safe point is dead and the last one. The iterator moves to the next key.
  absl::StatusOr<bool> Dead(Iterator& it, std::string* victim);
  void EndPass();

  Engine* engine_;
  GroupId group_;
  // Bounds of the deaths that no pass has dealt with.
  Timestamp first_death_ = kTimestampMax;
  Timestamp last_death_;
  bool passing_ = false;
  bool blocked_ = false;  // something dead had older versions: a later pass may remove it
  Timestamp pass_safe_point_;
  std::string cursor_;  // engine key to go on at
};

}  // namespace kvd::storage
