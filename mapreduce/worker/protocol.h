// What a store and a worker process say to each other over a socketpair, and what they share in
// memory. Frames: payload's length (4 B, big-endian) | type (1 B) | payload; the numbers and
// strings in it are those of proto/codec.h. The store asks, one request at a time; the worker
// answers with any number of kEmits, kCounts and kLog and then one frame that ends the answer. The
// grammar is in README.md. Used by both sides, so nothing here needs more than the C++ library.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/codec.h"
#include "proto/limits.h"

namespace kvd::mapreduce::wire {

// The first things in kHello and kWelcome; their places and the frame's header never change.
inline constexpr uint32_t kMagic = 0x6b766477;  // kvdw
inline constexpr uint64_t kVersion = 1;

// Where a worker finds its end of the socketpair and the shared slot.
inline constexpr int kSocketFd = 3;
inline constexpr int kSlotFd = 4;

inline constexpr size_t kHeaderBytes = 5;
// A frame is sent when it holds so much.
inline constexpr size_t kBatchBytes = 256 << 10;
inline constexpr size_t kFrameBytesMax = 10 << 20;
inline constexpr size_t kScriptBytesMax = 1 << 20;
inline constexpr size_t kParametersMax = 32;
inline constexpr size_t kNameBytesMax = 64;
inline constexpr size_t kParameterBytesMax = 4 << 10;
inline constexpr size_t kReasonBytesMax = 1024;
inline constexpr size_t kLogLineBytesMax = 1024;
inline constexpr size_t kCountersMax = 256;

// A full batch and one more record at its limits, each with its lengths.
static_assert(kBatchBytes + kKeyBytesMax + kValueBytesMax + 64 < kFrameBytesMax);
static_assert(kScriptBytesMax + kParametersMax * (kNameBytesMax + kParameterBytesMax + 16) + 1024 <
              kFrameBytesMax);

enum class FrameType : uint8_t {
  // From the store.
  kHello = 1,    // magic, version
  kLoad = 2,     // Load, below
  kRecords = 3,  // (key, value)*: to map; ends with kDone
  kGroups = 4,   // Group items, below; ends with kDone, or kMore if the last group goes on
  kKeys = 5,     // partitions, key*; ends with kPartitions
  kFinish = 6,   // no more input; ends with kDone
  // From the worker.
  kWelcome = 32,     // magic, version, roles: a bit each
  kLoaded = 33,      // empty
  kEmits = 34,       // (key, value)*
  kCounts = 35,      // (name, signed delta)*
  kLog = 36,         // text
  kDone = 37,        // empty
  kMore = 38,        // empty: the next values of the group are wanted
  kPartitions = 39,  // number*
  kFailure = 40,     // Failure, below
};

enum class Role : uint8_t { kMap = 0, kCombine = 1, kReduce = 2, kPartition = 3 };
inline constexpr size_t kRoles = 4;
// "map": the name of a script's function for it.
const char* NameOf(Role role);

// Items of kGroups: a group is kKey (unless it continues the one before), values, kEnd (unless its
// values go on in the next frame).
enum class GroupItem : uint8_t { kKey = 1, kValue = 2, kEnd = 3 };

using Parameters = std::vector<std::pair<std::string, std::string>>;

struct Load {
  Role role = Role::kMap;
  std::string job;
  std::string task;
  // Of a Lua script; empty for a native worker.
  std::string source;
  Parameters parameters;
  uint64_t memory_bytes = 0;

  void Encode(std::string* out) const;
  // False: the bytes are none, or a limit is exceeded.
  bool Decode(std::string_view in);
};

enum class FailureKind : uint8_t {
  kNone = 0,
  kCode = 1,     // it can't be run: a syntax error, a role that it does not have
  kRecord = 2,   // of user code, at a record
  kMemory = 3,   // the memory limit was reached
  kStopped = 4,  // it was asked to stop (SIGUSR1); the reason says where it was
};

struct Failure {
  FailureKind kind = FailureKind::kNone;
  // For people, at most kReasonBytesMax.
  std::string reason;

  bool failed() const { return kind != FailureKind::kNone; }
  void Encode(std::string* out) const;
  bool Decode(std::string_view in);
};

// Appends a frame's header with length 0; returns where the frame begins.
size_t BeginFrame(FrameType type, std::string* out);
// Sets the length of the frame that begins at `start` and ends with `out`.
void EndFrame(size_t start, std::string* out);

// Why a worker ended itself in a signal handler.
enum class Trap : uint32_t { kNone = 0, kSystemCall = 1, kClock = 2, kNoMemory = 3 };

// Shared memory of a store and one worker, one page, sealed in size. The store believes nothing
// that stands here: it is written by user code's process.
struct Slot {
  // The record or group that user code is at, by its place in the request, from 1; 0: at none.
  std::atomic<uint64_t> current;
  std::atomic<uint32_t> trap;
  // Number of the system call.
  std::atomic<uint64_t> trap_detail;
};
inline constexpr size_t kSlotBytes = 4096;
static_assert(sizeof(Slot) <= kSlotBytes);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace kvd::mapreduce::wire
