// The gRPC port: the socket that it listens on, and what a client may cost. A bad client is
// refused, cut off, or bounded; the others are served on. Who may connect at all is for the network
// to say.
#pragma once

#include <grpcpp/server_builder.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/limits.h"

namespace kvd::server {

// Fixed, since clients and other stores rely on them.
struct ListenerLimits {
  // One message; a larger one is RESOURCE_EXHAUSTED.
  static constexpr size_t kReceiveBytesMax = kStoreReceiveBytesMax;
  // The header fields of a call, in one frame; more is RESOURCE_EXHAUSTED. Ours carry none of their
  // own.
  static constexpr int kMetadataBytesMax = 16 << 10;
  // Calls under way on one connection. Well-behaved clients hold further ones back; what comes all
  // the same is refused.
  static constexpr int kStreamsMax = 1024;
  // From accepting a connection to the client's HTTP/2 settings; then it is closed.
  static constexpr int kHandshakeMillisMax = 10'000;
  // A client may ping this often while nothing is sent to it, and sooner this many times; then it
  // gets GOAWAY with ENHANCE_YOUR_CALM. Our own ping every 10 s.
  static constexpr int kPingMillisMin = 5'000;
  static constexpr int kPingStrikesMax = 2;
  // A silent connection is asked for a sign of life, and closed without one: of a machine that has
  // vanished nothing else is heard.
  static constexpr int kKeepaliveMillis = 30'000;
  static constexpr int kKeepaliveTimeoutMillis = 20'000;
  // A connection without a call is closed after this; a gRPC client opens it anew when it has
  // something to ask. There is no limit on a connection's age: pipelines and Raft's streams are as
  // old as both ends, and to cut them would gain nothing.
  static constexpr int kIdleMillisMax = 300'000;
  // Of gRPC's buffers for all connections together. What was answered and is not taken has a bound
  // of its own: service/answer_budget.h.
  static constexpr size_t kMemoryBytes = size_t{1} << 30;
  // Descriptors kept for what is not a connection: the databases' files (1,024 and 256), their
  // logs, sockets of our own. At most half of the process's limit.
  static constexpr int kDescriptorsForFiles = 1536;
};

// Those that a test may want smaller, to see what comes of them.
struct ListenerPatience {
  int keepalive_millis = ListenerLimits::kKeepaliveMillis;
  int keepalive_timeout_millis = ListenerLimits::kKeepaliveTimeoutMillis;
  int idle_millis_max = ListenerLimits::kIdleMillisMax;
  size_t memory_bytes = ListenerLimits::kMemoryBytes;
};

// Sets all of the above but the descriptors, which are Listener's.
void ApplyLimits(grpc::ServerBuilder& builder, const ListenerPatience& patience = {});

// Why `address` (HOST:PORT) can't be listened on, found out by trying.
std::string WhyNotBound(const std::string& address);

// Accepts connections and hands them to a gRPC server. gRPC 1.51's own listener closes for good
// when the process runs out of descriptors; this one closes what comes while connections hold all
// that they may, and accepts again as soon as some have gone.
class Listener {
 public:
  // Binds and listens on HOST:PORT, every address that the host stands for. The error says why not.
  // Raises the process's limit of descriptors as far as it may.
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(const std::string& address);
  // Stops.
  ~Listener();

  // The way of its connections into the server that is being built. Before it is built, once.
  void AddTo(grpc::ServerBuilder& builder);
  // Accepts from now on, on a thread of its own. The server runs.
  void Start();
  // Accepts no more; waits for the thread. Before the server ends.
  void Stop();

 private:
  Listener(std::vector<int> sockets, int stop_event, int connection_descriptor_max);
  void AcceptLoop();
  // All that wait on a socket. False if the system has nothing left to accept with.
  bool AcceptFrom(int socket);

  const std::vector<int> sockets_;
  const int stop_event_;
  // Descriptors are given out lowest first: a connection with a higher one is one too many.
  const int connection_descriptor_max_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::thread thread_;
  // The thread's.
  bool full_ = false;
};

}  // namespace kvd::server
