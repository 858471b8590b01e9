// The plan of a recovery as text and as JSON.
#include <ctime>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/kvctl/controller_text.h"
#include "client/kvctl/format.h"
#include "client/kvctl/recover_plan.h"
#include "proto/timestamp.h"

namespace kvd::kvctl {
namespace {

std::string Ids(const std::vector<uint64_t>& ids) { return absl::StrJoin(ids, ", "); }

// When a replica's last entry was made, by the group's clock.
std::string TimeText(Timestamp at) {
  if (!at) return "-";
  auto millis = MillisOf(at);
  auto seconds = static_cast<time_t>(millis / 1000);
  tm utc = {};
  gmtime_r(&seconds, &utc);
  char text[32];
  size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  return absl::StrCat(absl::string_view(text, length), ".",
                      absl::Dec(millis % 1000, absl::kZeroPad3), "Z");
}

const char* StateName(v1::ShardDescriptor::State state) {
  switch (state) {
    case v1::ShardDescriptor::IMPORTING: return "arriving, not served: a move was under way";
    case v1::ShardDescriptor::FROZEN: return "frozen: a move was under way";
    default: return "served";
  }
}

std::string ShardsText(const v1::GroupStatus& status) {
  std::string out;
  for (const v1::ShardDescriptor& shard : status.shards()) {
    absl::StrAppend(&out, "    shard ", shard.shard_id(), " [", Escape(shard.range().start()), ", ",
                    shard.range().end().empty() ? "end" : Escape(shard.range().end()), ") epoch ",
                    shard.epoch(), ", ", StateName(shard.state()), "\n");
  }
  return out;
}

std::string LossText(const LostGroup& lost) {
  const v1::GroupStatus& best = lost.survivors[0].status;
  std::string out;
  if (lost.may_lose) {
    absl::StrAppend(&out, "  may be lost: entries after index ", best.last_index(),
                    ", acknowledged by stores ", Ids(lost.gone_stores), " (replicas ",
                    Ids(lost.gone_replicas),
                    ") alone; whether there were any can't be told. With them goes what rests on\n"
                    "    them: writes that clients were told are done, reads that saw them, steps "
                    "of shard moves and changes of replicas\n");
  } else {
    absl::StrAppend(&out,
                    "  nothing that was acknowledged is lost: each majority that there was "
                    "has a member that answers\n");
  }
  if (best.last_index() > best.commit_index()) {
    absl::StrAppend(&out, "  kept as well: entries ", best.commit_index() + 1, " to ",
                    best.last_index(),
                    ", of which it is not known whether they were "
                    "acknowledged\n");
  }
  return out;
}

std::string GroupPlanText(const LostGroup& lost) {
  std::string out = absl::StrCat("group ", lost.group, lost.group == 1 ? " (the controller)" : "",
                                 " has no majority\n");
  if (lost.survivors.empty())
    return absl::StrCat(out,
                        "  no store that answers has a replica of it: all it had is lost, "
                        "unless one of its stores comes back\n");
  std::vector<std::vector<std::string>> rows = {{"STORE", "REPLICA", "STATE", "TERM", "LAST",
                                                 "COMMIT", "APPLIED", "LAST TIME", "IN THE WAY"}};
  for (const Survivor& s : lost.survivors) {
    const v1::GroupStatus& g = s.status;
    bool best = &s == &lost.survivors.front();
    rows.push_back({std::to_string(s.store), std::to_string(g.replica_id()), best ? "best" : "up",
                    std::to_string(g.term()), PositionText(g), std::to_string(g.commit_index()),
                    std::to_string(g.applied_index()), TimeText(Timestamp(g.applied_timestamp())),
                    g.recovery_refusal().empty() ? "-" : Escape(g.recovery_refusal())});
  }
  for (const auto& r : lost.survivors[0].status.replicas()) {
    for (uint64_t gone : lost.gone_replicas) {
      if (r.replica_id() == gone)
        rows.push_back({std::to_string(r.store_id()), std::to_string(gone), "gone"});
    }
  }
  return absl::StrCat(out, Table(rows), ShardsText(lost.survivors[0].status), LossText(lost));
}

std::string WholeText(const RecoveryPlan& plan) {
  std::vector<uint64_t> whole;
  for (const auto& [group, leader] : plan.whole) whole.push_back(group);
  if (whole.empty()) return "";
  return absl::StrCat(whole.size(),
                      whole.size() == 1 ? " group is whole: " : " groups are whole: ", Ids(whole),
                      "\n");
}

std::string PlanJson(const RecoveryPlan& plan, uint64_t only) {
  std::vector<std::string> unreachable, whole, lost, commands;
  for (const auto& [store, why] : plan.unreachable)
    unreachable.push_back(
        absl::StrCat("{\"store_id\": ", store, ", \"error\": ", JsonText(why), "}"));
  for (const auto& [group, leader] : plan.whole) whole.push_back(std::to_string(group));
  for (const LostGroup& l : plan.lost) {
    if (only != 0 && l.group != only) continue;
    std::vector<std::string> survivors;
    for (const Survivor& s : l.survivors) {
      survivors.push_back(
          absl::StrCat("{\"store_id\": ", s.store, ", \"status\": ", ToJson(s.status), "}"));
    }
    lost.push_back(absl::StrCat("{\"group_id\": ", l.group, ", \"gone_stores\": [",
                                Ids(l.gone_stores), "], \"gone_replicas\": [", Ids(l.gone_replicas),
                                "], \"may_lose\": ", l.may_lose ? "true" : "false",
                                ", \"survivors\": [", absl::StrJoin(survivors, ", "), "]}"));
  }
  for (const std::string& command : plan.commands) commands.push_back(JsonText(command));
  return absl::StrCat("{\"cluster_id\": \"", plan.cluster, "\", \"unreachable\": [",
                      absl::StrJoin(unreachable, ", "), "], \"whole\": [",
                      absl::StrJoin(whole, ", "), "], \"lost\": [", absl::StrJoin(lost, ", "),
                      "], \"commands\": [", absl::StrJoin(commands, ", "), "]}\n");
}

}  // namespace

std::string PlanText(const RecoveryPlan& plan, uint64_t group, bool json) {
  if (json) return PlanJson(plan, group);
  std::string out;
  for (const auto& [store, why] : plan.unreachable)
    absl::StrAppend(&out, "store ", store, " does not answer: ", Escape(why), "\n");
  absl::StrAppend(&out, WholeText(plan));
  bool any = false;
  for (const LostGroup& lost : plan.lost) {
    if (group != 0 && lost.group != group) continue;
    absl::StrAppend(&out, "\n", GroupPlanText(lost));
    any = true;
  }
  if (!any) return out + "nothing is to be recovered\n";
  if (plan.commands.empty()) return out;
  absl::StrAppend(&out,
                  "\nIf a store that does not answer can be started again, start it: nothing "
                  "is lost then.\nIf they are gone for good, in this order:\n");
  for (const std::string& command : plan.commands)
    absl::StrAppend(&out, "  ", Escape(command), "\n");
  return out;
}

}  // namespace kvd::kvctl
