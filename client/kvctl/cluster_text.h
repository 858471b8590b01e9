// What kvctl shows of a cluster's answers, as a table or as JSON. What stores send is shown as it
// is or escaped, never trusted: none of it reaches a terminal or breaks the JSON. Pure functions.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "kvd/v1/cluster.pb.h"

namespace kvd::kvctl {

// By store; one that did not answer has an error instead.
using StoreAnswers = std::map<uint64_t, absl::StatusOr<v1::StatusResponse>>;

// Of every store of `members`. Each answer that is there holds a group.
std::string StatusText(const v1::MembersResponse& members, const StoreAnswers& answers, bool json);
std::string GroupText(const v1::GroupStatus& group, bool json);

}  // namespace kvd::kvctl
