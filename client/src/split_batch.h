// A batch that is not to be atomic as a whole: what one group has of it is applied together.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "client/src/session.h"
#include "kvd/client.h"

namespace kvd::client {

// Keeps itself alive until it is over. Lives on the session's loop.
class SplitBatch : public std::enable_shared_from_this<SplitBatch> {
 public:
  using Done = std::function<void(absl::StatusOr<BatchResult>)>;

  // Both given outlive it.
  SplitBatch(Loop* loop, Session* session, MonotonicTime deadline,
             std::vector<Operation> operations, Done done)
      : loop_(loop),
        session_(session),
        deadline_(deadline),
        operations_(std::move(operations)),
        done_(std::move(done)) {
    result_.items.resize(operations_.size());
  }

  void Start();

 private:
  using Piece = std::vector<size_t>;  // positions of operations

  void Locate(const std::string& key);
  void Send(Piece piece);
  void OnAnswer(const Piece& piece, const absl::StatusOr<ResponseItem>& answer);
  void Finish();

  Loop* const loop_;
  Session* const session_;
  const MonotonicTime deadline_;
  const std::vector<Operation> operations_;
  const Done done_;
  size_t locates_ = 0;
  int running_ = 0;
  absl::Status status_;
  BatchResult result_;
};

}  // namespace kvd::client
