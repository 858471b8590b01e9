// The core's view of its log: the recent part in memory, the older part behind LogReader, of which
// the terms are in memory too, and a start position before which everything is compacted into the
// state machine's state.
//
//   start  <  first ... (in the log store only) ... cache first ... stable ... last
//
// Pure; not thread-safe; owned by one Core.
#pragma once

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "raft/core/types.h"

namespace kvd::raft {

// Reads entries that were persisted earlier. Must answer for every index in (start, stable].
class LogReader {
 public:
  virtual ~LogReader() = default;
  // Entries from `from`, in order, at least one if it is stored, until `bytes_max` is passed or
  // `end` (exclusive) reached. Empty if `from` can't be read.
  virtual std::vector<EntryPtr> Read(Index from, Index end, size_t bytes_max) const = 0;
};

class Log {
 public:
  // `start` is the last compacted position (0, 0 for a new log); `entries` follow it without a gap
  // and are all stable. The last one's term is known, even if it is damaged.
  Log(const LogReader* reader, Index start, Term start_term, std::vector<EntryPtr> entries);

  Index start() const { return start_; }
  Term start_term() const { return start_term_; }
  Index first_index() const { return start_ + 1; }
  Index last_index() const { return cache_first_ + cache_.size() - 1; }
  Term last_term() const;
  // Everything up to here is on this replica's disk.
  Index stable() const { return stable_; }
  size_t cache_bytes() const { return cache_bytes_; }

  // Empty below start() and above last_index(), and where the entry is damaged and its term
  // unknown.
  std::optional<Term> TermAt(Index index) const;
  bool Matches(Index index, Term term) const { return TermAt(index) == term; }

  // Entries from `from` on until `bytes_max` is passed (at least one) or `end` (exclusive).
  std::vector<EntryPtr> Slice(Index from, Index end, size_t bytes_max) const;

  // Requires: entry->index == last_index() + 1.
  void Append(EntryPtr entry);
  // Puts `entry` at its place, which must be in the cache; what follows stays.
  void Replace(EntryPtr entry);
  // Drops `from` and everything after it. Requires: from > start().
  void TruncateFrom(Index from);
  // Marks entries as persisted, if the one at `index` still has `term`.
  void StableTo(Index index, Term term);
  // Forgets everything up to `index`, whose term is `term`. Requires: index <= stable().
  void CompactTo(Index index, Term term);
  // Starts over behind an installed snapshot.
  void Reset(Index start, Term term);
  // Drops cached entries up to `index` (at most stable()) while the cache exceeds `bytes_max`.
  void EvictTo(Index index, size_t bytes_max);

  // Where a leader and a follower whose logs conflict at `index` can still agree: the last position
  // at or before `index` whose term is at most `term`. Skips whole terms at once (thesis, 5.3's
  // optimisation as refined by etcd).
  Index FindConflict(Index index, Term term) const;

 private:
  const LogReader* const reader_;
  Index start_;
  Term start_term_;
  Index stable_;
  // cache_[i] has index cache_first_ + i. Invariant: start_ < cache_first_ <= stable_ + 1.
  Index cache_first_;
  // Terms of the entries between start_ and cache_first_: where each begins, the first perhaps
  // before them. Each append asks for the term of the entry before, which may be large. 0: the
  // entry is damaged, its term unknown.
  std::deque<std::pair<Index, Term>> evicted_terms_;
  std::deque<EntryPtr> cache_;
  size_t cache_bytes_ = 0;
};

}  // namespace kvd::raft
