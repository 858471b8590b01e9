// Opening a log store: cut what was torn, read everything, verify it against the side file, and
// replace a damaged database by one that holds what could be read.
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "raft/durable_file.h"
#include "raft/log_file_system.h"
#include "raft/log_recovery.h"
#include "raft/rocks_log_options.h"
#include "raft/rocks_log_store.h"
#include "raft/side_file.h"
#include "raft/wal_tail.h"

namespace kvd::raft {
namespace {

namespace fs = std::filesystem;

std::string_view V(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

absl::Status Lost(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the Raft log is damaged: ", what));
}

// Whether the bytes are wrong, rather than not to be had now.
bool IsDamage(const rocksdb::Status& status) {
  return status.IsCorruption() || status.IsPathNotFound() || status.IsNotFound() ||
         status.IsInvalidArgument();
}

absl::Status Unavailable(const std::string& directory, const rocksdb::Status& status) {
  return absl::UnavailableError(absl::StrCat(directory, ": ", status.ToString()));
}

// RocksDB would begin a new database over the files of one whose CURRENT is gone.
bool LacksCurrent(const std::string& directory) {
  std::error_code error;
  if (fs::exists(directory + "/CURRENT", error)) return false;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".sst" || name.rfind("MANIFEST", 0) == 0) return true;
  }
  return false;
}

class Opener {
 public:
  Opener(std::string directory, const std::function<void(const std::string&)>& on_fatal,
         const LogRoom& room)
      : directory_(std::move(directory)) {
    opened_.env = NewLogEnv(
        [on_fatal](const std::string& what) { on_fatal(absl::StrCat("the Raft log: ", what)); });
    options_ = LogOptions(directory_, opened_.env.get(), on_fatal, room);
    options_.listeners.push_back(opened_.load);
  }

  absl::StatusOr<OpenedLog> Run() {
    absl::Status status = FinishReplacing();
    if (status.ok()) status = OpenSideFile();
    if (status.ok()) status = OpenDatabase();
    if (status.ok()) status = ReadAll();
    if (status.ok()) status = Verify();
    if (status.ok() && damaged_) status = Replace();
    if (!status.ok()) return status;
    opened_.load->Refresh(opened_.db.get());
    return std::move(opened_);
  }

 private:
  std::string Fresh() const { return directory_ + ".rebuilt"; }
  std::string Old() const { return directory_ + ".damaged"; }

  void NoteDamage(const std::string& why) {
    if (damaged_) return;
    damaged_ = true;
    why_ = why;
  }

  // A replacement that was complete when the process ended takes its place; another one is dropped.
  absl::Status FinishReplacing() {
    std::error_code error;
    if (!fs::exists(directory_, error) && fs::exists(Fresh(), error)) {
      fs::rename(Fresh(), directory_, error);
    } else {
      fs::remove_all(Fresh(), error);
    }
    if (!error) fs::create_directories(directory_, error);
    if (error) return absl::UnavailableError(absl::StrCat(directory_, ": ", error.message()));
    return SyncParent();
  }

  // Before anything is acknowledged: what the new name holds must not be under the old one after a
  // power loss.
  absl::Status SyncParent() const {
    return SyncDirectory(fs::absolute(directory_).parent_path().string());
  }

  absl::Status OpenSideFile() {
    auto side_file = SideFile::Open(directory_ + "/SYNCED");
    if (!side_file.ok()) return side_file.status();
    opened_.side_file = *std::move(side_file);
    return absl::OkStatus();
  }

  rocksdb::Status OpenIn(const std::string& directory) {
    rocksdb::DB* raw = nullptr;
    rocksdb::Status status = rocksdb::DB::Open(options_, directory, &raw);
    opened_.db.reset(raw);
    return status;
  }

  absl::Status OpenDatabase() {
    auto cut = CutTornTail(directory_, opened_.side_file->batch());
    if (cut.ok()) opened_.report = *cut;
    if (!cut.ok() && !absl::IsDataLoss(cut.status())) return cut.status();
    if (!cut.ok()) NoteDamage(std::string(cut.status().message()));
    if (LacksCurrent(directory_)) NoteDamage(directory_ + "/CURRENT is gone");
    // Then the same damage must not be met before everything is read.
    std::optional<std::string> noted_damage = NotedDamage(directory_);
    options_.disable_auto_compactions = noted_damage.has_value();
    rocksdb::Status status;
    if (!damaged_) {
      status = OpenIn(directory_);
      if (!status.ok() && !IsDamage(status)) return Unavailable(directory_, status);
      if (!status.ok()) NoteDamage(status.ToString());
    }
    if (damaged_) {
      // Keeps what can be read; what it leaves out goes to `lost` in the directory.
      status = rocksdb::RepairDB(directory_, options_);
      if (status.ok()) status = OpenIn(directory_);
      if (!status.ok()) return Lost(absl::StrCat(why_, "; then: ", status.ToString()));
    }
    if (noted_damage) NoteDamage(*noted_damage);
    uint64_t end = opened_.db->GetLatestSequenceNumber();
    uint64_t noted = opened_.side_file->batch().value_or(0);
    if (end < noted) {
      NoteDamage(absl::StrCat("it ends at batch ", end, ", but batch ", noted,
                              " was synced and acknowledged"));
    }
    if (opened_.side_file->batch()) return absl::OkStatus();
    opened_.side_file->NoteBatch(0);
    return opened_.side_file->Sync();
  }

