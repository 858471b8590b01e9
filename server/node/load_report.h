// What a store tells the controller's leader of its load, by differences, and how that leader takes
// it in. Lives on the store's loop.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "kvd/internal/v1/store.pb.h"
#include "server/node/groups.h"
#include "shardctrler/load.h"

namespace kvd::node {

// Bytes of the disk that holds the data; 0: not known.
struct DiskSpace {
  uint64_t free = 0;
  uint64_t size = 0;
  bool low = false;  // no data is taken in
};

class LoadReport {
 public:
  // Both outlive it.
  LoadReport(const raft::Host* host, Groups* groups) : host_(host), groups_(groups) {}

  // Another leader of the controller's knows nothing.
  void Reset();
  void SetLimits(const internal::v1::ReportResponse::Limits& limits);
  // Adds what is to be told, one at a time: until Arrived or Lost.
  void Fill(const DiskSpace& disk, internal::v1::ReportRequest* report);
  void Arrived();
  void Lost();
  // Whether there was more to tell than one report takes.
  bool more() const { return more_; }
  // Who leads here is told anew: it was asked to lead no more.
  void TellLeads() { told_leads_.reset(); }

 private:
  struct Told {
    shardctrler::ShardReport report;
    bool large = false;  // above the limits
    bool busy = false;
  };
  // Groups that came to be led here: meanwhile others told of their shards.
  void ForgetNewlyLed();
  void FillGroup(const LocalGroup& local, internal::v1::ReportRequest* report);
  // Whether what is known differs from what was told by so much that it should be.
  static bool Differs(const Told& told, const Told& now);
  Told Look(const shard::DataGroup& group, const shard::ShardDescriptor& shard) const;
  void Suggest(const shard::DataGroup& group, const shard::ShardDescriptor& shard, Told* now);

  const raft::Host* const host_;
  Groups* const groups_;
  uint64_t split_bytes_ = ~uint64_t{0};
  double split_load_ = 0;
  std::map<ShardId, Told> told_;
  std::map<ShardId, Told> telling_;
  std::set<GroupId> led_;  // when last filled
  std::optional<std::set<GroupId>> told_leads_;
  std::set<GroupId> telling_leads_;
  bool more_ = false;
  int leads_age_ = 0;     // reports since it was told whom this store leads
  int middles_left_ = 0;  // that this report may look for
  uint64_t syncs_ = 0;    // of the host's, when last reported
  Duration sync_time_ = Duration::zero();
};

// At the controller's leader.
void TakeLoad(const internal::v1::ReportRequest& report, shardctrler::ClusterLoad* load);

}  // namespace kvd::node
