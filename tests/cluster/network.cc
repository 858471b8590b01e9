#include "tests/cluster/network.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/check.h"
#include "tests/cluster/process.h"

namespace kvd {
namespace {

// Runs a command of the system, whose path and words are separated by single spaces. It must work.
void Do(const std::string& command) {
  std::vector<std::string> words = absl::StrSplit(command, ' ');
  Finished finished = RunProgram(words);
  KVD_CHECK_MSG(finished.exit_code == 0, absl::StrCat(command, ": ", finished.output));
}

std::string InNamespace(int n) {
  return absl::StrCat("/usr/bin/nsenter --net=/run/netns/s", n, " ");
}

constexpr int kClientsHost = 100;

constexpr char kRules[] =
    "table bridge kvd {\n"
    "  set cut { type ipv4_addr . ipv4_addr; }\n"
    "  chain forward {\n"
    "    type filter hook forward priority 0; policy accept;\n"
    "    ether type ip ip saddr . ip daddr @cut drop\n"
    "  }\n"
    "}\n";

}  // namespace

Network::Network(int stores, bool slow_links) : stores_(stores) {
  Do("/usr/sbin/ip link set lo up");
  Do("/usr/sbin/ip link add kvdbr type bridge");
  Do(absl::StrCat("/usr/sbin/ip addr add ", HostOf(kClientsHost), "/24 dev kvdbr"));
  Do("/usr/sbin/ip link set kvdbr up");
  for (int n = 1; n <= stores; ++n) {
    std::string port = absl::StrCat("v", n);
    Do(absl::StrCat("/usr/sbin/ip netns add s", n));
    if (slow_links) {
      slow_links_.push_back(
          std::make_unique<SlowLink>(port, absl::StrCat("/run/netns/s", n), "eth0", kClientsHost));
    } else {
      Do(absl::StrCat("/usr/sbin/ip link add ", port, " type veth peer name eth0 netns s", n));
    }
    Do(absl::StrCat("/usr/sbin/ip link set ", port, " master kvdbr up"));
    Do(absl::StrCat("/usr/sbin/ip -n s", n, " addr add ", HostOf(n), "/24 dev eth0"));
    Do(absl::StrCat("/usr/sbin/ip -n s", n, " link set eth0 up"));
    Do(absl::StrCat("/usr/sbin/ip -n s", n, " link set lo up"));
  }
  Finished rules = RunProgram({"/usr/sbin/nft", "-f", "-"}, 30, kRules);
  KVD_CHECK_MSG(rules.exit_code == 0, rules.output);
}

std::string Network::HostOf(int n) { return absl::StrCat("10.201.0.", n); }

std::vector<std::string> Network::In(int n) {
  return {"/usr/bin/nsenter", absl::StrCat("--net=/run/netns/s", n)};
}

void Network::Cut(int from, int to) {
  Do(absl::StrCat("/usr/sbin/nft add element bridge kvd cut { ", HostOf(from), " . ", HostOf(to),
                  " }"));
}

void Network::Heal(int from, int to) {
  Do(absl::StrCat("/usr/sbin/nft delete element bridge kvd cut { ", HostOf(from), " . ", HostOf(to),
                  " }"));
}

void Network::CutBoth(int a, int b) {
  Cut(a, b);
  Cut(b, a);
}

void Network::Isolate(int n) {
  for (int other = 1; other <= stores_; ++other) {
    if (other != n) CutBoth(n, other);
  }
}

void Network::HealAll() {
  Do("/usr/sbin/nft flush set bridge kvd cut");
  for (int n = 1; n <= stores_; ++n) {
    Do(InNamespace(n) + "/usr/sbin/iptables -F");
    Do(InNamespace(n) + "/usr/sbin/iptables -t mangle -F");
    // Fails if there is none.
    std::vector<std::string> words =
        absl::StrSplit(InNamespace(n) + "/usr/sbin/tc qdisc del dev eth0 root", ' ');
    (void)RunProgram(words);
    if (slow_link(n) != nullptr) slow_link(n)->Set(LinkFaults());
  }
}

void Network::Lose(int n, double share) {
  Do(absl::StrCat(InNamespace(n),
                  "/usr/sbin/iptables -A INPUT -m statistic --mode random --probability ", share,
                  " -j DROP"));
}

void Network::Reset(int n) {
  Do(InNamespace(n) + "/usr/sbin/iptables -A INPUT -p tcp -j REJECT --reject-with tcp-reset");
}

void Network::Duplicate(int n) {
  for (int other = 1; other <= stores_; ++other) {
    if (other == n) continue;
    Do(absl::StrCat(InNamespace(n), "/usr/sbin/iptables -t mangle -A POSTROUTING -d ",
                    HostOf(other), " -j TEE --gateway ", HostOf(other)));
  }
}

void Network::LimitBandwidth(int n, int kbit_per_s) {
  Do(absl::StrCat(InNamespace(n), "/usr/sbin/tc qdisc add dev eth0 root tbf rate ", kbit_per_s,
                  "kbit burst 8k latency 400ms"));
}

}  // namespace kvd
