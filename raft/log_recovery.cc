#include "raft/log_recovery.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace kvd::raft {
namespace {

absl::Status Lost(GroupId group, absl::string_view why) {
  return absl::DataLossError(
      absl::StrCat("the Raft log of group ", group.value(), " is lost: ", why));
}

EntryPtr Damaged(Index index, Term term) {
  auto entry = std::make_shared<Entry>();
  entry->index = index;
  entry->term = term;
  entry->type = EntryType::kDamaged;
  return entry;
}

}  // namespace

absl::StatusOr<GroupRecord> NewestRecord(GroupId group, const FoundLog& found, bool damaged) {
  if (damaged && !found.side) {
    return Lost(group,
                "its database is damaged, and no record in SYNCED tells what was acknowledged");
  }
  if (found.side && (!found.state || found.side->version > found.state->version))
    return *found.side;
  if (!found.state) return Lost(group, "its hard state can't be read");
  GroupRecord record = *found.state;
  const auto& meta =
      found.meta && found.meta->meta_version == record.meta_version ? found.meta : found.side;
  if (!meta || meta->meta_version != record.meta_version) {
    return Lost(group, "its replica id and where it begins can't be read");
  }
  record.replica = meta->replica;
  record.removed = meta->removed;
  record.start = meta->start;
  return record;
}

absl::StatusOr<GroupLog> VerifyLog(GroupId group, const GroupRecord& record,
                                   const FoundLog& found) {
  if (!record.replica || record.last < record.start.index)
    return Lost(group, "its record is malformed");
  GroupLog log;
  log.group = group;
  log.replica = record.replica;
  log.removed = record.removed;
  log.start = record.start;
  log.hard_state = record.hard_state;
  log.hard_state.commit = std::clamp(record.hard_state.commit, record.start.index, record.last);
  log.entries.resize(record.last - record.start.index);
  Index index = record.last;
  Term term = record.last_term;
  auto place = [&](Index i) -> EntryPtr& { return log.entries[i - record.start.index - 1]; };
  for (; index > record.start.index; index = index - 1) {
    auto it = found.entries.find(index);
    if (it == found.entries.end() || it->second.entry->term != term) break;
    place(index) = it->second.entry;
    term = it->second.previous;
  }
  if (index == record.start.index) {
    if (term == record.start.term) return log;
    return Lost(group, absl::StrCat("its entries do not follow index ", index.value(), " of term ",
                                    record.start.term.value()));
  }
  place(index) = Damaged(index, term);
  for (Index i = record.start.index + 1; i < index; ++i) place(i) = Damaged(i, Term());
  for (auto it = found.entries.upper_bound(record.start.index);
       it != found.entries.end() && it->first <= index; ++it) {
    log.suspects.push_back(it->second);
  }
  return log;
}

}  // namespace kvd::raft
