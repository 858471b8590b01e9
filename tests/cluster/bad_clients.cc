#include "tests/cluster/bad_clients.h"

#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "kvd/v1/kv.grpc.pb.h"
#include "raft/runtime/random.h"

namespace kvd {
namespace {

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kResetStream = 3,
  kSettings = 4,
  kContinuation = 9
};
constexpr uint8_t kEndHeaders = 4;

// RFC 9113, 4.1.
std::string Frame(FrameType type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string out;
  auto size = static_cast<uint32_t>(payload.size());
  for (int shift : {16, 8, 0}) out.push_back(static_cast<char>(size >> shift));
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(stream >> shift));
  return out + payload;
}

std::string Opening() {
  return std::string(kPreface, sizeof kPreface - 1) + Frame(kSettings, 0, 0, "");
}

// A field that is not entered in the table (RFC 7541, 6.2.2), short.
std::string Field(const std::string& name, const std::string& value) {
  std::string out(1, '\0');
  for (const std::string& part : {name, value}) {
    out.push_back(static_cast<char>(part.size()));
    out += part;
  }
  return out;
}

std::string RequestHeaders() {
  return Field(":method", "POST") + Field(":scheme", "http") + Field(":path", "/kvd.v1.Kv/Get") +
         Field(":authority", "kvd") + Field("content-type", "application/grpc") +
         Field("te", "trailers");
}

bool SendAll(int fd, const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

BadClients::~BadClients() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
  for (int fd : kept_) close(fd);
}

std::string BadClients::Address() const { return absl::StrCat(host_, ":", port_); }

int BadClients::Connect() {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  timeval second = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);  // for connect too
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port_));
  inet_pton(AF_INET, host_.c_str(), &address.sin_addr);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  ++connected_;
  return fd;
}

void BadClients::Flood(int connections) {
  for (int i = 0; i < connections; ++i) {
    int fd = Connect();
    if (fd >= 0) kept_.push_back(fd);
  }
}

void BadClients::Garbage(uint64_t seed) {
  Start([this, seed] {
    Random random(seed);
    while (!stop_) {
      int fd = Connect();
      if (fd < 0) continue;
      std::string bytes = random.Chance(0.5) ? Opening() : "";
      for (uint64_t i = random.Between(1, 5000); i > 0; --i)
        bytes.push_back(static_cast<char>(random.Below(256)));
      char answer[1024];
      if (SendAll(fd, bytes)) (void)recv(fd, answer, sizeof answer, 0);
      close(fd);
    }
  });
}

void BadClients::HalfOpen(int connections) {
  for (int i = 0; i < connections; ++i) {
    int fd = Connect();
    if (fd < 0) continue;
    kept_.push_back(fd);
    // Some end in the middle of the preface, some of the headers, some of the message.
    std::string bytes = Opening() + Frame(kHeaders, kEndHeaders, 1, RequestHeaders()) +
                        Frame(kData, 0, 1, std::string("\0\0\0\1\0abc", 8));
    SendAll(fd, bytes.substr(0, bytes.size() * static_cast<size_t>(i % 10 + 1) / 10));
  }
}

void BadClients::RapidReset() {
  Start([this] {
    while (!stop_) {
      int fd = Connect();
      bool open = fd >= 0 && SendAll(fd, Opening());
      for (uint32_t stream = 1; open && !stop_ && stream < 20'000; stream += 2) {
        open = SendAll(fd, Frame(kHeaders, kEndHeaders, stream, RequestHeaders()) +
                               Frame(kResetStream, 0, stream, std::string("\0\0\0\x8", 4)));
      }
      if (fd >= 0) close(fd);
    }
  });
}

void BadClients::EndlessHeaders() {
  Start([this] {
    while (!stop_) {
      int fd = Connect();
      bool open = fd >= 0 && SendAll(fd, Opening() + Frame(kHeaders, 0, 1, RequestHeaders()));
      std::string more;
      for (int i = 0; i < 100; ++i) more += Field(absl::StrCat("x-", i), std::string(100, 'a'));
      for (int i = 0; open && !stop_ && i < 1000; ++i)
        open = SendAll(fd, Frame(kContinuation, 0, 1, more));
      if (fd >= 0) close(fd);
    }
  });
}

void BadClients::GiantMessages() {
  Start([this] {
    v1::PutRequest request;
    request.set_key("giant");
    request.set_value(std::string(64 << 20, 'g'));
    for (int i = 0; i < 5 && !stop_; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetMaxSendMessageSize(-1);
      auto stub = v1::Kv::NewStub(
          grpc::CreateCustomChannel(Address(), grpc::InsecureChannelCredentials(), arguments));
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(3));
      v1::WriteResponse response;
      // Refused, or not answered: the load shows whether others noticed.
      (void)stub->Put(&context, request, &response);
    }
  });
}

void BadClients::SlowReaders(int scans) {
  Start([this, scans] {
    auto stub = v1::Kv::NewStub(grpc::CreateChannel(Address(), grpc::InsecureChannelCredentials()));
    std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
    std::vector<std::unique_ptr<grpc::ClientReader<v1::ScanResponse>>> readers;
    for (int i = 0; i < scans; ++i) {
      contexts.push_back(std::make_unique<grpc::ClientContext>());
      contexts.back()->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
      readers.push_back(stub->Scan(contexts.back().get(), v1::ScanRequest()));
    }
    while (!stop_) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    for (auto& context : contexts) context->TryCancel();
    for (auto& reader : readers) reader->Finish();
  });
}

}  // namespace kvd
