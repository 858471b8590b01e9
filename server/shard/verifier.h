// Verifications of a store: the group's state hashed as it was at one log index, and everything
// else that the store keeps checked against its checksums, away from the loop. The verifier itself
// lives on the loop; its jobs touch nothing of it and report by posting to the loop.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proto/ids.h"
#include "raft/runtime/loop.h"
#include "raft/runtime/worker.h"
#include "server/shard/state_hash.h"

namespace kvd::shard {

// An entry that is replayed later than this after it was proposed begins no verification.
inline constexpr uint64_t kVerificationMillisMax = uint64_t{10} * 60 * 1000;
// Damage that a verification found is acted upon after this long: whoever asked is told of it
// first.
inline constexpr Duration kVerifiedDamageDelay = std::chrono::seconds(3);
// Kept, under way or finished: a new one displaces the oldest.
inline constexpr size_t kVerificationsMax = 4;

struct StorageTotals {
  uint64_t bytes = 0;
  uint64_t damaged = 0;
  std::vector<std::string> damage;  // the first few: where, and what
  std::string state_damage;         // the first of it that is the state's

  void Note(std::string what);
  // The same, of what the state is kept in.
  void NoteState(std::string what);
};

// Goes through what a store keeps beside the pairs of its groups. Used by one thread.
class StorageCheck {
 public:
  virtual ~StorageCheck() = default;
  // Checks a slice. False: it was the last one.
  virtual bool Step(StorageTotals* out) = 0;
};

struct Verification {
  uint64_t id = 0;
  Index index;
  bool done = false;
  // The state was read to its end: `state.hash` is of all of it.
  bool hashed = false;
  StateTotals state;
  StorageTotals storage;

  uint64_t damaged() const { return state.damaged + storage.damaged; }
  // The first damage of the state; empty if there is none.
  const std::string& state_damage() const {
    return state.damaged != 0 ? state.first_damage : storage.state_damage;
  }
};

class Verifier {
 public:
  // Makes a check of the store's files at the time of the call; may be null: nothing to check.
  using MakeCheck = std::function<std::unique_ptr<StorageCheck>()>;

  // Both given outlive it, and so does what `make_check` refers to outlive the worker's jobs.
  Verifier(Loop* loop, Worker* worker, MakeCheck make_check);
  ~Verifier();

  // Begins to verify `view`, the state at `index`.
  void Begin(uint64_t id, GroupId group, Index index, std::unique_ptr<storage::View> view,
             Timestamp safe_point, Timestamp clock);
  // Told, on the loop, of a finished verification that found the state damaged.
  std::function<void(const absl::Status&)> on_damage;

  // Null if it never began here, or was displaced.
  const Verification* Find(uint64_t id) const;

 private:
  struct Kept {
    Verification verification;
    std::shared_ptr<std::atomic<bool>> cancelled;
  };

  Loop* const loop_;
  Worker* const worker_;
  const MakeCheck make_check_;
  std::deque<Kept> kept_;  // oldest first
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kvd::shard
