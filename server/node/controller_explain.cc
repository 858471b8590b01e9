// Why a shard is where it is, in words.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "proto/bytes.h"
#include "server/node/controller_desk.h"
#include "shardctrler/sizing.h"

namespace kvd::node {
namespace {

using shardctrler::Operation;
using shardctrler::OperationKind;
using shardctrler::State;

std::string Range(const KeyRange& range) {
  std::string from = range.start.empty() ? "the first key" : Printable(range.start);
  return absl::StrCat("from ", from, " to ", range.end.empty() ? "the last key" : "before ",
                      range.end.empty() ? "" : Printable(range.end));
}

std::string What(const Operation& o) {
  switch (o.kind) {
    case OperationKind::kMove:
      return absl::StrCat("move of shard ", o.shard.value(), " from group ", o.group.value(),
                          " to group ", o.to.value());
    case OperationKind::kSplit:
      return absl::StrCat("split of shard ", o.shard.value(), " at ", Printable(o.key),
                          o.other ? absl::StrCat(", which made shard ", o.other.value()) : "");
    case OperationKind::kMerge:
      return absl::StrCat("merge of shard ", o.other.value(), " into shard ", o.shard.value());
    default: return absl::StrCat(ToAbsl(ToString(o.kind)), " of group ", o.group.value());
  }
}

std::string GroupLine(const State& state, const shardctrler::ClusterLoad& load, GroupId id) {
  const shardctrler::Group* group = state.FindGroup(id);
  if (group == nullptr) return absl::StrCat("group ", id.value(), " is not known");
  std::string stores = absl::StrJoin(group->replicas, ", ", [](std::string* out, const auto& r) {
    absl::StrAppend(out, r.store.value());
  });
  StoreId leader = load.LeaderOf(id);
  return absl::StrFormat(
      "group %d is %s, has %d shards, and replicas on stores %s; %s", id.value(),
      ToAbsl(ToString(group->state)), state.shards().Of(id).size(), stores,
      leader ? absl::StrFormat("store %d leads", leader.value()) : "who leads was not told");
}

void AddLoad(const shardctrler::ShardReport* report, std::vector<std::string>* lines) {
  if (report == nullptr) {
    lines->push_back("what it takes and is asked was not told yet");
    return;
  }
  lines->push_back(absl::StrFormat("it takes %.1f MB, and is asked %.0f reads/s and %.0f writes/s",
                                   static_cast<double>(report->bytes) / 1e6, report->reads,
                                   report->writes));
  if (report->hot_key.empty()) return;
  lines->push_back(absl::StrCat("key ", Printable(report->hot_key), " takes ", report->hot_percent,
                                " % of that: a split would not help, so there is none by load"));
}

}  // namespace

absl::Status ControllerDesk::Explain(const v1::ExplainRequest& request,
                                     v1::ExplainResponse* out) const {
  const State& state = role_->state();
  if (state.shards().empty()) return absl::UnavailableError("the cluster has no shards yet");
  ShardId id(request.shard_id());
  auto found = id ? state.shards().Find(id) : state.shards().At(request.key());
  if (found == state.shards().end())
    return absl::NotFoundError(absl::StrCat("there is no shard ", id.value()));
  const shardctrler::Shard& shard = found->second;
  id = shard.id;
  std::vector<std::string> lines;
  lines.push_back(absl::StrCat("shard ", id.value(), " has the keys ",
                               Range(state.shards().RangeOf(found)), ", at epoch ",
                               shard.epoch.value(), ", and is in group ", shard.group.value()));
  lines.push_back(GroupLine(state, role_->load(), shard.group));
  AddLoad(role_->load().Find(id), &lines);
  shardctrler::SizeLimits limits = shardctrler::LimitsFor(state, role_->load());
  lines.push_back(
      absl::StrFormat("shards are split above %.1f MB%s", static_cast<double>(limits.bytes) / 1e6,
                      limits.load > 0 ? absl::StrFormat(" or %.0f operations/s", limits.load)
                                      : ", and not by load while there is one group"));
  if (shard.keep)
    lines.push_back("it begins where an operator split: it is not merged with what lies before");
  for (const auto& [number, o] : state.operations()) {
    if (o.shard != id && o.other != id) continue;
    lines.push_back(absl::StrCat("operation ", number.value(), ", the ", What(o), ", is ",
                                 ToAbsl(ToString(o.phase)), ": ", Printable(o.reason)));
    std::string trouble = role_->Trouble(number);
    if (!trouble.empty()) lines.push_back(absl::StrCat("  it does not get on: ", trouble));
  }
  bool planned = false;
  // As of its last look: another one for each that asks would keep the controller from its work.
  for (const Operation& o : role_->planned()) {
    if (shard.operation || (o.shard != id && o.other != id)) continue;
    planned = true;
    lines.push_back(absl::StrCat("next: ", What(o), ": ", o.reason));
  }
  if (role_->dwelling().Has(id))
    lines.push_back("it has moved lately: balance leaves it where it is for now");
  if (!planned && !shard.operation) lines.push_back("the scheduler wants nothing else of it");
  for (std::string& line : lines) out->add_lines(std::move(line));
  return absl::OkStatus();
}

}  // namespace kvd::node
