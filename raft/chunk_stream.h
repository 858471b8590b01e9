// The stream of snapshot chunks to a peer; opened again, after a pause, when it breaks. Lives on
// its loop, kept alive by the operations under way.
#pragma once

#include <deque>
#include <memory>

#include "kvd/internal/v1/raft.grpc.pb.h"
#include "raft/runtime/cq_loop.h"
#include "raft/stream_patience.h"
#include "raft/transport.h"

namespace kvd::raft {

class ChunkStream : public std::enable_shared_from_this<ChunkStream> {
 public:
  using Stub = internal::v1::RaftTransport::Stub;

  struct Options {
    size_t queue_bytes_max;  // what waits beyond is dropped
    Duration reconnect_after;
  };
  // `patience`: how long until a chunk that was sent has left room for the next one; outlives all
  // operations.
  ChunkStream(CqLoop* loop, std::shared_ptr<Stub> stub, internal::v1::Hello hello,
              const Options& options, StreamPatience* patience);

  void Send(SnapshotChunk chunk);
  // For good.
  void Stop();

 private:
  enum class State { kIdle, kStarting, kOpen, kWriting, kClosing, kPausing };

  void Start();
  void WriteNext();
  void OnWritten(bool ok);
  void Close();
  void Pause();

  CqLoop* const loop_;
  const std::shared_ptr<Stub> stub_;
  const internal::v1::Hello hello_;
  const Options options_;
  StreamPatience* const patience_;
  State state_ = State::kIdle;
  bool stopped_ = false;
  bool first_ = false;
  std::unique_ptr<grpc::ClientContext> context_;
  internal::v1::StreamEnd end_;
  std::unique_ptr<grpc::ClientAsyncWriter<internal::v1::SnapshotChunk>> writer_;
  grpc::Status status_;
  internal::v1::SnapshotChunk sending_;
  std::deque<internal::v1::SnapshotChunk> waiting_;
  size_t waiting_bytes_ = 0;
  std::unique_ptr<Timer> give_up_;  // what is being written
  std::unique_ptr<Timer> retry_;
};

}  // namespace kvd::raft
