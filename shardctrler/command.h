// What the controller's log says, and what came of it. Values; pure codec.
//
//   command = format (1 B, now 1) kind (1 B) fields-of-kind
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "shardctrler/types.h"

namespace kvd::shardctrler {

enum class CommandKind : uint8_t {
  kBootstrap = 1,      // `cluster` begins, with one store
  kJoin = 2,           // `joining` become stores
  kUpdateStore = 3,    // `store` is as `joining` says now, its nonce aside
  kSetStoreState = 4,  // drain a store, take that back, or give it up
  kOpen = 5,           // begins `operation`: ids and times are filled in
  kAdvance = 6,        // operation `id` goes from `phase` to `next`
  kSet = 7,            // setting `name` becomes `value`
  kSetLabel = 8,       // label `name` of `store` becomes `text`
  kRecover = 9,        // the log goes on from one replica, `stores` are gone: entries may be lost
  kAdoptMembers = 10,  // a group's leader says that it has the replicas `operation.added`, and that
                       // `operation.removed` are none of its any more
};

struct JoiningStore {
  std::string address;
  uint64_t nonce = 0;
  uint32_t cores = 1;
  std::map<std::string, std::string> labels;
  StoreId lost;  // which store it was before it lost what it had promised; 0: none

  bool operator==(const JoiningStore&) const = default;
};

struct Command {
  CommandKind kind = CommandKind::kJoin;
  ClusterId cluster;                  // kBootstrap
  std::vector<JoiningStore> joining;  // kBootstrap and kUpdateStore: one; kJoin
  StoreId store;                      // kUpdateStore, kSetStoreState
  std::vector<StoreId> stores;        // kRecover
  StoreState state = StoreState::kServing;
  bool lost = false;    // kSetStoreState, to kGone: although it has replicas
  Operation operation;  // kOpen, kAdoptMembers
  OperationId id;       // kAdvance
  Phase phase = Phase::kRunning;
  Phase next = Phase::kRunning;
  std::string name;  // kSet, kSetLabel
  uint64_t value = 0;
  std::string text;  // kSetLabel; empty: it has no such label

  bool operator==(const Command&) const = default;
};

struct Result {
  std::vector<StoreId> stores;  // kBootstrap, kJoin: the ids, in order
  OperationId operation;        // kOpen
  ConfigNumber config;          // the newest after the command

  bool operator==(const Result&) const = default;
};

// Whether the limits hold; the error names field, limit and value seen.
absl::Status Validate(const Command& command);

std::string Encode(const Command& command);
// INVALID_ARGUMENT if malformed.
absl::StatusOr<Command> DecodeCommand(std::string_view bytes);

std::string Encode(const Result& result);
absl::StatusOr<Result> DecodeResult(std::string_view bytes);

inline constexpr size_t kJoiningMax = 1'000;
inline constexpr size_t kLabelsMax = 16;
inline constexpr size_t kLabelBytesMax = 63;  // of a name, or of a value
inline constexpr uint32_t kCoresMax = 4'096;
inline constexpr size_t kReasonBytesMax = 1'024;
inline constexpr size_t kStoresLostMax = 10'000;
inline constexpr size_t kReplicasMax = 16;  // that one operation adds or removes

}  // namespace kvd::shardctrler
