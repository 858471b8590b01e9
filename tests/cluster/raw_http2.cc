#include "tests/cluster/raw_http2.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace kvd {
namespace {

constexpr size_t kFrameHeaderBytes = 9;
constexpr uint8_t kEndStream = 1;
constexpr uint8_t kEndHeaders = 4;
constexpr uint8_t kAck = 1;

std::string BigEndian(uint64_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift));
  return out;
}

uint32_t ReadBigEndian(const std::string& bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// HPACK, a literal that is not indexed, with a new name (RFC 7541, 6.2.2); both below 127 bytes.
std::string Literal(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

std::string RequestHeaders(const std::string& path) {
  return Literal(":method", "POST") + Literal(":scheme", "http") + Literal(":path", path) +
         Literal(":authority", "localhost") + Literal("te", "trailers") +
         Literal("content-type", "application/grpc");
}

}  // namespace

RawConnection::RawConnection(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return;
  }
  fd_ = fd;
}

RawConnection::~RawConnection() {
  if (fd_ >= 0) close(fd_);
}

bool RawConnection::Send(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    ssize_t n = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

bool RawConnection::SendFrame(uint8_t type, uint8_t flags, uint32_t stream,
                              const std::string& payload) {
  return Send(BigEndian(payload.size(), 3) + static_cast<char>(type) + static_cast<char>(flags) +
              BigEndian(stream, 4) + payload);
}

bool RawConnection::Greet(uint32_t window) {
  constexpr uint16_t kInitialWindowSize = 4;
  return Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") &&
         SendFrame(kSettings, 0, 0, BigEndian(kInitialWindowSize, 2) + BigEndian(window, 4)) &&
         SendFrame(kSettings, kAck, 0, "");
}

std::string RawConnection::HeaderField(const std::string& name, const std::string& value) {
  return Literal(name, value);
}

bool RawConnection::OpenCall(uint32_t stream, const std::string& path) {
  return SendFrame(kHeaders, kEndHeaders, stream, RequestHeaders(path));
}

bool RawConnection::BeginHeaders(uint32_t stream, const std::string& path) {
  return SendFrame(kHeaders, 0, stream, RequestHeaders(path));
}

bool RawConnection::SendMessage(uint32_t stream, const std::string& message) {
  return SendFrame(kData, kEndStream, stream,
                   std::string(1, '\0') + BigEndian(message.size(), 4) + message);
}

bool RawConnection::Fill(size_t bytes, int seconds) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (received_.size() < bytes) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd readable = {fd_, POLLIN, 0};
    int wait = static_cast<int>(std::max<int64_t>(left.count(), 0));
    if (poll(&readable, 1, wait) <= 0) return false;
    char buffer[16 << 10];
    ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    received_.append(buffer, static_cast<size_t>(n));
  }
  return true;
}

std::optional<RawConnection::Frame> RawConnection::Receive(int seconds) {
  if (!Fill(kFrameHeaderBytes, seconds)) return std::nullopt;
  size_t length = ReadBigEndian(received_, 0, 3);
  if (!Fill(kFrameHeaderBytes + length, seconds)) return std::nullopt;
  Frame frame;
  frame.type = static_cast<uint8_t>(received_[3]);
  frame.flags = static_cast<uint8_t>(received_[4]);
  frame.stream = ReadBigEndian(received_, 5, 4) & 0x7fffffff;
  frame.payload = received_.substr(kFrameHeaderBytes, length);
  received_.erase(0, kFrameHeaderBytes + length);
  return frame;
}

bool RawConnection::AwaitClose(int seconds) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (true) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd readable = {fd_, POLLIN, 0};
    if (left.count() <= 0 || poll(&readable, 1, static_cast<int>(left.count())) <= 0) return false;
    char buffer[16 << 10];
    if (recv(fd_, buffer, sizeof buffer, 0) <= 0) return true;
  }
}

std::optional<uint32_t> RawConnection::AwaitGoAway(int seconds) {
  while (auto frame = Receive(seconds)) {
    // Last stream, error code, text.
    if (frame->type == kGoAway && frame->payload.size() >= 8)
      return ReadBigEndian(frame->payload, 4, 4);
  }
  return std::nullopt;
}

}  // namespace kvd