  void Take(std::string_view key, std::string_view value) {
    GroupId group;
    LogKind kind;
    Index index;
    if (!ParseLogKey(key, &group, &kind, &index)) return NoteDamage("a key is malformed");
    FoundLog& found = found_[group];
    GroupRecord record;
    if (kind == LogKind::kEntry) {
      auto entry = DecodeEntry(key, value);
      if (!entry)
        return NoteDamage(absl::StrCat("entry ", index.value(), " of group ", group.value(),
                                       " does not match its checksum"));
      found.entries[index] = *std::move(entry);
    } else if (kind == LogKind::kMeta ? !DecodeMeta(value, &record)
                                      : !DecodeState(value, &record)) {
      NoteDamage(absl::StrCat("a record of group ", group.value(), " is malformed"));
    } else {
      (kind == LogKind::kMeta ? found.meta : found.state) = record;
    }
  }

  absl::Status ReadAll() {
    std::unique_ptr<rocksdb::Iterator> it(opened_.db->NewIterator(rocksdb::ReadOptions()));
    for (it->SeekToFirst(); it->Valid(); it->Next()) Take(V(it->key()), V(it->value()));
    if (!it->status().ok() && !IsDamage(it->status())) return Unavailable(directory_, it->status());
    if (!it->status().ok()) NoteDamage(it->status().ToString());
    for (const auto& [group, record] : opened_.side_file->records()) found_[group].side = record;
    return absl::OkStatus();
  }

  void TakeOne(const std::string& key) {
    std::string value;
    rocksdb::Status status = opened_.db->Get(rocksdb::ReadOptions(), key, &value);
    if (status.ok()) Take(key, value);
  }

  absl::Status Verify() {
    if (damaged_ && found_.empty()) return Lost(why_);
    for (auto& [group, found] : found_) {
      // An iteration ends at the first block that is damaged; what lies behind is read key by key.
      if (damaged_) {
        TakeOne(LogKey(group, LogKind::kMeta));
        TakeOne(LogKey(group, LogKind::kState));
      }
      auto record = NewestRecord(group, found, damaged_);
      if (!record.ok())
        return Lost(
            absl::StrCat(why_, why_.empty() ? "" : "; ", std::string(record.status().message())));
      for (Index i = record->start.index + 1; damaged_ && i <= record->last; i = i + 1) {
        if (!found.entries.contains(i)) TakeOne(EntryKey(group, i));
      }
      auto log = VerifyLog(group, *record, found);
      if (!log.ok()) return log.status();
      for (const EntryPtr& entry : log->entries) {
        if (entry->type == EntryType::kDamaged)
          NoteDamage(absl::StrCat("entry ", entry->index.value(), " of group ", group.value(),
                                  " is missing"));
      }
      opened_.records[group] = *record;
      opened_.logs.push_back(*std::move(log));
    }
    return absl::OkStatus();
  }

  // Everything that could be read, damaged places left out, in a new database.
  absl::Status WriteFresh() {
    std::error_code error;
    fs::create_directories(Fresh(), error);
    rocksdb::Status status = OpenIn(Fresh());
    if (!status.ok()) return Unavailable(Fresh(), status);
    auto side_file = SideFile::Open(Fresh() + "/SYNCED");
    if (!side_file.ok()) return side_file.status();
    rocksdb::WriteOptions options;
    options.sync = true;
    for (const GroupLog& log : opened_.logs) {
      const GroupRecord& record = opened_.records.at(log.group);
      rocksdb::WriteBatch batch;
      for (const auto& [index, found] : found_.at(log.group).entries) {
        if (index <= record.start.index || index > record.last) continue;
        std::string key = EntryKey(log.group, index);
        batch.Put(key, EncodeEntry(key, *found.entry, found.previous));
        if (batch.GetDataSize() < (4 << 20)) continue;
        status = opened_.db->Write(options, &batch);
        if (!status.ok()) return Unavailable(Fresh(), status);
        batch.Clear();
      }
      batch.Put(LogKey(log.group, LogKind::kMeta), EncodeMeta(record));
      batch.Put(LogKey(log.group, LogKind::kState), EncodeState(record));
      status = opened_.db->Write(options, &batch);
      if (!status.ok()) return Unavailable(Fresh(), status);
      (*side_file)->NoteGroup(log.group, record);
    }
    (*side_file)->NoteBatch(opened_.db->GetLatestSequenceNumber());
    return (*side_file)->Sync();
  }

  // A damaged file that stayed would end the process as soon as a compaction meets it.
  absl::Status Replace() {
    opened_.db.reset();
    options_.disable_auto_compactions = false;
    absl::Status written = WriteFresh();
    if (!written.ok()) return written;
    opened_.db.reset();
    opened_.side_file.reset();
    std::error_code error;
    fs::remove_all(Old(), error);
    fs::rename(directory_, Old(), error);
    if (!error) fs::rename(Fresh(), directory_, error);
    if (error) return absl::UnavailableError(absl::StrCat(directory_, ": ", error.message()));
    absl::Status synced = SyncParent();
    if (!synced.ok()) return synced;
    rocksdb::Status status = OpenIn(directory_);
    if (!status.ok()) return Unavailable(directory_, status);
    opened_.report = absl::StrCat("the Raft log was damaged (", why_,
                                  "); what could be read was kept, the old files are in ", Old());
    return OpenSideFile();
  }

  const std::string directory_;
  OpenedLog opened_;
  rocksdb::Options options_;
  std::map<GroupId, FoundLog> found_;
  bool damaged_ = false;
  std::string why_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RocksLogStore>> RocksLogStore::Open(
    const std::string& directory, std::function<void(const std::string&)> on_fatal,
    const LogRoom& room) {
  auto opened = Opener(directory, on_fatal, room).Run();
  if (!opened.ok()) return opened.status();
  return std::unique_ptr<RocksLogStore>(new RocksLogStore(*std::move(opened), std::move(on_fatal)));
}

}  // namespace kvd::raft
