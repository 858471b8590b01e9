// Deletes a range step by step, several groups' parts at the same time.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "client/src/session.h"
#include "kvd/client.h"

namespace kvd::client {

// Keeps itself alive until it is over. Lives on the session's loop.
class RangeDeletion : public std::enable_shared_from_this<RangeDeletion> {
 public:
  using Done = std::function<void(absl::StatusOr<DeleteRangeResult>)>;

  // Both given outlive it. `step`: for how long a step may take.
  RangeDeletion(Loop* loop, Session* session, Duration step, std::string start, std::string end,
                Done done)
      : loop_(loop),
        session_(session),
        step_(step),
        cursor_(std::move(start)),
        end_(std::move(end)),
        done_(std::move(done)) {}

  void Start() { Locate(); }

 private:
  struct Piece {
    std::string start;
    std::string end;
  };

  // Which groups have the next part of the range: what lies in one is a piece.
  void Locate();
  void TakePieces(const v1::LocateResponse& located);
  void Launch();
  void Step(Piece piece);
  void OnStep(Piece piece, const absl::StatusOr<ResponseItem>& answer);

  Loop* const loop_;
  Session* const session_;
  const Duration step_;
  std::string cursor_;  // up to here it is known where the keys are
  const std::string end_;
  const Done done_;
  std::deque<Piece> pieces_;
  bool located_all_ = false;
  int running_ = 0;
  absl::Status status_;
  DeleteRangeResult result_;
};

}  // namespace kvd::client
