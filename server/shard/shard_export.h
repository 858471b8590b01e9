// What a group gives of the history of a shard that moves away: chunk by chunk, by key. Pure but
// for what it reads.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "proto/key_range.h"
#include "server/shard/recent_writes.h"
#include "server/storage/mvcc_reader.h"

namespace kvd::shard {

// Versions above `after` up to `upto`, from `key` after its version `key_after` on, about
// `bytes_max` of them.
struct ExportRequest {
  ShardId shard;
  OperationId operation;
  Timestamp after;
  Timestamp upto;  // 0: the group's clock here
  std::string key;
  Timestamp key_after;
  size_t bytes_max = 0;
};

struct ExportedRows {
  Timestamp upto;
  std::string rows;     // shard_codec.h
  Timestamp key_after;  // as asked; 0: the key begins anew, as it is not what it was any more
  // Where to go on; empty: nothing is left.
  std::string next_key;
  Timestamp next_after;
};

// `recent`: what was written since then, or null. All keys of `range` from the request's on.
absl::Status ExportRows(const storage::MvccReader& reader, const KeyRange& range,
                        const ExportRequest& request, const RecentWrites::Shard* recent,
                        ExportedRows* out);

}  // namespace kvd::shard
