#include "raft/core/progress.h"

#include <algorithm>

#include "proto/check.h"

namespace kvd::raft {

bool Progress::IsPaused() const {
  switch (state_) {
    case State::kProbe: return probe_sent_;
    case State::kReplicate: return inflight_bytes_ >= bytes_max_ || inflight_.size() >= window_;
    case State::kSnapshot: return true;
  }
  return true;
}

void Progress::Sent(Index last, size_t bytes) {
  if (state_ == State::kProbe) {
    probe_sent_ = true;
    return;
  }
  KVD_CHECK(state_ == State::kReplicate);
  if (last < next_) return;  // without entries
  next_ = last + 1;
  inflight_.push_back({last, bytes});
  inflight_bytes_ += bytes;
}

bool Progress::Acked(Index index, MonotonicTime sent_at, MonotonicTime now) {
  while (!inflight_.empty() && inflight_.front().last <= index) {
    inflight_bytes_ -= inflight_.front().bytes;
    inflight_.pop_front();
  }
  bool news = index > match_;
  match_ = std::max(match_, index);
  next_ = std::max(next_, match_ + 1);
  if (news && state_ == State::kReplicate) window_ = std::min(window_ + 1, messages_max_);
  // The logs agree up to match: from now on send ahead.
  bool ahead = state_ == State::kProbe ? sent_at >= since_
                                       : state_ == State::kSnapshot && match_ >= snapshot_;
  if (ahead) BecomeReplicate(now);
  return news || ahead;
}

bool Progress::Rejected(Index rejected, Index hint, MonotonicTime sent_at, MonotonicTime now) {
  // Overtaken by a later success, or an answer to what has been sent anew since.
  if (state_ == State::kSnapshot || rejected <= match_ || sent_at < since_) return false;
  if (state_ == State::kReplicate) {
    window_ = std::max<size_t>(window_ / 2, 1);
    BecomeProbe(now);
    return true;
  }
  // While probing only the answer to the outstanding probe counts.
  if (next_ - 1 != rejected) return false;
  next_ = std::max(std::min(rejected, hint + 1), match_ + 1);
  probe_sent_ = false;
  return true;
}

void Progress::BecomeReplicate(MonotonicTime now) {
  BecomeProbe(now);
  state_ = State::kReplicate;
  next_ = match_ + 1;
}

void Progress::BecomeProbe(MonotonicTime now) {
  // After a snapshot was sent, what follows it is the first guess.
  next_ = state_ == State::kSnapshot ? std::max(match_, snapshot_) + 1 : match_ + 1;
  state_ = State::kProbe;
  since_ = now;
  probe_sent_ = false;
  snapshot_ = Index();
  inflight_.clear();
  inflight_bytes_ = 0;
}

void Progress::BecomeSnapshot(Index snapshot) {
  state_ = State::kSnapshot;
  snapshot_ = snapshot;
  probe_sent_ = false;
  inflight_.clear();
  inflight_bytes_ = 0;
}

const char* ToString(Progress::State state) {
  switch (state) {
    case Progress::State::kProbe: return "PROBE";
    case Progress::State::kReplicate: return "REPLICATE";
    case Progress::State::kSnapshot: return "SNAPSHOT";
  }
  return "?";
}

}  // namespace kvd::raft
