#include "raft/snapshot_sender.h"

#include <algorithm>

#include "proto/crc32c.h"

namespace kvd::raft {

SnapshotSender::SnapshotSender(Loop* loop, Transport* transport, const SnapshotOptions& options,
                               StoreId to, SnapshotChunk header,
                               std::unique_ptr<SnapshotReader> reader,
                               std::function<void(bool)> done)
    : loop_(loop),
      transport_(transport),
      options_(options),
      to_(to),
      header_(std::move(header)),
      reader_(std::move(reader)),
      done_(std::move(done)),
      allowed_at_(loop->Now()),
      last_progress_(loop->Now()),
      last_sent_(loop->Now()),
      went_back_(loop->Now()) {
  timer_ = loop_->After(Duration::zero(), [this] { OnTimer(); });
}

void SnapshotSender::OnAck(const SnapshotAck& ack) {
  if (ack.snapshot_id != header_.snapshot_id) return;
  if (ack.reject || ack.installed) return Finish(ack.installed);
  if (ack.next_sequence > acked_) {
    acked_ = ack.next_sequence;
    last_progress_ = loop_->Now();
  }
  // Late, or of a receiver that lost what it had (it restarted). Only silence tells: to go back for
  // every late answer would send a window for each, and get as many answers.
  auto now = loop_->Now();
  if (ack.next_sequence < acked_ &&
      now - std::max(last_progress_, went_back_) >= options_.resend_after) {
    went_back_ = now;
    acked_ = next_ = ack.next_sequence;
    end_sent_ = false;
  }
  SendMore();
}

void SnapshotSender::SendMore() {
  while (!end_sent_ && next_ < acked_ + options_.window_chunks && loop_->Now() >= allowed_at_) {
    auto chunk = reader_->Read(next_);
    if (!chunk.ok()) return Finish(false);
    SnapshotChunk out = header_;
    out.sequence = next_++;
    out.crc32c = Crc32c(chunk->data);
    out.last = end_sent_ = chunk->last;
    bytes_sent_ += chunk->data.size();
    auto cost = Duration(static_cast<int64_t>(static_cast<double>(chunk->data.size()) * 1e9 /
                                              static_cast<double>(options_.bytes_per_second_max)));
    allowed_at_ = std::max(allowed_at_, loop_->Now()) + cost;
    last_sent_ = loop_->Now();
    out.data = std::move(chunk->data);
    transport_->SendChunk(to_, std::move(out));
  }
}

void SnapshotSender::OnTimer() {
  auto now = loop_->Now();
  if (now - last_progress_ >= options_.give_up_after) return Finish(false);
  if (now - std::max(last_sent_, last_progress_) >= options_.resend_after) {
    next_ = acked_;
    end_sent_ = false;
  }
  SendMore();
  if (!done_) return;
  timer_ = loop_->After(milliseconds(20), [this] { OnTimer(); });
}

void SnapshotSender::Finish(bool installed) {
  if (!done_) return;
  timer_.reset();
  // The owner destroys this sender in `done`.
  auto done = std::move(done_);
  done_ = nullptr;
  done(installed);
}

}  // namespace kvd::raft
