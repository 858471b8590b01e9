#include "tests/sim/shard_oracle.h"

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/crc32c.h"

namespace kvd::sim {

void ShardOracle::Applied(GroupId group, const raft::Entry& entry,
                          const shard::CommandResult& result) {
  Seen& seen = seen_[group];
  uint32_t checksum = Crc32c(absl::StrCat(entry.term.value(), " ", entry.data));
  auto [known, fresh] = seen.checksums.try_emplace(entry.index, checksum);
  KVD_CHECK_MSG(known->second == checksum,
                absl::StrCat("two replicas of group ", group.value(),
                             " apply different entries at ", entry.index.value()));
  // What a state that came as a snapshot reflects was applied elsewhere before.
  if (!fresh) return;
  KVD_CHECK(entry.index > seen.applied);
  seen.applied = entry.index;
  if (entry.type != raft::EntryType::kCommand || !result.status.ok()) return;
  auto command = shard::DecodeCommand(entry.data);
  if (!command.ok() || command->kind != shard::CommandKind::kShard) return;
  auto effect = tables_[group].Apply(command->step, result.applied_at);
  KVD_CHECK_MSG(effect.ok(), std::string(effect.status().message()));
  changed_ = true;
}

void ShardOracle::Check() {
  if (!changed_) return;
  changed_ = false;
  std::map<std::string, std::pair<GroupId, KeyRange>> served;
  for (const auto& [group, table] : tables_) {
    table.CheckState();
    for (const auto& [start, shard] : table.shards()) {
      if (shard.state != shard::ShardState::kServing) continue;
      auto [other, alone] = served.try_emplace(start, group, shard.range);
      KVD_CHECK_MSG(alone,
                    absl::StrCat("groups ", group.value(), " and ", other->second.first.value(),
                                 " both serve ", Printable(start)));
    }
  }
  const std::pair<GroupId, KeyRange>* before = nullptr;
  for (const auto& [start, entry] : served) {
    KVD_CHECK_MSG(before == nullptr || !before->second.Overlaps(entry.second),
                  absl::StrCat("groups ", entry.first.value(), " and ", before->first.value(),
                               " both serve ", Printable(start)));
    before = &entry;
  }
}

}  // namespace kvd::sim
