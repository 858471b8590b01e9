// What the end of a RocksDB write-ahead log holds: told from the file itself, since no recovery
// mode of RocksDB tells a torn tail, which a crash leaves, from damage to what was acknowledged.
//
//   log    = blocks of 32 KiB; a record never begins in the last 6 bytes of one
//   record = masked crc32c of type and payload (4 B) | length (2 B) | type (1 B) | payload
//   type   = 1 whole batch | 2 first | 3 middle | 4 last part of one
//   batch  = first sequence number (8 B) | operations (4 B) | ...
//
// All numbers little-endian. Source: RocksDB, "Write Ahead Log File Format".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace kvd::raft {

struct WalTail {
  // Of the last whole batch; none if there is no whole batch.
  std::optional<uint64_t> last_sequence;
  uint64_t whole_bytes = 0;    // up to the end of the last whole batch
  uint64_t garbage_bytes = 0;  // behind it, up to the file's end; padding of a block is none
};

// Pure.
WalTail FindWalTail(std::string_view file);

// Cuts what follows the last whole batch off the logs in `directory`. Zeroes are room that was
// allocated ahead, of any log; something else at the end of the newest is a torn write, kept in the
// file TORN. Returns what was torn, for the operator; empty if nothing. DATA_LOSS, and nothing is
// cut, if the batch with the sequence number `synced` is not whole: that was acknowledged. Where it
// is not known what was, a torn write can't be told from damage.
absl::StatusOr<std::string> CutTornTail(const std::string& directory,
                                        std::optional<uint64_t> synced);

}  // namespace kvd::raft
