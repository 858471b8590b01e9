// Where requests for a key go. Implemented by what knows the groups here and the map of the rest.
// Lives on the store's loop.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proto/error.h"
#include "server/shard/data_group.h"

namespace kvd::service {

struct Route {
  GroupId group;                     // 0: it is not known who owns the key
  shard::DataGroup* here = nullptr;  // this store's replica of it, if it has one
  StoreId leader;                    // the store believed to lead it; 0: none known
  std::string address;               // of that store; empty: not known
};

struct LocatedShard {
  KeyRange range;
  ShardId shard;
  Epoch epoch;
  Route route;
};

class Router {
 public:
  virtual ~Router() = default;
  virtual Route Find(std::string_view key) = 0;
  // To this group, whatever it has.
  virtual Route To(GroupId group) = 0;
  // Of the last keys below `end`, empty: of all.
  virtual Route FindBefore(std::string_view end) = 0;
  // Shards from the one that has `start` on, to the one that has the last key before `end` (empty:
  // to the last one), at most `most`.
  virtual std::vector<LocatedShard> Locate(std::string_view start, std::string_view end,
                                           size_t most) = 0;
  // host:port of stores of the cluster, at most `most`.
  virtual std::vector<std::string> StoreAddresses(size_t most) const = 0;
  // The group does not serve the key (`before`: the last keys below it): who does by now, if that
  // is known. Only shard, epoch, group and address are set.
  virtual ErrorInfo WhoHas(std::string_view key, bool before, GroupId not_this) = 0;
  // A store, or a group here, refused a request for the key, and said where to go instead.
  virtual void Note(std::string_view key, bool before, const Route& asked,
                    const ErrorInfo& refusal) = 0;
  // The store that was believed to lead did not answer.
  virtual void NoteLost(const Route& asked) = 0;
};

}  // namespace kvd::service
