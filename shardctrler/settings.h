// What an operator may set for the whole cluster: numbers with a name, a default and a range.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvd::shardctrler {

enum class Setting : uint8_t {
  kReplicas,
  kCoresPerGroup,
  kGroupsMax,
  kStoreDownSeconds,
  kMovesAtOnce,
  kReplicaChangesAtOnce,
  kShardMegabytesMax,
  kShardLoadMax,
  kShardDwellSeconds,
  kMigrationRate,
  kAutoSplit,
  kAutoMerge,
  kAutoBalance,
};

struct SettingInfo {
  Setting setting;
  std::string_view name;
  uint64_t initial;
  uint64_t min;
  uint64_t max;
  std::string_view meaning;
};

inline constexpr std::array<SettingInfo, 13> kSettings = {{
    {Setting::kReplicas, "replicas", 3, 1, 7,
     "voters of each data group, once there are as many stores"},
    {Setting::kCoresPerGroup, "cores-per-group", 4, 1, 4096,
     "cores of all stores together for each data group; there is always one"},
    {Setting::kGroupsMax, "groups-max", 10'000, 1, 100'000,
     "data groups, however many cores there are"},
    {Setting::kStoreDownSeconds, "store-down-s", 300, 10, 86'400,
     "seconds of silence until a store's replicas are replaced elsewhere"},
    {Setting::kMovesAtOnce, "moves-at-once", 4, 1, 1'000, "shards that move at the same time"},
    {Setting::kReplicaChangesAtOnce, "replica-changes-at-once", 2, 1, 1'000,
     "groups that change their replicas at the same time"},
    {Setting::kShardMegabytesMax, "shard-size-max-mb", 64, 1, 65'536,
     "MiB above which a shard is split; while there is little data, several groups split sooner"},
    {Setting::kShardLoadMax, "shard-load-max", 4'000, 10, 10'000'000,
     "operations a second above which a shard is split, if there are several groups"},
    {Setting::kShardDwellSeconds, "shard-dwell-s", 30, 0, 86'400,
     "seconds for which a shard that has moved is not moved on by balance or for a merge"},
    {Setting::kMigrationRate, "migration-rate-mb", 32, 1, 100'000,
     "MiB a second that a store takes in of shards that move to it"},
    {Setting::kAutoSplit, "auto-split", 1, 0, 1, "1: large and busy shards are split"},
    {Setting::kAutoMerge, "auto-merge", 1, 0, 1, "1: small neighbours are merged"},
    {Setting::kAutoBalance, "auto-balance", 1, 0, 1,
     "1: shards, replicas and leaders move so that all have as much to do"},
}};

// Null if there is none of this name.
const SettingInfo* FindSetting(std::string_view name);

class Settings {
 public:
  uint64_t operator[](Setting setting) const;
  // Those that are not at their default.
  const std::map<std::string, uint64_t, std::less<>>& changed() const { return changed_; }
  // Whether `value` can be set; else an error that names setting, value and range.
  static absl::Status Check(std::string_view name, uint64_t value);
  // Requires: Check gave OK.
  void Set(std::string_view name, uint64_t value) { changed_[std::string(name)] = value; }
  void Clear() { changed_.clear(); }

 private:
  std::map<std::string, uint64_t, std::less<>> changed_;
};

}  // namespace kvd::shardctrler
