#include "client/src/split_batch.h"

#include <algorithm>
#include <map>

#include "client/src/convert.h"
#include "proto/error.h"
#include "proto/limits.h"

namespace kvd::client {

void SplitBatch::Start() {
  std::map<GroupId, Piece> pieces;
  for (size_t i = 0; i < operations_.size(); ++i) {
    const std::string& key = operations_[i].key;
    GroupId group = session_->ranges().GroupOf(key);
    // Each answer tells of one key's range at least.
    if (!group && locates_ < operations_.size()) return Locate(key);
    pieces[group].push_back(i);
  }
  if (pieces.empty()) return Finish();
  running_ = 1;
  for (auto& [group, piece] : pieces) Send(std::move(piece));
  --running_;
  if (running_ == 0) Finish();
}

void SplitBatch::Locate(const std::string& key) {
  ++locates_;
  RequestItem item;
  item.mutable_locate()->set_start(key);
  item.mutable_locate()->set_limit(kLocateShardsMax);
  session_->Submit(std::move(item), deadline_,
                   [self = shared_from_this()](const absl::StatusOr<ResponseItem>& answer) {
                     if (!answer.ok()) return self->done_(answer.status());
                     self->session_->NoteLocated(answer->locate());
                     self->Start();
                   });
}

void SplitBatch::Send(Piece piece) {
  ++running_;
  std::vector<Operation> operations;
  operations.reserve(piece.size());
  for (size_t i : piece) operations.push_back(operations_[i]);
  session_->Submit(BatchItem(operations, {}, {}), deadline_,
                   [self = shared_from_this(), piece = std::move(piece)](const auto& answer) {
                     self->OnAnswer(piece, answer);
                   });
}

void SplitBatch::OnAnswer(const Piece& piece, const absl::StatusOr<ResponseItem>& answer) {
  auto result = BatchAnswer(answer);
  --running_;
  if (result.ok() && result->items.size() == piece.size()) {
    for (size_t i = 0; i < piece.size(); ++i) result_.items[piece[i]] = result->items[i];
    result_.version = std::max(result_.version, result->version);
  } else if (InfoOf(result.status()).kind == ErrorKind::kConflict && piece.size() > 1) {
    // Its keys are several groups' by now; nothing of it was applied.
    auto middle = piece.begin() + static_cast<std::ptrdiff_t>(piece.size() / 2);
    Send(Piece(piece.begin(), middle));
    Send(Piece(middle, piece.end()));
  } else {
    status_.Update(result.ok() ? absl::InternalError("the answer has not one result for each write")
                               : result.status());
  }
  if (running_ == 0) Finish();
}

void SplitBatch::Finish() {
  if (!status_.ok()) return done_(status_);
  done_(std::move(result_));
}

}  // namespace kvd::client
