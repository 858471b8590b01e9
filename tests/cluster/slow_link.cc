#include "tests/cluster/slow_link.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "proto/check.h"

namespace kvd {
namespace {

constexpr size_t kFrameBytesMax = 2048;       // the devices' MTU is 1,500
constexpr size_t kWaitingFramesMax = 20'000;  // beyond, frames are dropped as by a full switch
constexpr size_t kHeaderBytes = 14;           // Ethernet's, left as it is
// Of an IPv4 packet: its protocol, and the last bytes of the addresses of sender and receiver.
constexpr size_t kProtocolAt = kHeaderBytes + 9;
constexpr size_t kSenderAt = kHeaderBytes + 15;
constexpr size_t kReceiverAt = kHeaderBytes + 19;

int OpenTap(const std::string& name) {
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  KVD_CHECK_MSG(fd >= 0, "/dev/net/tun can't be opened");
  ifreq request = {};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  KVD_CHECK_MSG(ioctl(fd, TUNSETIFF, &request) == 0, "no TAP device " + name);
  return fd;
}

// Only IPv4 is checksummed: a damaged ARP answer would be believed.
bool IsIpv4(const std::vector<char>& frame) {
  return frame.size() > kReceiverAt && frame[12] == 0x08 && frame[13] == 0x00;
}

// Where what TCP or UDP carries begins; the frame's end if it is neither.
size_t PayloadAt(const std::vector<char>& frame) {
  auto byte = [&](size_t at) { return at < frame.size() ? static_cast<uint8_t>(frame[at]) : 0u; };
  size_t inner = kHeaderBytes + size_t{byte(kHeaderBytes) & 15} * 4;
  size_t at = frame.size();
  if (byte(kProtocolAt) == IPPROTO_TCP) at = inner + size_t{byte(inner + 12) >> 4} * 4;
  if (byte(kProtocolAt) == IPPROTO_UDP) at = inner + 8;
  return std::min(at, frame.size());
}

void Flip(char& byte, uint64_t bit) { byte = static_cast<char>(byte ^ (1 << bit)); }

// Two bits of equal weight in the sum of 16-bit words, one set and one not.
void FlipUnseen(Random& random, std::vector<char>& frame) {
  size_t begin = PayloadAt(frame), size = frame.size() - begin;
  for (int tries = 0; size > 2 && tries < 100; ++tries) {
    char& one = frame[begin + random.Below(size)];
    char& other = frame[begin + random.Below(size)];
    uint64_t bit = random.Below(8);
    if ((&one - &other) % 2 != 0 || ((one ^ other) >> bit & 1) == 0) continue;
    Flip(one, bit);
    Flip(other, bit);
    return;
  }
}

// A device belongs to the namespace of the thread that makes it.
int OpenTapIn(const std::string& namespace_path, const std::string& name) {
  int fd = -1;
  std::thread([&] {
    int ns = open(namespace_path.c_str(), O_RDONLY | O_CLOEXEC);
    KVD_CHECK_MSG(ns >= 0 && setns(ns, CLONE_NEWNET) == 0, namespace_path + " can't be entered");
    close(ns);
    fd = OpenTap(name);
  }).join();
  return fd;
}

}  // namespace

SlowLink::SlowLink(const std::string& near, const std::string& far_namespace,
                   const std::string& far, int no_store)
    : no_store_(static_cast<char>(no_store)),
      near_(OpenTap(near)),
      far_(OpenTapIn(far_namespace, far)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      thread_([this] { Run(); }) {}

SlowLink::~SlowLink() {
  uint64_t one = 1;
  KVD_CHECK(write(stop_, &one, sizeof one) == sizeof one);
  thread_.join();
  for (int fd : {near_, far_, stop_}) close(fd);
}

void SlowLink::Set(const LinkFaults& faults) {
  std::lock_guard<std::mutex> lock(mutex_);
  faults_ = faults;
}

void SlowLink::Run() {
  pollfd polled[] = {{near_, POLLIN, 0}, {far_, POLLIN, 0}, {stop_, POLLIN, 0}};
  while (true) {
    timespec wait = {1, 0};
    if (!waiting_.empty()) {
      auto left = std::max<std::chrono::nanoseconds>(
          waiting_.top().due - std::chrono::steady_clock::now(), std::chrono::nanoseconds(0));
      if (left < std::chrono::seconds(1)) wait = {0, left.count()};
    }
    ppoll(polled, 3, &wait, nullptr);
    if (polled[2].revents != 0) return;
    Take(near_, far_);
    Take(far_, near_);
    SendDue();
  }
}

void SlowLink::Take(int from, int to) {
  LinkFaults faults;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    faults = faults_;
  }
  auto now = std::chrono::steady_clock::now();
  char buffer[kFrameBytesMax];
  ssize_t size;
  while ((size = read(from, buffer, sizeof buffer)) > 0) {
    int copies = random_.Chance(faults.duplicate) ? 2 : 1;
    for (int i = 0; i < copies && waiting_.size() < kWaitingFramesMax; ++i) {
      Frame frame{now, next_number_++, to, std::vector<char>(buffer, buffer + size)};
      auto span = static_cast<uint64_t>((faults.delay_max - faults.delay_min).count());
      frame.due += faults.delay_min + std::chrono::microseconds(random_.Below(span + 1));
      if (IsIpv4(frame.bytes)) Damage(faults, frame.bytes);
      waiting_.push(std::move(frame));
    }
  }
}

void SlowLink::Damage(const LinkFaults& faults, std::vector<char>& frame) {
  bool of_stores = frame[kSenderAt] != no_store_ && frame[kReceiverAt] != no_store_;
  if (of_stores && random_.Chance(faults.corrupt_unseen)) FlipUnseen(random_, frame);
  if (!random_.Chance(faults.corrupt)) return;
  Flip(frame[kHeaderBytes + random_.Below(frame.size() - kHeaderBytes)], random_.Below(8));
}

void SlowLink::SendDue() {
  auto now = std::chrono::steady_clock::now();
  while (!waiting_.empty() && waiting_.top().due <= now) {
    const Frame& frame = waiting_.top();
    // A device whose other end does not listen yet refuses frames: they are lost, as on a wire.
    if (write(frame.to, frame.bytes.data(), frame.bytes.size()) > 0) ++carried_;
    waiting_.pop();
  }
}

}  // namespace kvd
