#include "raft/core/log.h"

#include <algorithm>

#include "proto/check.h"

namespace kvd::raft {

Log::Log(const LogReader* reader, Index start, Term start_term, std::vector<EntryPtr> entries)
    : reader_(reader),
      start_(start),
      start_term_(start_term),
      stable_(start),
      cache_first_(start + 1) {
  for (EntryPtr& entry : entries) Append(std::move(entry));
  stable_ = last_index();
}

Term Log::last_term() const {
  auto term = TermAt(last_index());
  KVD_CHECK(term.has_value());
  return *term;
}

std::optional<Term> Log::TermAt(Index index) const {
  if (index == start_) return start_term_;
  if (index < start_ || index > last_index()) return std::nullopt;
  if (index >= cache_first_) {
    const Entry& entry = *cache_[index - cache_first_];
    if (entry.type == EntryType::kDamaged && !entry.term) return std::nullopt;
    return entry.term;
  }
  auto after = std::upper_bound(evicted_terms_.begin(), evicted_terms_.end(), index,
                                [](Index at, const auto& run) { return at < run.first; });
  KVD_CHECK(after != evicted_terms_.begin());
  Term term = std::prev(after)->second;
  return term ? std::optional(term) : std::nullopt;
}

std::vector<EntryPtr> Log::Slice(Index from, Index end, size_t bytes_max) const {
  KVD_CHECK(from > start_);
  end = std::min(end, last_index() + 1);
  if (from >= end) return {};
  if (from < cache_first_) return reader_->Read(from, std::min(end, cache_first_), bytes_max);
  std::vector<EntryPtr> entries;
  size_t bytes = 0;
  for (Index i = from; i < end; ++i) {
    const EntryPtr& entry = cache_[i - cache_first_];
    bytes += entry->Bytes();
    if (!entries.empty() && bytes > bytes_max) break;
    entries.push_back(entry);
  }
  return entries;
}

void Log::Append(EntryPtr entry) {
  KVD_CHECK(entry->index == last_index() + 1);
  cache_bytes_ += entry->Bytes();
  cache_.push_back(std::move(entry));
}

void Log::Replace(EntryPtr entry) {
  KVD_CHECK(entry->index >= cache_first_ && entry->index <= last_index());
  EntryPtr& place = cache_[entry->index - cache_first_];
  cache_bytes_ += entry->Bytes();
  cache_bytes_ -= place->Bytes();
  place = std::move(entry);
}

void Log::TruncateFrom(Index from) {
  KVD_CHECK(from > start_);
  while (!cache_.empty() && cache_.back()->index >= from) {
    cache_bytes_ -= cache_.back()->Bytes();
    cache_.pop_back();
  }
  cache_first_ = std::min(cache_first_, from);
  while (!evicted_terms_.empty() && evicted_terms_.back().first >= from) evicted_terms_.pop_back();
  stable_ = std::min(stable_, from - 1);
}

void Log::StableTo(Index index, Term term) {
  if (index > stable_ && Matches(index, term)) stable_ = index;
}

void Log::CompactTo(Index index, Term term) {
  if (index <= start_) return;
  KVD_CHECK(index <= stable_);
  while (!cache_.empty() && cache_.front()->index <= index) {
    cache_bytes_ -= cache_.front()->Bytes();
    cache_.pop_front();
    ++cache_first_;
  }
  cache_first_ = std::max(cache_first_, index + 1);
  while (evicted_terms_.size() > 1 && evicted_terms_[1].first <= index + 1)
    evicted_terms_.pop_front();
  if (cache_first_ == index + 1) evicted_terms_.clear();
  start_ = index;
  start_term_ = term;
}

void Log::Reset(Index start, Term term) {
  cache_.clear();
  cache_bytes_ = 0;
  start_ = stable_ = start;
  start_term_ = term;
  cache_first_ = start + 1;
  evicted_terms_.clear();
}

void Log::EvictTo(Index index, size_t bytes_max) {
  index = std::min(index, stable_);
  while (cache_bytes_ > bytes_max && !cache_.empty() && cache_.front()->index <= index) {
    cache_bytes_ -= cache_.front()->Bytes();
    const Entry& entry = *cache_.front();
    if (evicted_terms_.empty() || evicted_terms_.back().second != entry.term)
      evicted_terms_.emplace_back(entry.index, entry.term);
    cache_.pop_front();
    ++cache_first_;
  }
}

Index Log::FindConflict(Index index, Term term) const {
  index = std::min(index, last_index());
  while (index > start_) {
    auto at = TermAt(index);
    if (!at.has_value() || *at <= term) break;
    index = index - 1;
  }
  return index;
}

}  // namespace kvd::raft
