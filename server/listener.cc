#include "server/listener.h"

#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace kvd::server {
namespace {

// How many connections may wait to be accepted; the kernel's own bound holds too.
constexpr int kBacklog = 4096;
// Without descriptors there is nothing to accept with: tried again after this long.
constexpr int kRetryMillis = 50;

bool SetOption(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// A listening socket, or -1 with errno set.
int ListenOn(const addrinfo& at) {
  int fd = socket(at.ai_family, at.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at.ai_protocol);
  if (fd < 0) return -1;
  // Not SO_REUSEPORT: two daemons on one port would share its connections silently.
  bool ok = SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
            (at.ai_family != AF_INET6 || SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) &&
            bind(fd, at.ai_addr, at.ai_addrlen) == 0 && listen(fd, kBacklog) == 0;
  if (ok) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// A socket for every address that the host stands for, or why there is none.
absl::StatusOr<std::vector<int>> ListenOn(const std::string& address) {
  size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  int error = getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("its host can't be resolved (", gai_strerror(error), ")"));
  }
  std::vector<int> sockets;
  std::string why = "its host has no address";
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    int fd = ListenOn(*at);
    if (fd >= 0) {
      sockets.push_back(fd);
    } else if (errno == EADDRINUSE || sockets.empty()) {
      why = std::strerror(errno);
    }
  }
  freeaddrinfo(found);
  if (sockets.empty()) return absl::UnavailableError(why);
  return sockets;
}

// Up to the hard limit; the soft one is often too low for many connections. Gives what holds now.
int RaiseDescriptorLimit() {
  constexpr rlim_t kEnough = 1 << 20;
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  rlimit raised = limit;
  raised.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kEnough));
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  return static_cast<int>(std::min(limit.rlim_cur, kEnough));
}

}  // namespace

void ApplyLimits(grpc::ServerBuilder& builder, const ListenerPatience& patience) {
  using L = ListenerLimits;
  builder.SetMaxReceiveMessageSize(static_cast<int>(L::kReceiveBytesMax));
  // What is sent is bounded where it is made: pages, items, entries.
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, L::kMetadataBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, L::kStreamsMax);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, L::kHandshakeMillisMax);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             L::kPingMillisMin);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, L::kPingStrikesMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, patience.keepalive_millis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, patience.keepalive_timeout_millis);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, patience.idle_millis_max);
  grpc::ResourceQuota quota("kvd");
  quota.Resize(patience.memory_bytes);
  builder.SetResourceQuota(quota);
}

std::string WhyNotBound(const std::string& address) {
  auto sockets = ListenOn(address);
  if (!sockets.ok()) return std::string(sockets.status().message());
  for (int fd : *sockets) close(fd);
  return "for a reason that the system does not tell";
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(const std::string& address) {
  int limit = RaiseDescriptorLimit();
  auto sockets = ListenOn(address);
  if (!sockets.ok()) return sockets.status();
  int stop_event = eventfd(0, EFD_CLOEXEC);
  if (stop_event < 0) {
    for (int fd : *sockets) close(fd);
    return absl::UnavailableError(std::strerror(errno));
  }
  int connection_descriptor_max = limit - std::min(limit / 2, ListenerLimits::kDescriptorsForFiles);
  return std::unique_ptr<Listener>(
      new Listener(*std::move(sockets), stop_event, connection_descriptor_max));
}

Listener::Listener(std::vector<int> sockets, int stop_event, int connection_descriptor_max)
    : sockets_(std::move(sockets)),
      stop_event_(stop_event),
      connection_descriptor_max_(connection_descriptor_max) {}

Listener::~Listener() {
  Stop();
  for (int fd : sockets_) close(fd);
  close(stop_event_);
}

void Listener::AddTo(grpc::ServerBuilder& builder) {
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      grpc::InsecureServerCredentials());
}

void Listener::Start() {
  thread_ = std::thread([this] { AcceptLoop(); });
}

void Listener::Stop() {
  if (!thread_.joinable()) return;
  uint64_t one = 1;
  (void)!write(stop_event_, &one, sizeof one);
  thread_.join();
}

void Listener::AcceptLoop() {
  std::vector<pollfd> waiting = {{stop_event_, POLLIN, 0}};
  for (int fd : sockets_) waiting.push_back({fd, POLLIN, 0});
  bool able = true;
  while (true) {
    // What waits on the sockets can't be taken for now: only the order to stop is waited for.
    if (poll(waiting.data(), able ? waiting.size() : 1, able ? -1 : kRetryMillis) < 0) continue;
    if (waiting[0].revents != 0) return;
    able = true;
    for (int fd : sockets_) able = AcceptFrom(fd) && able;
  }
}

bool Listener::AcceptFrom(int socket) {
  while (true) {
    int fd = accept4(socket, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    bool full = fd >= connection_descriptor_max_;
    if (full && !full_) {
      spdlog::warn(
          "connections hold all descriptors that they may, {} in all; new ones are refused",
          connection_descriptor_max_);
    }
    full_ = full;
    if (full) {
      close(fd);
      continue;
    }
    SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.listener_fd = socket;
    connection.fd = fd;
    acceptor_->HandleNewConnection(&connection);
  }
}

}  // namespace kvd::server
