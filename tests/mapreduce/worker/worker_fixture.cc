#include "tests/mapreduce/worker/worker_fixture.h"

#include <sys/stat.h>

#include <filesystem>

#include "gmock/gmock.h"
#include "mapreduce/bad_record.h"

namespace kvd::mapreduce {

using ::testing::HasSubstr;

// KVD_TEST_PROGRAMS: where the test's programs are built.
WorkerTest::WorkerTest() {
  host_.worker_program = KVD_TEST_PROGRAMS "/kvd-worker";
  host_.directory = empty_.path();
  std::vector<std::string> entries;
  auto add = [&](const std::string& program, const std::string& name) {
    std::string path = programs_.path() + "/" + program;
    if (!std::filesystem::exists(path)) {
      std::filesystem::copy_file(KVD_TEST_PROGRAMS "/" + program, path);
      chmod(path.c_str(), 0755);
    }
    entries.push_back(name + "=" + path);
  };
  add("test_worker", "test");
  for (const char* how :
       {"silent",       "garbage",          "wrong-magic",  "next-version",   "closes",
        "exits",        "huge-frame",       "slow-frame",   "endless-frames", "endless-empty",
        "endless-log",  "bad-emits",        "bad-counts",   "many-counters",  "bad-failure",
        "wrong-answer", "shrinks-slot",     "lies-in-slot", "bad-partition",  "deaf",
        "tries-all",    "closes-and-stays", "ignores-xcpu", "trickles"})
    add("hostile_worker", how);
  auto native = NativeWorkers::Parse(entries);
  EXPECT_TRUE(native.ok()) << native.status();
  host_.native = *native;
}

GuestSpec WorkerTest::Lua(std::string source) const {
  GuestSpec spec;
  spec.job = "sales";
  spec.task = "map-3.1";
  spec.lua = std::move(source);
  return spec;
}

GuestSpec WorkerTest::Native(std::string what) const {
  GuestSpec spec = Lua("");
  spec.native = "test";
  spec.parameters = {{"do", std::move(what)}};
  return spec;
}

GuestSpec WorkerTest::Hostile(std::string how) const {
  GuestSpec spec = Lua("");
  spec.native = std::move(how);
  return spec;
}

WorkerTest::Outcome WorkerTest::Map(GuestSpec spec, const Pairs& records) const {
  Outcome outcome;
  spec.log = [&](std::string_view line) { outcome.log.emplace_back(line); };
  auto map = GuestMap::Start(host_, std::move(spec));
  outcome.status = map.status();
  if (!map.ok()) return outcome;
  std::vector<Record> batch;
  for (const auto& [key, value] : records) batch.push_back({key, value});
  outcome.status = (*map)->Map(batch, &outcome.out);
  if (outcome.status.ok()) outcome.status = (*map)->Finish(&outcome.out);
  return outcome;
}

void WorkerTest::ExpectBadRecord(const absl::Status& status, std::string_view key,
                                 std::string_view words) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  auto record = BadRecordOf(status);
  ASSERT_TRUE(record.has_value()) << status;
  EXPECT_EQ(record->key, key);
  EXPECT_THAT(record->reason, HasSubstr(std::string(words)));
  std::string message(status.message());
  EXPECT_THAT(message,
              HasSubstr("job \"sales\", task map-3.1, record \"" + std::string(key) + "\": "));
  EXPECT_THAT(message, HasSubstr(std::string(words)));
}

void WorkerTest::ExpectUnharmed() const {
  Outcome outcome = Map(Lua("function map(k, v) emit(v, k) end"), {{"a", "b"}});
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.out.pairs, (Pairs{{"b", "a"}}));
}

bool Sanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

}  // namespace kvd::mapreduce
