// What the daemon tells Prometheus beside its requests; collected on the loop when it is asked for.
#include <unistd.h>

#include <fstream>
#include <future>

#include "server/server_parts.h"

namespace kvd::server {
namespace {

struct ProcessUsage {
  double cpu_seconds = 0;
  double resident_bytes = 0;
};

ProcessUsage ReadUsage() {
  ProcessUsage usage;
  auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  double pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  usage.resident_bytes = resident * page;
  std::ifstream stat("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), std::istreambuf_iterator<char>());
  // After the name in parentheses: fields 3 on; 14 and 15 are the times.
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  for (int i = 3; fields >> field && i <= 15; ++i) {
    if (i == 14 || i == 15) usage.cpu_seconds += std::stod(field) / ticks;
  }
  return usage;
}

}  // namespace

void Server::Parts::FillDisk(v1::StatusResponse* out) const {
  const storage::DiskGuard& guard = disk_watch->guard();
  out->set_disk_free_bytes(guard.free_bytes());
  out->set_disk_needed_bytes(guard.needed_bytes());
  out->set_disk_state(guard.state() == DiskState::kOk    ? v1::StatusResponse::DISK_OK
                      : guard.state() == DiskState::kLow ? v1::StatusResponse::DISK_LOW
                                                         : v1::StatusResponse::DISK_CRITICAL);
}

// The loop owns what is told. One that is busy for long gives what it gave last.
std::string Server::Parts::RenderMetrics() {
  auto collected = std::make_shared<std::promise<void>>();
  auto done = collected->get_future();
  loop->Post([this, collected] {
    bool runs = duty != nullptr;
    if (runs) CollectMetrics();
    collected->set_value();
  });
  done.wait_for(std::chrono::seconds(2));
  return metrics->Render();
}

void Server::Parts::CollectMetrics() {
  metrics->BeginRound();
  CollectRaftMetrics();
  CollectStateMetrics();
  CollectDiskMetrics();
  CollectClusterMetrics();
  ProcessUsage usage = ReadUsage();
  metrics->SetTotal("process_cpu_seconds_total", "User and system time", usage.cpu_seconds);
  metrics->SetTotal("kvd_loop_late_turns_total",
                    "Times that nothing was answered for over a tenth of a second",
                    static_cast<double>(loop->late_turns()));
  metrics->Set("process_resident_memory_bytes", "Resident memory", usage.resident_bytes);
  metrics->EndRound();
}

void Server::Parts::CollectGroupMetrics(GroupId group) {
  const raft::Core& core = host->core(group);
  auto group_set = [this, id = std::to_string(group.value())](const char* name, const char* help,
                                                              auto value) {
    metrics->Set(name, help, static_cast<double>(value), {{"group", id}});
  };
  group_set("kvd_raft_term", "Current term", core.term().value());
  group_set("kvd_raft_is_leader", "1 if this store leads the group", core.IsLeader() ? 1 : 0);
  group_set("kvd_raft_leader_store", "Store believed to lead, 0 if unknown",
            host->LeaderStore(group).value());
  group_set("kvd_raft_commit_index", "Committed log index", core.commit_index().value());
  group_set("kvd_raft_applied_index", "Applied log index", core.applied_index().value());
  group_set("kvd_raft_log_start_index", "The log is kept behind this index",
            core.log().start().value());
  group_set("kvd_raft_commit_lag_entries", "Entries in the log that are not committed",
            core.log().last_index() - core.commit_index());
  group_set("kvd_raft_apply_lag_entries", "Entries committed that are not applied",
            core.commit_index() - core.applied_index());
  group_set("kvd_raft_pending_proposals", "Proposals waiting to be applied",
            host->pending_proposals(group));
  group_set("kvd_state_missing", "1 while the state waits to be sent by another replica",
            core.NeedsState() ? 1 : 0);
  const shard::DataGroup& state = *groups->Find(group)->group;
  group_set("kvd_group_shards", "Shards of the group", state.meta().shards.shards().size());
  if (!core.IsLeader()) return;
  shard::ShardStats all;
  for (const auto& [start, shard] : state.meta().shards.shards()) {
    shard::ShardStats stats = state.load().Stats(shard.id);
    all.bytes += stats.bytes;
    all.reads += stats.reads;
    all.writes += stats.writes;
  }
  group_set("kvd_group_bytes", "What the shards that are led here take on disk, about", all.bytes);
  group_set("kvd_group_reads_per_second", "Keys read where they are led, over the last seconds",
            all.reads);
  group_set("kvd_group_writes_per_second", "Keys written, over the last seconds", all.writes);
}

void Server::Parts::CollectRaftMetrics() {
  const raft::HostCounters& counters = host->counters();
  auto total = [this](const char* name, const char* help, auto value) {
    metrics->SetTotal(name, help, static_cast<double>(value));
  };
  for (GroupId group : host->groups()) CollectGroupMetrics(group);
  total("kvd_raft_proposals_total", "Proposals accepted here", counters.proposals);
  total("kvd_raft_messages_sent_total", "Raft messages sent", counters.messages_sent);
  total("kvd_raft_messages_damaged_total",
        "Batches of messages and heads of snapshot chunks that a network damaged",
        transport->damaged());
  total("kvd_raft_entries_applied_total", "Log entries applied", counters.entries_applied);
  total("kvd_raft_apply_stalls_total",
        "Times that nothing more was applied until the state's buffers were flushed",
        counters.apply_stalls);
  total("kvd_raft_elections_won_total", "Elections won", counters.elections_won);
  total("kvd_raft_snapshots_sent_total", "Snapshots sent and installed elsewhere",
        counters.snapshots_sent);
  total("kvd_raft_snapshots_installed_total", "Snapshots installed here",
        counters.snapshots_installed);
  raft::LogStoreStats log = log_store->stats();
  metrics->SetHistogram("kvd_log_sync_seconds", "Time of one write of the Raft log with its sync",
                        {raft::kSyncSecondsBounds.begin(), raft::kSyncSecondsBounds.end()},
                        {log.sync_classes.begin(), log.sync_classes.end()}, log.sync_seconds);
  total("kvd_log_bytes_total", "Bytes written to the Raft log", log.bytes);
  metrics->Set("kvd_log_disk_bytes", "Size of the Raft log's sorted files",
               static_cast<double>(log_store->DiskBytes()));
}

void Server::Parts::CollectStateMetrics() {
  auto set = [this](const char* name, const char* help, auto value) {
    metrics->Set(name, help, static_cast<double>(value));
  };
  auto total = [this](const char* name, const char* help, auto value) {
    metrics->SetTotal(name, help, static_cast<double>(value));
  };
  total("kvd_state_rebuilds_total", "Damaged states given up and rebuilt since the store was new",
        rebuilds);
  total("kvd_state_damage_reports_total", "Times that the state was found damaged",
        rebuilder->reports());
  uint64_t hits = 0, misses = 0, bytes = 0, swept = 0;
  for (const auto& [id, local] : groups->all()) {
    hits += local.group->row_cache().hits();
    misses += local.group->row_cache().misses();
    bytes += local.group->row_cache().bytes();
    swept += local.group->swept();
  }
  total("kvd_row_cache_hits_total", "Reads of a key that were answered from the row cache", hits);
  total("kvd_row_cache_misses_total", "Reads of a key that were not, while there is a row cache",
        misses);
  set("kvd_row_cache_bytes", "Memory of the row cache, at most", bytes);
  total("kvd_swept_keys_total", "Dead keys removed by the sweep", swept);
  const std::pair<const char*, const char*> properties[] = {
      {"rocksdb.actual-delayed-write-rate", "kvd_rocksdb_delayed_write_rate"},
      {"rocksdb.is-write-stopped", "kvd_rocksdb_write_stopped"},
      {"rocksdb.num-running-compactions", "kvd_rocksdb_running_compactions"},
      {"rocksdb.estimate-pending-compaction-bytes", "kvd_rocksdb_pending_compaction_bytes"},
      {"rocksdb.num-running-flushes", "kvd_rocksdb_running_flushes"},
      {"rocksdb.cur-size-all-mem-tables", "kvd_rocksdb_memtable_bytes"},
      {"rocksdb.block-cache-usage", "kvd_rocksdb_block_cache_bytes"},
      {"rocksdb.total-sst-files-size", "kvd_rocksdb_sst_bytes"},
      {"rocksdb.estimate-num-keys", "kvd_rocksdb_estimated_keys"},
  };
  for (const auto& [property, name] : properties) set(name, property, engine->Property(property));
}

void Server::Parts::CollectDiskMetrics() {
  auto set = [this](const char* name, const char* help, auto value) {
    metrics->Set(name, help, static_cast<double>(value));
  };
  set("kvd_disk_free_bytes", "Bytes free on the data directory's disk",
      disk_watch->guard().free_bytes());
  set("kvd_disk_state", "0 enough room, 1 low: no data is added, 2 critical: nothing is taken in",
      static_cast<int>(disk_watch->guard().state()));
  set("kvd_disk_promised_bytes",
      "Bytes that commands under way and compactions have yet to write, at most",
      disk_watch->guard().promised_bytes());
  set("kvd_disk_reserve_bytes", "Bytes held by the file RESERVE", disk->ReserveBytes());
}

}  // namespace kvd::server
