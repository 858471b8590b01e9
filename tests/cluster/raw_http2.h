// A client that speaks HTTP/2 by hand, as badly as a test wants it to. Blocks; every wait has a
// limit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace kvd {

class RawConnection {
 public:
  enum FrameType : uint8_t {
    kData = 0,
    kHeaders = 1,
    kReset = 3,
    kSettings = 4,
    kPing = 6,
    kGoAway = 7,
    kContinuation = 9
  };
  struct Frame {
    uint8_t type = 0;
    uint8_t flags = 0;
    uint32_t stream = 0;
    std::string payload;
  };
  // Error codes of GOAWAY and RST_STREAM (RFC 9113, 7).
  static constexpr uint32_t kEnhanceYourCalm = 11;

  // To 127.0.0.1. connected() says whether it came about.
  explicit RawConnection(int port);
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  bool connected() const { return fd_ >= 0; }
  // False once the other end has closed.
  bool Send(const std::string& bytes);
  bool SendFrame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload);
  // The preface, then settings with `window` bytes for each stream, and the server's acknowledged.
  bool Greet(uint32_t window = 65535);
  // Headers of a gRPC call; stream ids are odd and rise.
  bool OpenCall(uint32_t stream, const std::string& path);
  // The same without their end: continuations of it have to follow.
  bool BeginHeaders(uint32_t stream, const std::string& path);
  // One field, to go on with; both below 127 bytes.
  static std::string HeaderField(const std::string& name, const std::string& value);
  // One message of a call, which it ends.
  bool SendMessage(uint32_t stream, const std::string& message);

  // The next frame; none if the connection ended or nothing came for `seconds`.
  std::optional<Frame> Receive(int seconds = 30);
  // Whether the other end closes within `seconds`; what comes meanwhile is dropped.
  bool AwaitClose(int seconds);
  // The error code of the next GOAWAY; none if there is none.
  std::optional<uint32_t> AwaitGoAway(int seconds = 30);

 private:
  bool Fill(size_t bytes, int seconds);

  int fd_ = -1;
  std::string received_;
};

}  // namespace kvd
