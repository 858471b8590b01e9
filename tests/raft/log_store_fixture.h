// A RocksDB log store on the real disk, written to and opened again as a test wants.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "raft/rocks_log_store.h"
#include "tests/inline_loop.h"
#include "tests/scratch_directory.h"

namespace kvd::raft {

inline constexpr GroupId kGroup{7};

class LogStoreTest : public testing::Test {
 protected:
  LogStoreTest() { Reopen(); }

  void Reopen() {
    store_.reset();
    auto opened = RocksLogStore::Open(directory_.path() + "/raft",
                                      [](const std::string& why) { FAIL() << why; });
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
    auto loaded = store_->Load();
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    logs_ = *std::move(loaded);
  }

  void Write(LogWrite write) {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    std::vector<LogWrite> writes;
    writes.push_back(std::move(write));
    store_->Write(&loop_, std::move(writes), [&] {
      std::lock_guard<std::mutex> lock(mutex);
      done = true;
      changed.notify_one();
    });
    std::unique_lock<std::mutex> lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return done; }));
  }

  static EntryPtr Make(uint64_t index, uint64_t term, std::string data = "x") {
    auto entry = std::make_shared<Entry>();
    entry->index = Index(index);
    entry->term = Term(term);
    entry->type = EntryType::kCommand;
    entry->data = std::move(data);
    return entry;
  }

  void Create() {
    LogWrite write;
    write.group = kGroup;
    write.replica = ReplicaId(3);
    write.reset =
        SnapshotMeta{Index(), Term(), Configuration{{{ReplicaId(3), StoreId(1)}}, {}, {}}};
    write.hard_state = HardState{Term(1), ReplicaId(3), Index()};
    Write(std::move(write));
  }

  std::string Directory() const { return directory_.path() + "/raft"; }
  // The newest file whose name begins and ends so.
  std::string Newest(const std::string& prefix, const std::string& suffix) const {
    std::string newest;
    for (const auto& entry : std::filesystem::directory_iterator(Directory())) {
      std::string name = entry.path().filename().string();
      if (name.rfind(prefix, 0) != 0 || name.size() < suffix.size()) continue;
      if (name.substr(name.size() - suffix.size()) == suffix)
        newest = std::max(newest, entry.path().string());
    }
    return newest;
  }
  std::string NewestLog() const { return Newest("", ".log"); }

  static void FlipBit(const std::string& path, size_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    char byte = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 0x10));
  }

  void Append(std::vector<EntryPtr> entries) {
    LogWrite write;
    write.group = kGroup;
    write.previous = terms_[entries.front()->index - 1];
    for (const EntryPtr& entry : entries) terms_[entry->index] = entry->term;
    write.entries = std::move(entries);
    Write(std::move(write));
  }

  ScratchDirectory directory_;
  InlineLoop loop_;
  std::unique_ptr<RocksLogStore> store_;
  std::vector<GroupLog> logs_;
  std::map<Index, Term> terms_;  // as appended last
};

}  // namespace kvd::raft
