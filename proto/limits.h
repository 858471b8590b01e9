// Every limit that more than one module must agree on.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvd {

inline constexpr size_t kKeyBytesMax = 4 << 10;
inline constexpr size_t kValueBytesMax = 8 << 20;
inline constexpr size_t kRequestBytesMax = 16 << 20;
// What gRPC accepts in one message: a request at its limit plus its envelope.
inline constexpr size_t kMessageBytesMax = kRequestBytesMax + (1 << 20);
// What a store accepts in one message. A pipeline's message may carry a request at its limit, a
// Raft message an entry with the envelope that makes it one.
inline constexpr size_t kStoreReceiveBytesMax = kMessageBytesMax + (8 << 20);
inline constexpr size_t kBatchOperationsMax = 1024;
inline constexpr size_t kConditionsMax = 128;
inline constexpr size_t kLocateShardsMax = 1'000;
inline constexpr size_t kLocateStoresMax = 64;
inline constexpr size_t kMultiGetKeysMax = 4096;
inline constexpr size_t kDeleteRangeKeysMax = 4096;
inline constexpr size_t kDeleteRangeKeysDefault = 1024;
// Deleted keys that one entry of a range delete steps over.
inline constexpr size_t kDeleteRangeDeadKeysMax = 10'000;
inline constexpr size_t kScanPageBytesMin = 1 << 10;
inline constexpr size_t kScanPageBytesMax = 4 << 20;
inline constexpr size_t kScanPageBytesDefault = 256 << 10;
inline constexpr size_t kPipelineItemsMax = 4096;
inline constexpr size_t kPipelineInFlightMax = 16384;
inline constexpr uint64_t kTtlMillisMax = uint64_t{10} * 365 * 24 * 3600 * 1000;
inline constexpr uint64_t kStalenessMillisMax = uint64_t{24} * 3600 * 1000;
inline constexpr uint64_t kStalenessMillisDefault = 10'000;
// How far a token or read timestamp may lie above the group's clock.
inline constexpr uint64_t kTimestampAheadMillisMax = uint64_t{3600} * 1000;
inline constexpr size_t kAddressBytesMax = 256;

static_assert(kValueBytesMax + kKeyBytesMax < kRequestBytesMax);

}  // namespace kvd
