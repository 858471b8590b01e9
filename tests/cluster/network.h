// The network of a run: each store in a network namespace of its own, all on one bridge, the
// clients beside the bridge. Links are cut per pair and direction. Only inside a sandbox.
//
//   clients 10.201.0.100 -- bridge kvdbr -- v<n> === eth0 of namespace s<n>: 10.201.0.<n>
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/cluster/slow_link.h"

namespace kvd {

class Network {
 public:
  // `slow_links`: frames of each store pass through a program that can delay, reorder, repeat and
  // damage them, instead of through the kernel alone.
  explicit Network(int stores, bool slow_links = false);

  // Host part of store n's (from 1) address.
  static std::string HostOf(int n);
  // What to put before a program's words so that it runs where store n does.
  static std::vector<std::string> In(int n);

  // Packets from one store to the other are dropped; those of clients pass.
  void Cut(int from, int to);
  void Heal(int from, int to);
  void CutBoth(int a, int b);
  // Cuts n off the other stores, both ways.
  void Isolate(int n);
  // Links, filters and shapers are as at the start.
  void HealAll();

  // Of the traffic that comes in at store n: the share that is lost.
  void Lose(int n, double share);
  // Connections of store n are answered with resets; once healed they can be made again.
  void Reset(int n);
  // Packets from store n to other stores are sent twice.
  void Duplicate(int n);
  // Store n sends at most so much.
  void LimitBandwidth(int n, int kbit_per_s);
  // Null without slow_links.
  SlowLink* slow_link(int n) {
    return slow_links_.empty() ? nullptr : slow_links_[static_cast<size_t>(n - 1)].get();
  }

 private:
  const int stores_;
  std::vector<std::unique_ptr<SlowLink>> slow_links_;
};

}  // namespace kvd
