// Whether the replicas of a cluster hold the same: the one place where that is decided.
#pragma once

#include "absl/status/status.h"
#include "tests/cluster/fault_cluster.h"

namespace kvd {

// Compares what every member of the group holds once all have applied the same, within `seconds`:
// what lives, row by row, then all that is stored, as `kvctl verify` does. No load may run
// meanwhile. The error names the stores and the first key that differs, or why that can't be told.
absl::Status CompareReplicas(FaultCluster& cluster, int seconds = 40);

// Has the stores verify what they keep, again and again, until nothing of store n's is damaged.
// What is found in its state it mends by itself; the error tells what was still damaged after
// `seconds`.
absl::Status AwaitUndamaged(FaultCluster& cluster, int n, int seconds = 60);

}  // namespace kvd
