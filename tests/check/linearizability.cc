#include "tests/check/linearizability.h"

#include <algorithm>
#include <iterator>
#include <random>
#include <unordered_set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace kvd::check {
namespace {

using State = std::optional<std::string>;
using Kind = Operation::Kind;

// Applies an operation to a state; false if it could not have given its result there.
bool Apply(const Operation& op, const State& before, State* after) {
  *after = before;
  switch (op.kind) {
    case Kind::kGet: return !op.known || op.value == before;
    case Kind::kPut: *after = op.argument; return true;
    case Kind::kAppend:
      *after = before.value_or("") + op.argument;
      return !op.known || op.length == (*after)->size();
    case Kind::kDelete: after->reset(); return !op.known || op.flag == before.has_value();
    case Kind::kIncrement: {
      int64_t counter = 0;
      if (before.has_value() && !absl::SimpleAtoi(*before, &counter)) return false;
      counter += op.delta;
      *after = std::to_string(counter);
      return !op.known || op.counter == counter;
    }
    case Kind::kCompareAndPut: {
      bool holds = op.expected == before;
      if (holds) *after = op.argument;
      return !op.known || op.flag == holds;
    }
  }
  return false;
}

struct Candidate : Operation {
  // It may never have happened, and nobody read what it would have written.
  bool traceless = false;
};

class Search {
 public:
  // Such that at most `traceless_max` of those that left no trace have happened.
  Search(std::vector<Candidate> history, uint64_t steps_max, size_t traceless_max)
      : ops_(std::move(history)), steps_left_(steps_max), traceless_left_(traceless_max) {
    // A read that told nothing may be left out.
    std::erase_if(ops_, [](const Candidate& op) { return !op.known && op.kind == Kind::kGet; });
    std::sort(ops_.begin(), ops_.end(),
              [](const Candidate& a, const Candidate& b) { return a.called < b.called; });
    taken_.resize(ops_.size());
    std::mt19937_64 random(1);
    for (const Candidate& op : ops_) {
      completed_left_ += op.known ? 1 : 0;
      marks_.push_back({random(), random()});
    }
  }

  Verdict Run(const State& initial) {
    bool found = Extend(initial);
    if (found) return Verdict::kLinearizable;
    return steps_left_ == 0 ? Verdict::kUndecided : Verdict::kNotLinearizable;
  }

 private:
  // Depth-first over the choice of the next operation, with an explicit stack: histories are long.
  bool Extend(const State& initial) {
    struct Frame {
      State state;
      size_t next;    // choice to try next
      size_t chosen;  // operation that led here
    };
    std::vector<Frame> stack = {{initial, 0, kNone}};
    while (!stack.empty()) {
      if (completed_left_ == 0) return true;
      Frame& frame = stack.back();
      size_t choice = NextCandidate(frame.next);
      if (choice == kNone) {
        if (frame.chosen != kNone) Untake(frame.chosen);
        stack.pop_back();
        continue;
      }
      frame.next = choice + 1;
      size_t candidate = choice % ops_.size();
      if (steps_left_ == 0) return false;
      --steps_left_;
      State after;
      if (!Apply(ops_[candidate], frame.state, &after)) continue;
      Take(candidate);
      if (!seen_.insert(Fingerprint(after)).second) {
        Untake(candidate);
        continue;
      }
      stack.push_back({std::move(after), 0, candidate});
    }
    return false;
  }

  // The next choice from `from` on for what comes first among those not taken: something called
  // before any of the others returned. Those whose outcome is unknown, which may never have
  // happened, come behind all others: a choice from ops_.size() on is one of them.
  size_t NextCandidate(size_t from) {
    int64_t earliest_return = INT64_MAX;
    for (size_t i = first_open_; i < ops_.size() && ops_[i].called <= earliest_return; ++i) {
      if (!taken_[i] && ops_[i].known)
        earliest_return = std::min(earliest_return, ops_[i].returned);
    }
    for (bool known : {true, false}) {
      size_t offset = known ? 0 : ops_.size();
      for (size_t i = std::max(from, first_open_ + offset) - offset; i < ops_.size(); ++i) {
        if (ops_[i].called > earliest_return) break;
        bool may_be = !ops_[i].traceless || traceless_left_ > 0;
        if (!taken_[i] && ops_[i].known == known && may_be) return i + offset;
      }
      from = std::max(from, ops_.size());
    }
    return kNone;
  }

  void Take(size_t i) {
    taken_[i] = true;
    Mark(i);
    if (ops_[i].known) --completed_left_;
    if (ops_[i].traceless) --traceless_left_;
    while (first_open_ < ops_.size() && taken_[first_open_]) ++first_open_;
  }

  void Untake(size_t i) {
    taken_[i] = false;
    Mark(i);
    if (ops_[i].known) ++completed_left_;
    if (ops_[i].traceless) ++traceless_left_;
    first_open_ = std::min(first_open_, i);
  }

