#include "client/src/range_deletion.h"

#include "proto/limits.h"

namespace kvd::client {
namespace {

constexpr int kAtOnce = 8;

}  // namespace

void RangeDeletion::Locate() {
  RequestItem item;
  item.mutable_locate()->set_start(cursor_);
  item.mutable_locate()->set_end(end_);
  item.mutable_locate()->set_limit(kLocateShardsMax);
  session_->Submit(std::move(item), loop_->Now() + step_,
                   [self = shared_from_this()](const absl::StatusOr<ResponseItem>& answer) {
                     if (answer.ok() && !answer->locate().shards().empty()) {
                       self->TakePieces(answer->locate());
                     } else {
                       // Then one group after the other, as they say where to go on.
                       self->pieces_.push_back({self->cursor_, self->end_});
                       self->located_all_ = true;
                     }
                     self->Launch();
                   });
}

void RangeDeletion::TakePieces(const v1::LocateResponse& located) {
  session_->NoteLocated(located);
  uint64_t group = 0;
  for (const auto& shard : located.shards()) {
    std::string end = shard.end();
    located_all_ = end.empty() || (!end_.empty() && end >= end_);
    if (located_all_) end = end_;
    if (group == shard.group_id()) {
      pieces_.back().end = end;
    } else {
      pieces_.push_back({cursor_, end});
    }
    group = shard.group_id();
    cursor_ = end;
    if (located_all_) return;
  }
}

void RangeDeletion::Launch() {
  while (running_ < kAtOnce && !pieces_.empty() && status_.ok()) {
    Piece piece = std::move(pieces_.front());
    pieces_.pop_front();
    ++running_;
    Step(std::move(piece));
  }
  if (running_ > 0) return;
  if (!status_.ok()) return done_(status_);
  if (located_all_) return done_(result_);
  Locate();
}

void RangeDeletion::Step(Piece piece) {
  RequestItem item;
  item.mutable_delete_range()->mutable_range()->set_start(piece.start);
  item.mutable_delete_range()->mutable_range()->set_end(piece.end);
  session_->Submit(std::move(item), loop_->Now() + step_,
                   [self = shared_from_this(), piece = std::move(piece)](const auto& answer) {
                     self->OnStep(piece, answer);
                   });
}

void RangeDeletion::OnStep(Piece piece, const absl::StatusOr<ResponseItem>& answer) {
  if (answer.ok()) result_.deleted += answer->delete_range().deleted();
  if (answer.ok() && answer->delete_range().more()) {
    piece.start = answer->delete_range().resume_key();
    return Step(std::move(piece));
  }
  status_.Update(answer.status());
  --running_;
  Launch();
}

}  // namespace kvd::client
