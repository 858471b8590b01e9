#include "tests/sim/world_report.h"

#include "absl/strings/str_cat.h"

namespace kvd::sim {

namespace {

struct WorldCounter {
  const char* name;
  uint64_t WorldReport::*count;
};
constexpr WorldCounter kCounters[] = {
    {"events", &WorldReport::events},
    {"operations", &WorldReport::operations},
    {"unknown", &WorldReport::unknown},
    {"refused by full disks", &WorldReport::refused},
    {"crashes", &WorldReport::crashes},
    {"cuts", &WorldReport::cuts},
    {"pauses", &WorldReport::pauses},
    {"messages lost", &WorldReport::messages_lost},
    {"doubled", &WorldReport::messages_doubled},
    {"late", &WorldReport::messages_late},
    {"clock jumps", &WorldReport::clock_jumps},
    {"changed clock rates", &WorldReport::clock_rates},
    {"worlds with clocks adrift", &WorldReport::clocks_adrift},
    {"slow disks", &WorldReport::disks_slow},
    {"full disks", &WorldReport::disks_filled},
    {"engines stalled", &WorldReport::engines_stalled},
    {"states lost", &WorldReport::states_lost},
    {"states damaged", &WorldReport::states_damaged},
    {"states rebuilt", &WorldReport::states_rebuilt},
    {"logs damaged", &WorldReport::logs_damaged},
    {"verifications", &WorldReport::verifications},
    {"disks lost", &WorldReport::disks_lost},
    {"stores back at their address", &WorldReport::stores_back},
    {"stores elsewhere instead", &WorldReport::stores_elsewhere},
    {"stores given up", &WorldReport::stores_given_up},
    {"stores replaced", &WorldReport::stores_replaced},
    {"shards moved", &WorldReport::moved},
    {"split", &WorldReport::split},
    {"merged", &WorldReport::merged},
    {"operations cancelled", &WorldReport::cancelled},
    {"groups made", &WorldReport::groups_made},
    {"changes of replicas", &WorldReport::replica_changes},
    {"stores drained", &WorldReport::drained},
    {"scans", &WorldReport::scans},
    {"multi-gets", &WorldReport::multi_gets},
    {"reads after writes", &WorldReport::reads_after_writes},
    {"split by load", &WorldReport::load_splits},
    {"merged as they are small", &WorldReport::small_merges},
};

}  // namespace

std::string WorldReport::ToString() const {
  std::string text;
  for (const WorldCounter& c : kCounters)
    absl::StrAppend(&text, text.empty() ? "" : ", ", this->*c.count, " ", c.name);
  return text;
}

std::string WorldReport::Missing() const {
  std::string text;
  for (const WorldCounter& c : kCounters) {
    if (this->*c.count == 0) absl::StrAppend(&text, text.empty() ? "" : ", ", c.name);
  }
  return text;
}

WorldReport& WorldReport::operator+=(const WorldReport& other) {
  for (const WorldCounter& c : kCounters) this->*c.count += other.*c.count;
  return *this;
}

}  // namespace kvd::sim
