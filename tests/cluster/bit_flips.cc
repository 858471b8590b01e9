// Damages the files of a store that does not run, one place at a time, and shows that it then gives
// the right answers or says why it can't: bit_flips [--places N] [--seed K].
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kvd/client.h"
#include "proto/check.h"
#include "raft/runtime/random.h"
#include "tests/cluster/damage.h"
#include "tests/cluster/lone_store.h"
#include "tests/cluster/mini_cluster.h"
#include "tests/cluster/process.h"
#include "tests/scratch_directory.h"

namespace {

using kvd::LoneStore;
using kvd::Random;

// As a file system would: runs of zeroes take no room, so that a log allocated ahead is copied
// fast.
void Copy(const std::string& from, const std::string& to) {
  kvd::Finished copied = kvd::RunProgram({"/bin/cp", "-r", "--sparse=always", from, to});
  KVD_CHECK_MSG(copied.exit_code == 0, copied.output);
}

using Rows = std::map<std::string, std::string>;

// Values that are put, replaced, appended to and deleted; more of each life is in files than in the
// log.
void Fill(LoneStore& store, int life, Rows* expected) {
  auto client = store.Connect(std::chrono::seconds(20));
  Random random(static_cast<uint64_t>(life));
  for (int i = 0; i < 500; ++i) {
    std::string key = absl::StrCat("key", i);
    std::string value = absl::StrCat(life, ".", i, ";");
    for (uint64_t n = random.Below(20'000); n > 0; --n)
      value.push_back(static_cast<char>(random.Below(256)));
    if (i % 5 == life % 5) {
      KVD_CHECK(client->Delete(key).ok());
      expected->erase(key);
    } else if (i % 3 == 0) {
      KVD_CHECK(client->Append(key, value).ok());
      (*expected)[key] += value;
    } else {
      KVD_CHECK(client->Put(key, value).ok());
      (*expected)[key] = value;
    }
  }
}

// What an undamaged store answers.
struct Pristine {
  std::string directory;
  Rows rows;
  uint64_t cluster_id = 0;
  uint64_t store_id = 0;
};

enum class Outcome { kRight, kRefused, kWrong };

struct Result {
  Outcome outcome = Outcome::kRight;
  std::string why;
};

Result Refusal(const LoneStore& store) {
  std::vector<std::string> lines = kvd::ClosingLines(store.Log());
  if (store.exit_code() > 0 && lines.size() == 1) return {Outcome::kRefused, lines[0]};
  return {Outcome::kWrong, absl::StrCat("it ended with ", store.exit_code(), " and ", lines.size(),
                                        " lines that say why: ", absl::StrJoin(lines, " / "))};
}

absl::Status ReadAll(const LoneStore& store, Rows* rows) {
  rows->clear();
  auto client = store.Connect(std::chrono::seconds(2));
  auto scanner = client->Scan({});
  while (scanner->Next()) (*rows)[scanner->key()] = scanner->value().bytes;
  return scanner->status();
}

// Starts the store on what is there and reads everything.
Result Judge(const std::string& directory, int port, const Pristine& pristine) {
  LoneStore store(directory, port);
  if (!store.Start()) return Refusal(store);
  auto status = store.Status();
  if (status.ok() &&
      (status->cluster_id() != pristine.cluster_id || status->store_id() != pristine.store_id)) {
    return {Outcome::kWrong, "it takes itself for another store"};
  }
  Rows rows;
  absl::Status read;
  // A try is short, since a store that has ended answers no more; a slow machine gets several.
  kvd::MiniCluster::Await(
      [&] {
        read = ReadAll(store, &rows);
        return store.Ended() || read.ok() || absl::IsDataLoss(read);
      },
      30);
  if (store.Ended()) return Refusal(store);
  if (!read.ok()) {
    return {absl::IsDataLoss(read) ? Outcome::kRefused : Outcome::kWrong,
            std::string(read.ToString())};
  }
  rows.erase("probe");
  if (rows == pristine.rows) return {};
  std::string what = absl::StrCat(rows.size(), " keys instead of ", pristine.rows.size());
  for (const auto& [key, value] : pristine.rows) {
    auto it = rows.find(key);
    if (it == rows.end() || it->second != value) {
      absl::StrAppend(&what, "; ", key, it == rows.end() ? " is missing" : " has another value");
      break;
    }
  }
  return {Outcome::kWrong, what};
}

struct Row {
  int bits = 0;    // flipped
  int others = 0;  // cut off, zeroed
  int right = 0;
  int refused = 0;
  int wrong = 0;
};

// False if something was wrong.
bool Print(const std::map<std::string, Row>& table) {
  std::printf("%-16s %6s %6s %6s %8s %6s\n", "file", "bits", "others", "right", "refused", "WRONG");
  Row all;
  auto print = [](const std::string& name, const Row& r) {
    std::printf("%-16s %6d %6d %6d %8d %6d\n", name.c_str(), r.bits, r.others, r.right, r.refused,
                r.wrong);
  };
  for (const auto& [name, r] : table) {
    print(name, r);
    all = {all.bits + r.bits, all.others + r.others, all.right + r.right, all.refused + r.refused,
           all.wrong + r.wrong};
  }
  print("all", all);
  return all.wrong == 0;
}

// Lives that end with SIGKILL: files, and a log that begins behind what is in them and is replayed.
Pristine MakePristine(const std::string& directory) {
  Pristine pristine;
  pristine.directory = directory;
  int port = kvd::FreePortPair();
  for (int life = 1; life <= 3; ++life) {
    LoneStore store(directory, port);
    KVD_CHECK_MSG(store.Start(), store.Log());
    Fill(store, life, &pristine.rows);
    KVD_CHECK_MSG(kvd::MiniCluster::Await([&] {
                    auto status = store.Status();
                    if (!status.ok()) return false;
                    pristine.cluster_id = status->cluster_id();
                    pristine.store_id = status->store_id();
                    return life < 3 || status->groups(0).first_index() > 100;
                  }),
                  "the log was never cut");
  }
  return pristine;
}

struct Arguments {
  int places = 750;
  int first = 0;
  int jobs = 4;
  uint64_t seed = 1;
  bool verbose = false;
};

// Damages one file of a copy and judges it; the number decides what. Says what it did.
struct Flip {
  std::string kind;
  bool of_a_bit = false;
  std::optional<std::string> what;  // none: nothing changed
  Result result;
};
Flip DoFlip(const Arguments& a, int number, const Pristine& pristine, const std::string& directory,
            int port) {
  const auto& kinds = kvd::FileKinds();
  const kvd::FileKind& kind = kinds[static_cast<size_t>(number) % kinds.size()];
  Random random(a.seed * 1'000'003 + static_cast<uint64_t>(number));
  std::filesystem::remove_all(directory);
  Copy(pristine.directory, directory);
  std::vector<std::string> files = kvd::FilesOf(kind, directory);
  KVD_CHECK_MSG(!files.empty(), kind.name);
  bool other = static_cast<size_t>(number) / kinds.size() % 3 == 2;
  auto damage = other ? static_cast<kvd::Damage>(random.Between(1, 2)) : kvd::Damage::kFlippedBit;
  Flip flip{
      kind.name, !other, kvd::DamageFile(files[random.Below(files.size())], damage, random), {}};
  if (flip.what) flip.result = Judge(directory, port, pristine);
  return flip;
}

// Runs all flips, several at a time; the table by kind of file.
std::map<std::string, Row> DoFlips(const Arguments& a, const Pristine& pristine,
                                   const std::string& scratch) {
  std::map<std::string, Row> table;
  std::mutex mutex;
  std::atomic<int> next{a.first};
  auto work = [&](int job, int port) {
    for (int i = next++; i < a.first + a.places; i = next++) {
      Flip flip = DoFlip(a, i, pristine, absl::StrCat(scratch, "/damaged-", job), port);
      if (!flip.what) continue;
      std::lock_guard<std::mutex> lock(mutex);
      Row& row = table[flip.kind];
      Outcome outcome = flip.result.outcome;
      ++(flip.of_a_bit ? row.bits : row.others);
      ++(outcome == Outcome::kRight     ? row.right
         : outcome == Outcome::kRefused ? row.refused
                                        : row.wrong);
      if (!a.verbose && outcome != Outcome::kWrong) continue;
      const char* word = outcome == Outcome::kRight     ? "right"
                         : outcome == Outcome::kRefused ? "refused"
                                                        : "WRONG";
      std::printf("%d %s: %s %s\n", i, flip.what->c_str(), word, flip.result.why.c_str());
      if (outcome == Outcome::kWrong)
        std::printf("again: --first %d --places 1 --seed %lu\n", i, a.seed);
      std::fflush(stdout);
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(a.jobs));
  for (int job = 0; job < a.jobs; ++job) threads.emplace_back(work, job, kvd::FreePortPair());
  for (std::thread& thread : threads) thread.join();
  return table;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a;
  CLI::App app("Damages a stopped store's files, and checks that it never answers wrongly.",
               "bit_flips");
  app.add_option("--places", a.places,
                 "How many, over all kinds of files in turn; in two of three a bit is flipped")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--first", a.first, "Number of the first one")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--jobs", a.jobs, "At a time")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--seed", a.seed, "Of the places")->capture_default_str();
  app.add_flag("--verbose", a.verbose, "Say what came of each");
  CLI11_PARSE(app, argc, argv);

  kvd::ScratchDirectory scratch;
  Pristine pristine = MakePristine(scratch.path() + "/whole");
  return Print(DoFlips(a, pristine, scratch.path())) ? 0 : 1;
}
