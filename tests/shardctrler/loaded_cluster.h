// A cluster whose keys are asked and weigh as a test says, until it comes to rest.
#pragma once

#include <functional>
#include <vector>

#include "absl/strings/str_format.h"
#include "shardctrler/sizing.h"
#include "tests/shardctrler/obedient_cluster.h"

namespace kvd::shardctrler {

constexpr uint64_t kMiB = 1 << 20;
constexpr int kKeys = 10'000;

inline std::string Key(int i) { return absl::StrFormat("k%05d", i); }

class LoadedCluster : public ObedientCluster {
 protected:
  LoadedCluster() { view_.load = &load_; }

  // Of each key.
  struct KeyUse {
    double bytes = 0;
    double load = 0;
  };

  void Grow(uint64_t stores) {
    for (uint64_t n = 2; n <= stores; ++n) Join({StoreNumber(n)});
    Settle();
  }

  // The first key of [from, to) up to which half of what `amount` says lies.
  template <class Amount>
  std::string Middle(int from, int to, Amount amount) const {
    double all = 0, before = 0;
    for (int i = from; i < to; ++i) all += amount(keys_[static_cast<size_t>(i)]);
    for (int i = from; i < to; ++i) {
      if (before >= all / 2) return i > from ? Key(i) : "";
      before += amount(keys_[static_cast<size_t>(i)]);
    }
    return "";
  }

  // As leaders would.
  void Tell() {
    const auto& shards = state().shards().shards();
    SizeLimits limits = LimitsFor(state(), load_);
    for (auto it = shards.begin(); it != shards.end(); ++it) {
      // Behind the last key there is nothing.
      int from = it->first.empty() ? 0 : std::min(kKeys, std::stoi(it->first.substr(1)));
      auto next = std::next(it);
      int to = next == shards.end() ? kKeys : std::min(kKeys, std::stoi(next->first.substr(1)));
      ShardReport report;
      report.epoch = it->second.epoch;
      report.group = it->second.group;
      double bytes = 0, load = 0;
      for (int i = from; i < to; ++i) {
        bytes += keys_[static_cast<size_t>(i)].bytes;
        load += keys_[static_cast<size_t>(i)].load * noise_();
      }
      report.bytes = static_cast<uint64_t>(bytes);
      report.reads = load;
      if (limits.load > 0 && load > limits.load) {
        report.split_key = Middle(from, to, [](const KeyUse& k) { return k.load; });
        report.by_load = true;
      } else if (report.bytes > limits.bytes) {
        report.split_key = Middle(from, to, [](const KeyUse& k) { return k.bytes; });
      }
      load_.Note(it->second.id, report);
    }
  }

  // Goes on until nothing is left to do; how many operations that took.
  size_t Rest() {
    size_t operations = 0;
    for (int i = 0; i < 2'000; ++i) {
      Tell();
      size_t opened = Open();
      operations += opened;
      if (opened == 0 && state().open_operations() == 0) return operations;
      Step();
      load_.Follow(state());
    }
    ADD_FAILURE() << "it never comes to rest";
    return operations;
  }

  // What the groups have, the most beside the least.
  template <class Amount>
  double Spread(Amount amount) const {
    double least = 1e300, most = 0;
    for (const auto& [id, group] : state().groups()) {
      if (id == kControllerGroup) continue;
      double here = amount(load_.Of(id));
      least = std::min(least, here);
      most = std::max(most, here);
    }
    return most / least;
  }

  ClusterLoad load_;
  std::vector<KeyUse> keys_ = std::vector<KeyUse>(kKeys);
  std::function<double()> noise_ = [] { return 1.0; };
};

}  // namespace kvd::shardctrler
