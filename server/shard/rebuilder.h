// Decides what becomes of a store whose state is damaged: it goes out, to be rebuilt from the other
// replicas, as soon as they can do without it. One for a store, since its groups share one engine.
//
// It goes out only while it follows a leader in every group, and has its leave: a leader has
// applied what is committed, so the state is there, whatever is lost here. A leader hands over
// first, and a leader whose own state is not known to be damaged lets one replica go at a time.
// Where nobody else has a whole state (the only voter, or the last one that is whole), it stays and
// serves what is not damaged.
//
// Lives on the hosts' loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "raft/host.h"

namespace kvd::shard {

class Rebuilder {
 public:
  // Both outlive it.
  Rebuilder(Loop* loop, raft::Host* host) : loop_(loop), host_(host) {}

  // The state can't be read, or what was read is not what was written. Nothing happens before
  // `delay`; where others find out by themselves, so that what was found can be asked for.
  void Report(const absl::Status& damage, Duration delay = Duration::zero());

  // Whether another replica has the state, as far as is known here: then what can't be read here
  // may be asked for again.
  bool Possible() const;
  // For so long it is not possible, for a reason of the caller's.
  void Forbid(Duration duration) { forbidden_until_ = loop_->Now() + duration; }
  // Before the host ends: does nothing any more.
  void Stop();

  // What was reported first; empty if nothing.
  const std::string& damage() const { return damage_; }
  uint64_t reports() const { return reports_; }

  // The store's part, all called on the loop. Told of the first damage; told now and then that
  // nobody can take over; and to note durably that the state is to be rebuilt and to end the
  // process.
  std::function<void(const std::string& damage)> on_damage;
  std::function<void(const std::string& damage)> on_waiting;
  std::function<void(const std::string& damage)> go_out;

 private:
  void Step();
  // Whether the groups' leaders are elsewhere; where this store leads, it asks another to.
  bool FollowsEverywhere();
  // Whether it follows everywhere, and the leaders let it go.
  bool MayGo();

  Loop* const loop_;
  raft::Host* host_;  // null once stopped
  std::string damage_;
  uint64_t reports_ = 0;
  MonotonicTime forbidden_until_ = kLongAgo;
  MonotonicTime not_before_;
  MonotonicTime next_hand_over_ = kLongAgo;
  MonotonicTime next_word_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace kvd::shard
