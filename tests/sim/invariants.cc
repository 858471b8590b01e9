#include "tests/sim/invariants.h"

#include "absl/strings/str_cat.h"
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
    KVD_CHECK_MSG(term == entry.term,
                  absl::StrCat("the leader of term ", core.term().value(),
                               " lacks the applied entry ", index.value(), " of term ", entry.term.value(),
                               ": its log ", core.log().start().value(), "..", core.log().last_index().value(),
                               " has term ", term.value_or(Term()).value(), " there"));
  }
}

void Invariants::Applied(SimStore& store, const raft::Entry& entry,
                         const shard::CommandResult& result) {
  // State machine safety, and determinism of what applying gives. Whether a duplicate was found by
  // the shortcut or by a look-up may differ; the answer may not.
  AppliedEntry mine{entry.term, store.core().term(), Crc32c(entry.data), CrcOf(result)};
  auto [it, first] = applied_.emplace(entry.index, mine);
  KVD_CHECK_MSG(it->second.term == mine.term && it->second.data_crc == mine.data_crc,
                absl::StrCat("store ", store.id().value(), " applies another entry at ",
                             entry.index.value()));
  KVD_CHECK_MSG(it->second.result_crc == mine.result_crc,
                absl::StrCat("store ", store.id().value(), " gets another result at ",
                             entry.index.value()));
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
