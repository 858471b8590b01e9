// What kvctl verify makes of the replicas' answers. What stores send is escaped. Pure functions.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "kvd/v1/cluster.pb.h"

namespace kvd::kvctl {

struct VerifiedReplica {
  uint64_t store = 0;
  uint64_t id = 0;
  std::string address;
  v1::GetVerificationResponse answer;  // the last one
  std::string silent;                  // why there was none, the last time
  // When it last got anywhere.
  std::chrono::steady_clock::time_point moved = std::chrono::steady_clock::now();
  bool settled = false;
  std::string verdict;  // "ok", or what is wrong

  bool Counts() const {
    return answer.state() == v1::GetVerificationResponse::DONE && answer.hashed();
  }
};

// Gives each its verdict on the state at `index`.
void Judge(std::vector<VerifiedReplica>* replicas, uint64_t index);
// Once they are judged: one line of JSON, or a table.
struct VerifiedState {
  uint64_t group = 0;
  uint64_t index = 0;
};
std::string VerifiedJson(const std::vector<VerifiedReplica>& replicas, const VerifiedState& state,
                         bool ok);
std::string VerifiedTable(const std::vector<VerifiedReplica>& replicas, const VerifiedState& state);

}  // namespace kvd::kvctl
