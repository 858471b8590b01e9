#include "server/node/load_report.h"

#include <algorithm>
#include <cmath>

namespace kvd::node {
namespace {

namespace wire = internal::v1;

constexpr int kShardsMax = 2'000;  // in one report
constexpr int kMiddlesMax = 4;     // looking for one reads some blocks of files
constexpr double kBytesStep = 1 << 20;
constexpr double kBytesPart = 0.12;
constexpr double kRateStep = 50;
constexpr double kRatePart = 0.2;

bool Apart(double a, double b, double step, double part) {
  return std::abs(a - b) > std::max(step, part * std::max(a, b));
}

uint64_t Micros(Duration d) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(d).count());
}

}  // namespace

void LoadReport::Reset() {
  told_.clear();
  Lost();
  told_leads_.reset();
}

void LoadReport::SetLimits(const wire::ReportResponse::Limits& limits) {
  split_bytes_ = limits.split_bytes();
  split_load_ = limits.split_load();
}

void LoadReport::Lost() {
  telling_.clear();
  telling_leads_.clear();
}

void LoadReport::Arrived() {
  for (auto& [id, told] : telling_) told_[id] = std::move(told);
  telling_.clear();
  told_leads_ = std::move(telling_leads_);
  telling_leads_.clear();
}

LoadReport::Told LoadReport::Look(const shard::DataGroup& group,
                                  const shard::ShardDescriptor& shard) const {
  shard::ShardStats stats = group.load().Stats(shard.id);
  Told now;
  now.report.epoch = shard.epoch;
  now.report.group = group.group();
  now.report.bytes = stats.bytes;
  now.report.reads = stats.reads;
  now.report.writes = stats.writes;
  now.large = stats.bytes > split_bytes_;
  now.busy = split_load_ > 0 && stats.load() > split_load_;
  return now;
}

bool LoadReport::Differs(const Told& told, const Told& now) {
  const shardctrler::ShardReport& a = told.report;
  const shardctrler::ShardReport& b = now.report;
  if (a.epoch != b.epoch || a.group != b.group) return true;
  if (told.large != now.large || told.busy != now.busy) return true;
  // There may be a key by now.
  if (now.busy && a.split_key.empty() && a.hot_key.empty()) return true;
  return Apart(static_cast<double>(a.bytes), static_cast<double>(b.bytes), kBytesStep,
               kBytesPart) ||
         Apart(a.load(), b.load(), kRateStep, kRatePart);
}

// Load first: half of the bytes may be nobody's business.
void LoadReport::Suggest(const shard::DataGroup& group, const shard::ShardDescriptor& shard,
                         Told* now) {
  if (now->busy) {
    shard::LoadSplit split = group.load().Split(shard.id);
    bool inside = split.key > shard.range.start && shard.range.Contains(split.key);
    if (inside) now->report.split_key = split.key;
    now->report.by_load = inside;
    now->report.hot_key = split.hot_key;
    now->report.hot_percent = split.hot_percent;
  }
  if (!now->large || !now->report.split_key.empty()) return;
  --middles_left_;
  auto middle = group.MiddleOf(shard);
  if (middle.ok()) now->report.split_key = *std::move(middle);
}

void LoadReport::FillGroup(const LocalGroup& local, wire::ReportRequest* report) {
  const shard::DataGroup& group = *local.group;
  for (const auto& [start, shard] : group.meta().shards.shards()) {
    if (shard.state != shard::ShardState::kServing) continue;
    if (!group.load().Ripe(shard.id) || !group.load().Stats(shard.id).measured) continue;
    Told now = Look(group, shard);
    auto told = told_.find(shard.id);
    if (told != told_.end() && !Differs(told->second, now)) continue;
    if (report->shard_loads_size() >= kShardsMax || (now.large && middles_left_ <= 0)) {
      more_ = true;
      continue;
    }
    Suggest(group, shard, &now);
    auto* out = report->add_shard_loads();
    out->set_shard_id(shard.id.value());
    out->set_epoch(shard.epoch.value());
    out->set_group_id(group.group().value());
    out->set_bytes(now.report.bytes);
    out->set_reads(now.report.reads);
    out->set_writes(now.report.writes);
    out->set_split_key(now.report.split_key);
    out->set_by_load(now.report.by_load);
    out->set_hot_key(now.report.hot_key);
    out->set_hot_percent(now.report.hot_percent);
    telling_[shard.id] = std::move(now);
  }
}

