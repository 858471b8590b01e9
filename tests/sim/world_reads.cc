// What scans and multi-gets of a simulated cluster gave: what was there at their timestamp, and
// nothing older than what had been acknowledged when they began (design, 6).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "tests/sim/world.h"

namespace kvd::sim {
namespace {

using Versions = std::map<std::string, std::map<Timestamp, std::optional<std::string>>>;
using Rows = std::vector<std::pair<std::string, std::string>>;

bool Asks(const WorldRead& read, const std::string& key) {
  if (read.keys.empty()) return read.range.Contains(key);
  return std::find(read.keys.begin(), read.keys.end(), key) != read.keys.end();
}

Rows Expected(const WorldRead& read, const Versions& written) {
  Rows expected;
  for (const auto& [key, versions] : written) {
    auto newest = versions.upper_bound(read.at);
    if (!Asks(read, key) || newest == versions.begin()) continue;
    const auto& value = std::prev(newest)->second;
    if (value) expected.emplace_back(key, *value);
  }
  if (read.reverse) std::reverse(expected.begin(), expected.end());
  return expected;
}

std::string Describe(const WorldRead& read) {
  if (!read.keys.empty())
    return absl::StrCat("a multi-get of ", read.keys.size(), " keys at ", read.at.value());
  return absl::StrCat("a scan at ", read.at.value(), " from ", Printable(read.range.start), " to ",
                      Printable(read.range.end), read.reverse ? " backwards" : "");
}

}  // namespace

void World::CheckReads() {
  Versions written;
  Timestamp forgotten;
  for (const auto& [start, shard] : state()->shards().shards()) {
    const shard::DataGroup& group = *Leader(shard.group)->node().groups().Find(shard.group)->group;
    auto range = state()->shards().RangeOf(state()->shards().Find(shard.id));
    auto row = [&](const std::string& key, Timestamp at, const storage::Version& version) {
      if (version.kind == storage::VersionKind::kOutcome) return true;
      auto& value = written[key][at];
      if (version.kind == storage::VersionKind::kValue) value = std::string(version.value);
      return true;
    };
    forgotten = std::max(forgotten, group.meta().floor);
    absl::Status status = group.reader().DeltaScan(range, Timestamp(), kTimestampMax, row);
    KVD_CHECK(status.ok());
  }
  std::vector<WorldRead> reads = scans_;
  std::vector<SimClient::Acknowledged> acknowledged;
  for (auto& client : clients_) {
    for (const SimClient::MultiGet& get : client->multi_gets()) {
      reads.push_back({{}, get.keys, false, 0, get.began, get.at, get.rows});
      ++report_.multi_gets;
    }
    acknowledged.insert(acknowledged.end(), client->acknowledged().begin(),
                        client->acknowledged().end());
  }
  for (const WorldRead& read : reads) {
    bool after_write = false;
    for (const SimClient::Acknowledged& write : acknowledged) {
      if (write.when > read.began || !Asks(read, write.key)) continue;
      after_write = true;
      KVD_CHECK_MSG(read.at >= write.version,
                    absl::StrCat("seed ", options_.seed, ": ", sim::Describe(read),
                                 " began after the write of ", Printable(write.key), " at ",
                                 write.version.value(), " was acknowledged; ", Describe()));
    }
    report_.reads_after_writes += after_write ? 1 : 0;
    // What was overwritten since then may be forgotten.
    if (read.at < forgotten) continue;
    Rows expected = Expected(read, written);
    KVD_CHECK_MSG(
        read.rows == expected,
        absl::StrCat("seed ", options_.seed, ": ", sim::Describe(read), " gave ", read.rows.size(),
                     " rows, ", expected.size(), " were there; ", Describe()));
  }
}

}  // namespace kvd::sim
