// Who owns which keys, and where, as the controller said last: what a request is sent by. Always a
// little behind; who is asked wrongly says so, and that counts until the controller is heard again.
// Pure; not thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kvd/v1/routing.pb.h"
#include "proto/ids.h"
#include "proto/key_range.h"
#include "proto/timestamp.h"

namespace kvd::client {

class Routing {
 public:
  struct Store {
    std::string address;
    bool gone = false;
  };
  struct Member {
    ReplicaId replica;
    StoreId store;
  };
  struct Shard {
    ShardId id;
    Epoch epoch;
    GroupId group;
  };
  using Shards = std::map<std::string, Shard, std::less<>>;

  // What to ask the controller with, to learn the rest.
  v1::RoutingRequest Request() const;
  // Stores and groups, for Take at the next start: before anything else was heard.
  v1::RoutingResponse Known() const;
  // Takes an answer in. One that is older than what is known changes nothing.
  void Take(const v1::RoutingResponse& answer);

  Timestamp version() const { return version_; }
  ConfigNumber config() const { return config_; }
  const std::map<StoreId, Store>& stores() const { return stores_; }
  const std::map<GroupId, std::vector<Member>>& groups() const { return groups_; }
  // By start key.
  const Shards& shards() const { return shards_; }

  // Where the key belongs. Null if nothing is known.
  const Shard* Find(std::string_view key) const;
  // The keys of the shard that the key belongs to.
  KeyRange RangeAt(std::string_view key) const;
  // Empty if it is not known.
  std::string AddressOf(StoreId store) const;
  // Of at most `most` stores that are not gone, in the order of their ids, from the one behind
  // `store` around to itself.
  std::vector<std::string> AddressesBehind(StoreId store, size_t most) const;
  // The store believed to lead the group: who said so last, else any that may be asked. 0: none.
  StoreId LeaderOf(GroupId group) const;

  // A store was heard of before the controller named it; `itself`: from itself, so that it counts
  // even where another address was known.
  void NoteAddress(StoreId store, const std::string& address, bool itself = false);
  // Learnt from an answer.
  void NoteLeader(GroupId group, StoreId store) { leaders_[group] = store; }
  // The believed leader was of no help: another one is to be asked next.
  void NoteUnhelpful(GroupId group, StoreId store);
  // A group said that the shard at this key is another one's now.
  void NoteMoved(std::string_view key, ShardId shard, Epoch epoch, GroupId group);

 private:
  void TakeShards(const v1::RoutingResponse& answer);

  Timestamp version_;
  ConfigNumber config_;
  std::map<StoreId, Store> stores_;
  std::map<GroupId, std::vector<Member>> groups_;
  Shards shards_;
  std::map<GroupId, StoreId> leaders_;
  // Of a whole map that is still coming.
  std::string next_key_;
  Timestamp coming_version_;
  Shards coming_;
};

}  // namespace kvd::client
