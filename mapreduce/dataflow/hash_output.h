// Map output with an aggregator: one state a key, in a table that grows until the memory is full.
#pragma once

#include <string>
#include <vector>

#include "mapreduce/dataflow/map_output.h"
#include "mapreduce/dataflow/memory.h"
#include "mapreduce/dataflow/sort.h"

namespace kvd::mapreduce {

// Finding a key's entry waits for memory twice, so small keys with numbers wait in a queue for each
// other: while one is asked for, the next ones are on their way. Entries lie one behind the other
// in a region, as they came; the slots of an open-addressing table point to them. Both and what
// states hold beside them are within memory_bytes.
class HashOutput final : public MapOutput, private KeyTable {
 public:
  // Requires: Validate(options) is OK, and there is an aggregator.
  explicit HashOutput(MapOutputOptions options);
  ~HashOutput() override;

  absl::Status Emit(std::string_view key, std::string_view value) override;
  absl::Status EmitNumber(std::string_view key, int64_t value) override;

 private:
  struct Entry {
    AggregateState state;
    uint32_t hash;
    uint32_t key_bytes;

    char* key() { return reinterpret_cast<char*>(this + 1); }
    std::string_view key_view() const {
      return {reinterpret_cast<const char*>(this + 1), key_bytes};
    }
    size_t size() const { return EntryBytes(key_bytes); }
  };
  static size_t EntryBytes(size_t key_bytes) { return sizeof(Entry) + (key_bytes + 7) / 8 * 8; }

  // A pair whose value became a number, on its way to its entry.
  struct Queued {
    Decimal number;
    uint32_t hash;
    uint32_t key_bytes;
    char key[32];
  };
  static constexpr size_t kQueue = 32;

  absl::Status Flush() override;
  absl::Status WriteMemory(BlockFileWriter* out) override;
  Fold MergeFold() override;
  std::string_view KeyAt(uint32_t offset) const override { return At(offset)->key_view(); }

  // In units of 8 B.
  Entry* At(uint32_t offset) const {
    return reinterpret_cast<Entry*>(entries_.data() + size_t{offset} * 8);
  }
  // Reads the slots that keys with this hash may be in.
  Entry* Lookup(std::string_view key, uint32_t hash);
  absl::StatusOr<Entry*> Find(std::string_view key, uint32_t hash);
  absl::StatusOr<Entry*> Insert(std::string_view key, uint32_t hash);
  void Grow();
  void NoteSlot(uint32_t hash, uint32_t offset);
  absl::Status AddNumber(std::string_view key, Decimal number);
  absl::Status AddTo(Entry* entry, std::string_view value);
  void Clear();

  const Aggregator aggregator_;
  const uint64_t memory_max_;
  Region entries_;
  size_t used_ = 0;
  uint32_t count_ = 0;
  // hash << 32 | offset + 1; 0: free. As many as a power of two.
  Region slots_;
  uint32_t mask_ = 0;
  std::unique_ptr<Queued[]> queue_;
  size_t queued_ = 0;
  // Of states beside their entries.
  uint64_t object_bytes_ = 0;
};

}  // namespace kvd::mapreduce
