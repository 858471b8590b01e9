// A bidirectional stream of message batches between two stores: what the end that opened it and the
// end that accepted it do alike. Lives on its loop, kept alive by the operations under way.
//
// When the next batch is read matters. gRPC 1.51 follows a read at once with a WINDOW_UPDATE, a
// system call that wakes the peer for nothing, unless one has left with a batch sent since the last
// one came. So the next read is begun behind the answer to what has come, unless more is on its way
// already.
//
// Each end says at least once a beat how many batches it has received, unless it is sending a large
// one, which it announces. One that is not told so in time for what it has sent ends the stream: a
// hanging one would never end (stream_patience.h).
#pragma once

#include <grpcpp/support/async_stream.h>

#include <deque>
#include <memory>
#include <string>

#include "kvd/internal/v1/raft.pb.h"
#include "raft/message_outbox.h"
#include "raft/runtime/cq_loop.h"
#include "raft/stream_patience.h"

namespace kvd::raft {

// What a store keeps for another one from stream to stream.
struct PeerQueue {
  PeerQueue(size_t bytes_max, Duration patience) : outbox(bytes_max), patience(patience) {}
  MessageOutbox outbox;
  StreamPatience patience;
};

class MessageLink : public std::enable_shared_from_this<MessageLink> {
 public:
  virtual ~MessageLink() = default;

  bool open() const { return open_; }
  // What is sent from now on; null: nothing, and no answer is waited for. Outlives its use.
  void set_queue(PeerQueue* queue) { queue_ = queue; }
  // Sends what waits, unless a batch is on its way: then it follows that. Now, not at the end of
  // the turn: the receiver works while this store does the rest of it.
  void Flush();
  // A read that was put off is begun, and none is put off from now on: a stream ends with one that
  // fails.
  void PutOffNoRead();

 protected:
  using Batch = internal::v1::MessageBatch;

  // `damaged` counts the batches that arrive damaged; it outlives the link.
  MessageLink(Loop* loop, uint64_t* damaged) : loop_(loop), damaged_(damaged) {}

  // The stream is open: reads it, and sends. Both outlive the call to Ended.
  void Begin(grpc::internal::AsyncReaderInterface<Batch>* reader,
             grpc::internal::AsyncWriterInterface<Batch>* writer);
  // Begins nothing any more; `why` if the peer is to be refused. Ended follows.
  void End(std::string why);

  // Empty, or why the peer is refused by what it says, before anything else of the batch is looked
  // at: another version of the protocol may have other checksums.
  virtual std::string Refusal(const Batch&) const { return ""; }
  // Empty, or why the stream must end. The batch is as it was sent, and may be taken to pieces.
  virtual std::string Take(Batch* batch) = 0;
  // Adds what the first batch of the stream says.
  virtual void AddGreeting(Batch*) {}
  // Makes what is under way fail soon.
  virtual void Cancel() = 0;
  // Once, when nothing is under way any more.
  virtual void Ended(const std::string& why) = 0;

 private:
  void Read();
  void OnRead(bool ok);
  void ReadWhenAnswered(bool asked);
  void Write();
  void OnWritten(bool ok);
  void NoteReceived(uint64_t received);
  void Watch();
  bool WaitedTooLong(MonotonicTime now);
  void EndIfIdle();
  uint64_t Unanswered() const { return sent_ - told_; }
  struct SentBatch {
    MonotonicTime at;
    size_t bytes;
  };

  Loop* const loop_;
  uint64_t* const damaged_;
  PeerQueue* queue_ = nullptr;
  grpc::internal::AsyncReaderInterface<Batch>* reader_ = nullptr;
  grpc::internal::AsyncWriterInterface<Batch>* writer_ = nullptr;
  bool open_ = false;
  bool ended_ = false;
  bool reading_ = false;
  bool writing_ = false;
  std::shared_ptr<MessageLink>
      put_off_;  // itself, while a read is put off and perhaps nothing is under way
  bool put_off_no_read_ = false;
  std::string why_;  // it ends
  Batch incoming_;
  Batch outgoing_;
  uint64_t sent_ = 0;      // batches
  uint64_t received_ = 0;  // batches
  uint64_t told_ = 0;      // how many of those sent the peer had received when it wrote last
  std::deque<SentBatch> unanswered_;      // the peer has not told to have received them
  MonotonicTime answered_at_ = kLongAgo;  // last
  bool announced_ = false;                // what is sent next
  size_t expected_bytes_ = 0;             // that the peer announced
  MonotonicTime written_at_;              // last
  MonotonicTime watched_at_;              // last
  std::unique_ptr<Timer> watch_;
  MonotonicTime read_began_;
  std::unique_ptr<Timer> latest_read_;
};

}  // namespace kvd::raft