  void Mark(size_t i) {
    taken_mark_.first ^= marks_[i].first;
    taken_mark_.second ^= marks_[i].second;
  }

  // Which operations are taken, and the state: from here on equal searches end equally. The set is
  // told by 128 random bits for each of them (Zobrist).
  std::string Fingerprint(const State& state) const {
    return absl::StrCat(taken_mark_.first, ",", taken_mark_.second, state.has_value() ? "=" : "-",
                        state.value_or(""));
  }

  static constexpr size_t kNone = SIZE_MAX;
  std::vector<Candidate> ops_;
  uint64_t steps_left_;
  size_t traceless_left_;
  std::vector<bool> taken_;
  std::vector<std::pair<uint64_t, uint64_t>> marks_;
  std::pair<uint64_t, uint64_t> taken_mark_;  // of those taken
  size_t first_open_ = 0;                     // all before are taken
  size_t completed_left_ = 0;
  std::unordered_set<std::string> seen_;
};

// Whether a write of unknown outcome left no trace: nobody read what it would have written.
bool IsTraceless(const Operation& op, const std::vector<Operation>& history) {
  bool writes =
      op.kind == Kind::kPut || op.kind == Kind::kAppend || op.kind == Kind::kCompareAndPut;
  if (op.known || !writes || op.argument.empty()) return false;
  auto tells = [&op](const State& s) { return s && s->find(op.argument) != std::string::npos; };
  return std::none_of(history.begin(), history.end(), [&](const Operation& other) {
    return &other != &op && (tells(other.value) || tells(other.expected));
  });
}

}  // namespace

// What may never have happened, and was seen by nobody, makes most of the search: if all is well
// without it, or with few of it, all is well. If not, more may have made a difference all the same.
Verdict CheckLinearizable(const std::vector<Operation>& history, const State& initial,
                          uint64_t steps_max) {
  std::vector<Candidate> candidates;
  size_t traceless = 0;
  for (const Operation& op : history) {
    candidates.push_back({op, IsTraceless(op, history)});
    traceless += candidates.back().traceless ? 1 : 0;
  }
  for (size_t few : {0, 1, 2, 4}) {
    if (few >= traceless) break;
    if (Search(candidates, steps_max, few).Run(initial) == Verdict::kLinearizable)
      return Verdict::kLinearizable;
  }
  return Search(candidates, steps_max, traceless).Run(initial);
}

std::string Explain(std::vector<Operation> history, size_t lines_max) {
  std::sort(history.begin(), history.end(), [](const Operation& a, const Operation& b) {
    return (a.known ? a.returned : a.called) < (b.known ? b.returned : b.called);
  });
  // What happened up to some moment; operations still under way then are unknown.
  auto upto = [&](size_t n) {
    std::vector<Operation> part(history.begin(), history.begin() + static_cast<ptrdiff_t>(n));
    int64_t end =
        part.empty() ? 0 : (part.back().known ? part.back().returned : part.back().called);
    for (size_t i = n; i < history.size(); ++i) {
      if (history[i].called >= end) continue;
      part.push_back(history[i]);
      part.back().known = false;
    }
    return part;
  };
  size_t good = 0, bad = history.size();
  while (bad - good > 1) {
    size_t middle = (good + bad) / 2;
    (CheckLinearizable(upto(middle)) == Verdict::kLinearizable ? good : bad) = middle;
  }
  std::vector<Operation> shown = upto(bad);
  std::string out;
  for (size_t i = shown.size() - std::min(shown.size(), lines_max); i < shown.size(); ++i) {
    out += "\n  " + Describe(shown[i]);
  }
  return out;
}

std::string Describe(const Operation& op) {
  auto shown = [](const State& s) { return s.has_value() ? absl::StrCat("'", *s, "'") : "none"; };
  std::string what;
  switch (op.kind) {
    case Kind::kGet: what = absl::StrCat("get -> ", shown(op.value)); break;
    case Kind::kPut: what = absl::StrCat("put '", op.argument, "'"); break;
    case Kind::kAppend:
      what = absl::StrCat("append '", op.argument, "' -> length ", op.length);
      break;
    case Kind::kDelete: what = absl::StrCat("delete -> ", op.flag ? "existed" : "missing"); break;
    case Kind::kIncrement: what = absl::StrCat("increment ", op.delta, " -> ", op.counter); break;
    case Kind::kCompareAndPut:
      what = absl::StrCat("compare ", shown(op.expected), " put '", op.argument, "' -> ",
                          op.flag ? "applied" : "refused");
      break;
  }
  return absl::StrCat("[", op.called, " .. ", op.known ? std::to_string(op.returned) : "?", "] ",
                      what, op.known ? "" : " (outcome unknown)");
}

}  // namespace kvd::check