void LoadReport::ForgetNewlyLed() {
  std::erase_if(told_, [this](const auto& item) {
    GroupId group = item.second.report.group;
    return telling_leads_.contains(group) && !led_.contains(group);
  });
  led_ = telling_leads_;
}

void LoadReport::Fill(const DiskSpace& disk, wire::ReportRequest* report) {
  Lost();
  more_ = false;
  middles_left_ = kMiddlesMax;
  for (const auto& [id, local] : groups_->all()) {
    if (local.group->ready()) telling_leads_.insert(id);
  }
  ForgetNewlyLed();
  for (GroupId id : telling_leads_) {
    const LocalGroup& local = groups_->all().at(id);
    if (local.machine == nullptr) FillGroup(local, report);
  }
  // Now and then in any case: another store may have said the same, and then that it does not.
  constexpr int kLeadsAgeMax = 20;
  if (told_leads_ != telling_leads_ || ++leads_age_ >= kLeadsAgeMax) {
    leads_age_ = 0;
    auto* leads = report->mutable_leads();
    for (GroupId id : telling_leads_) leads->add_group_ids(id.value());
  }
  auto* load = report->mutable_store_load();
  const raft::HostCounters& counters = host_->counters();
  uint64_t syncs = counters.log_syncs - syncs_;
  if (syncs > 0)
    load->set_sync_us(Micros((counters.log_sync_time - sync_time_) / static_cast<int64_t>(syncs)));
  load->set_syncs(syncs);
  syncs_ = counters.log_syncs;
  sync_time_ = counters.log_sync_time;
  for (const auto& [store, took] : host_->RoundTrips()) {
    auto* peer = load->add_peers();
    peer->set_store_id(store.value());
    peer->set_round_trip_us(Micros(took));
  }
  load->set_disk_free(disk.free);
  load->set_disk_size(disk.size);
  load->set_disk_low(disk.low);
}

void TakeLoad(const wire::ReportRequest& report, shardctrler::ClusterLoad* load) {
  StoreId store(report.store_id());
  for (const auto& told : report.shard_loads()) {
    shardctrler::ShardReport shard;
    shard.epoch = Epoch(told.epoch());
    shard.group = GroupId(told.group_id());
    shard.bytes = told.bytes();
    shard.reads = told.reads();
    shard.writes = told.writes();
    shard.split_key = told.split_key();
    shard.by_load = told.by_load();
    shard.hot_key = told.hot_key();
    shard.hot_percent = told.hot_percent();
    load->Note(ShardId(told.shard_id()), std::move(shard));
  }
  if (report.has_leads()) {
    std::set<GroupId> leads;
    for (uint64_t id : report.leads().group_ids()) leads.insert(GroupId(id));
    load->NoteLeads(store, leads);
  }
  if (!report.has_store_load()) return;
  shardctrler::StoreReport of_store;
  of_store.sync_ms = static_cast<double>(report.store_load().sync_us()) / 1e3;
  of_store.syncs = report.store_load().syncs();
  for (const auto& peer : report.store_load().peers()) {
    of_store.round_trip_ms[StoreId(peer.store_id())] =
        static_cast<double>(peer.round_trip_us()) / 1e3;
  }
  of_store.disk_free = report.store_load().disk_free();
  of_store.disk_size = report.store_load().disk_size();
  of_store.disk_low = report.store_load().disk_low();
  load->Note(store, of_store);
}

}  // namespace kvd::node
