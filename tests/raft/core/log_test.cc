// The log's terms against a plain list, with entries going out of memory at any place.
#include "raft/core/log.h"

#include "gtest/gtest.h"
#include "raft/runtime/random.h"

namespace kvd::raft {
namespace {

class Unread : public LogReader {
 public:
  std::vector<EntryPtr> Read(Index, Index, size_t) const override {
    ADD_FAILURE() << "a term is asked of the disk";
    return {};
  }
};

class LogTerms : public testing::TestWithParam<uint64_t> {
 protected:
  void Append() {
    if (random_.Chance(0.2)) term_ = Term(term_.value() + random_.Between(1, 3));
    auto entry = std::make_shared<Entry>();
    entry->index = log_.last_index() + 1;
    // Damaged, and nothing told its term when the log was read.
    bool unknown = random_.Chance(0.05);
    entry->type = unknown ? EntryType::kDamaged : EntryType::kCommand;
    entry->term = unknown ? Term() : term_;
    entry->data = std::string(random_.Below(50), 'x');
    terms_[entry->index] = entry->term;
    log_.Append(entry);
    log_.StableTo(entry->index, entry->term);
  }
  Index Somewhere() const {
    return log_.start() + random_.Between(1, log_.last_index() - log_.start());
  }
  void Step() {
    if (log_.last_index() == log_.start() || random_.Chance(0.6)) return Append();
    switch (random_.Below(10)) {
      case 0: {
        Index from = Somewhere();
        terms_.erase(terms_.lower_bound(from), terms_.end());
        return log_.TruncateFrom(from);
      }
      case 1: {
        Index to = std::min(Somewhere(), log_.stable());
        if (to <= log_.start() || !log_.TermAt(to)) return;
        start_term_ = *log_.TermAt(to);
        terms_.erase(terms_.begin(), terms_.upper_bound(to));
        return log_.CompactTo(to, start_term_);
      }
      case 2: {
        if (!random_.Chance(0.1)) return;
        terms_.clear();
        return log_.Reset(log_.last_index() + random_.Below(5), start_term_ = term_);
      }
      default: return log_.EvictTo(Somewhere(), random_.Below(300));
    }
  }
  void Check() {
    EXPECT_EQ(log_.TermAt(log_.start()), start_term_);
    EXPECT_EQ(log_.TermAt(log_.last_index() + 1), std::nullopt);
    if (log_.start()) {
      EXPECT_EQ(log_.TermAt(log_.start() - 1), std::nullopt);
    }
    ASSERT_EQ(log_.last_index() - log_.start(), terms_.size());
    for (const auto& [index, term] : terms_) {
      ASSERT_EQ(log_.TermAt(index), term ? std::optional(term) : std::nullopt) << index.value();
    }
  }

  mutable Random random_{GetParam()};
  Unread unread_;
  Log log_{&unread_, Index(), Term(), {}};
  Term term_{1};
  Term start_term_;
  std::map<Index, Term> terms_;
};

TEST_P(LogTerms, AreKnownWithoutTheDisk) {
  for (int i = 0; i < 2000 && !HasFailure(); ++i) {
    Step();
    Check();
  }
}

INSTANTIATE_TEST_SUITE_P(, LogTerms, testing::Range<uint64_t>(1, 21));

}  // namespace
}  // namespace kvd::raft
