// All keys are one group's, which has a replica here.
#pragma once

#include "raft/host.h"
#include "server/service/router.h"
#include "tests/sim/sim_network.h"

namespace kvd::sim {

class LoneRouter : public service::Router {
 public:
  LoneRouter(const raft::Host* host, shard::DataGroup* group) : host_(host), group_(group) {}

  service::Route Find(std::string_view) override {
    StoreId leader = host_->LeaderStore(group_->group());
    return {group_->group(), group_, leader, leader ? AddressOf(leader.value()) : ""};
  }
  service::Route To(GroupId) override { return Find(""); }
  service::Route FindBefore(std::string_view end) override { return Find(end); }
  std::vector<service::LocatedShard> Locate(std::string_view, std::string_view, size_t) override {
    return {{KeyRange(), ShardId(1), Epoch(1), Find("")}};
  }
  std::vector<std::string> StoreAddresses(size_t) const override { return {}; }
  ErrorInfo WhoHas(std::string_view, bool, GroupId) override { return {}; }
  void Note(std::string_view, bool, const service::Route&, const ErrorInfo&) override {}
  void NoteLost(const service::Route&) override {}

 private:
  const raft::Host* const host_;
  shard::DataGroup* const group_;
};

}  // namespace kvd::sim
