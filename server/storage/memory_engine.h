// An engine in memory with the durability of the real one: what is written survives a crash only
// once flushed or ingested. For simulation and tests.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "server/storage/engine.h"
#include "server/storage/gc_filter.h"

namespace kvd::storage {

class MemoryEngine : public Engine {
 public:
  using Map = std::map<std::string, std::string, std::less<>>;

  std::unique_ptr<Iterator> NewIterator(const IterateOptions& options) const override;
  absl::StatusOr<std::optional<std::string>> Get(std::string_view key) const override;
  std::unique_ptr<WriteBatch> NewBatch() override;
  bool WouldStall() override { return stalled_; }
  absl::Status Write(WriteBatch& batch) override;
  std::unique_ptr<View> Snapshot() override;
  absl::StatusOr<std::optional<std::string>> GetPersisted(std::string_view key) const override;
  absl::Status Flush() override;
  absl::StatusOr<std::unique_ptr<Staging>> NewStaging(std::string_view begin,
                                                      std::string_view end) override;
  absl::Status Ingest(std::unique_ptr<Staging> staging) override;
  uint64_t DiskBytes() const override;
  uint64_t ApproximateBytes(std::string_view begin, std::string_view end) const override;

  // Loses what was not durable.
  void Crash();
  // A compaction, as the real engine does in the background, of the pairs for which `takes_part` is
  // true: of some levels, or of all.
  void Collect(
      GcFilter filter, const std::function<bool()>& takes_part = [] { return true; });

  // What the disk under it does to a stored pair: it can't be read any more (kUnreadable: an error
  // of the device, or a block that does not match its checksum), or a byte of the value is another
  // one, with nothing but the version's own checksum to tell. Of a durable pair only; false if it
  // is none.
  enum class Rot { kUnreadable, kFlippedBit };
  bool Damage(std::string_view key, Rot rot);
  // The damaged pairs that are still stored.
  const std::map<std::string, Rot, std::less<>>& damaged() const { return damaged_; }

  // Collect does nothing from now on.
  void HoldCompactions() { held_ = true; }

  // Flushes don't keep up, or do again.
  void SetStalled(bool stalled) { stalled_ = stalled; }

  const Map& contents() const { return map_; }

 private:
  using Damaged = std::map<std::string, Rot, std::less<>>;
  friend class MemoryIterator;
  friend class MemoryView;

  void Set(const std::string& key, std::optional<std::string> value);
  void DeleteRange(std::string_view begin, std::string_view end);

  Map map_;
  // Overwriting a pair heals it, for good.
  Damaged damaged_;
  // A compaction met damage: nothing is written any more.
  bool failed_ = false;
  bool held_ = false;
  bool stalled_ = false;
  // What the durable state holds instead of map_, where they differ.
  std::map<std::string, std::optional<std::string>, std::less<>> undo_;
};

}  // namespace kvd::storage
