#include "tests/sim/invariants.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "proto/crc32c.h"

namespace kvd::sim {
namespace {

// The busiest of thousands of seeds come to a quarter of it.
constexpr uint64_t kEventsPerSecondMax = 50'000;

uint32_t CrcOf(const shard::CommandResult& r) {
  std::string bytes;
  Writer w(&bytes);
  w.Varint(static_cast<uint64_t>(r.status.code()));
  w.Varint(r.applied_at);
  w.Byte(r.conditions_held);
  w.Varint(r.version);
  w.Varint(r.current_version);
  w.Varint(r.deleted);
  w.Bytes(r.resume_key);
  for (const auto& item : r.items) {
    w.Byte(item.existed);
    w.SignedVarint(item.counter);
    w.Varint(item.length);
  }
  return Crc32c(bytes);
}

// The key's newest version that is no outcome; at the end if there is none. Nothing, if something
// of the key has decayed: then a row may well be what the engine can't give any more.
std::optional<storage::MemoryEngine::Map::const_iterator> NewestOf(
    const storage::MemoryEngine& engine, std::string_view user_key) {
  std::string prefix = storage::VersionsPrefix(kGroup, user_key);
  auto end = engine.contents().end();
  auto newest = end;
  for (auto it = engine.contents().lower_bound(prefix); it != end; ++it) {
    if (!storage::IsVersionOf(prefix, it->first)) break;
    if (engine.damaged().contains(it->first)) return std::nullopt;
    auto version = storage::DecodeVersion(it->second);
    KVD_CHECK(version.has_value());
    if (newest == end && version->kind != storage::VersionKind::kOutcome) newest = it;
  }
  return newest;
}

void CheckRow(const SimStore& store, const shard::DataGroup& group,
              const storage::MemoryEngine& engine, const storage::RowCache::Row& row) {
  auto newest = NewestOf(engine, row.key);
  if (!newest.has_value()) return;
  auto version = storage::DecodeVersion(row.bytes);
  Timestamp safe_point = group.meta().safe_point;
  bool removed = *newest == engine.contents().end() && version.has_value() &&
                 row.timestamp <= safe_point && storage::IsDead(*version, safe_point);
  bool same = *newest != engine.contents().end() &&
              storage::TimestampOf((*newest)->first) == row.timestamp &&
              (*newest)->second == row.bytes;
  KVD_CHECK_MSG(removed || same,
                absl::StrCat("the row cache of store ", store.id().value(), " has key ",
                             Printable(row.key), " as of ", row.timestamp.value(),
                             ", which is not the newest that the engine has"));
}

}  // namespace

void Invariants::AfterTurn(SimStore& store) {
  const raft::Core& core = store.core();
  core.CheckState();
  // What the log no longer holds survives a crash without it.
  KVD_CHECK_MSG(core.NeedsState() || !store.StateIsWhole() ||
                    store.group().DurableIndex() >= core.log().start(),
                absl::StrCat("the log of store ", store.id().value(), " begins behind ",
                             core.log().start().value(), ", the state is durable up to ",
                             store.group().DurableIndex().value()));
  if (!core.IsLeader()) return;
  // Election safety: at most one leader a term.
  auto [it, first] = leaders_.emplace(core.term(), core.id());
  KVD_CHECK_MSG(it->second == core.id(), absl::StrCat("two leaders in term ", core.term().value()));
  if (led_checked_[store.id()] == core.term()) return;
  led_checked_[store.id()] = core.term();
  // Leader completeness: its log holds every entry that any replica has applied.
  for (const auto& [index, entry] : applied_) {
    // Of what was committed in earlier terms.
    if (entry.seen_in >= core.term()) continue;
    if (index <= core.log().start() || store.log_on_disk().damaged.contains(index)) continue;
    auto term = core.log().TermAt(index);
    KVD_CHECK_MSG(
        term == entry.term,
        absl::StrCat("the leader of term ", core.term().value(), " lacks the applied entry ",
                     index.value(), " of term ", entry.term.value(), ": its log ",
                     core.log().start().value(), "..", core.log().last_index().value(),
                     " has term ", term.value_or(Term()).value(), " there"));
  }
}

void Invariants::CheckRows(SimStore& store) {
  shard::DataGroup& group = store.group();
  std::pair<uint64_t, Index> position(store.starts(), group.meta().applied.index);
  if (rows_checked_[store.id()] == position) return;
  rows_checked_[store.id()] = position;
  for (const storage::RowCache::Row& row : group.row_cache().rows()) {
    CheckRow(store, group, store.engine(), row);
  }
  std::string key = absl::StrCat(read_random_.Chance(0.15) ? "n" : "k", read_random_.Below(5));
  Timestamp at = group.meta().clock;
  // Sometimes in the past, as far as there is one.
  Timestamp safe_point = group.meta().safe_point;
  if (read_random_.Chance(0.3)) at = safe_point + read_random_.Below(at - safe_point + 1);
  uint64_t hits = group.row_cache().hits();
  auto through = group.Get(key, at);
  cached_reads_ += group.row_cache().hits() - hits;
  auto beside = group.reader().Get(key, at);
  if (!through.ok() || !beside.ok()) return;
  bool same = through->has_value() == beside->has_value() &&
              (!through->has_value() || ((*through)->timestamp == (*beside)->timestamp &&
                                         (*through)->bytes == (*beside)->bytes));
  KVD_CHECK_MSG(same || !NewestOf(store.engine(), key).has_value(),
                absl::StrCat("store ", store.id().value(), " reads key ", key, " at ", at.value(),
                             " another than its engine has"));
}

void Invariants::Applied(SimStore& store, const raft::Entry& entry,
                         const shard::CommandResult& result) {
  KVD_CHECK_MSG(!store.engine().WouldStall(),
                absl::StrCat("store ", store.id().value(), " holds up its loop to apply ",
                             entry.index.value()));
  // State machine safety, and determinism of what applying gives. Whether a duplicate was found by
  // the shortcut or by a look-up may differ; the answer may not.
  AppliedEntry mine{entry.term, store.core().term(), Crc32c(entry.data), CrcOf(result)};
  auto [it, first] = applied_.emplace(entry.index, mine);
  KVD_CHECK_MSG(it->second.term == mine.term && it->second.data_crc == mine.data_crc,
                absl::StrCat("store ", store.id().value(), " applies another entry at ",
                             entry.index.value()));
  KVD_CHECK_MSG(
      it->second.result_crc == mine.result_crc,
      absl::StrCat("store ", store.id().value(), " gets another result at ", entry.index.value()));
}

void Invariants::CheckLeases(const std::map<StoreId, std::unique_ptr<SimStore>>& stores) const {
  const SimStore* holder = nullptr;
  for (const auto& [id, store] : stores) {
    if (!store->running()) continue;
    if (!store->core().HoldsLease(store->process().loop->Now())) continue;
    KVD_CHECK_MSG(holder == nullptr,
                  absl::StrCat("stores ", holder == nullptr ? 0 : holder->id().value(), " and ",
                               id.value(), " hold a lease at once"));
    holder = store.get();
  }
}

void Invariants::CheckPace(MonotonicTime now) {
  if (now >= second_ends_) {
    second_ends_ = now + std::chrono::seconds(1);
    events_in_second_ = 0;
  }
  KVD_CHECK_MSG(++events_in_second_ <= kEventsPerSecondMax,
                absl::StrCat("a storm: more than ", kEventsPerSecondMax, " events in a second"));
}

}  // namespace kvd::sim
