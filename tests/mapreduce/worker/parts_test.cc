// The parts that need no process.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "mapreduce/bad_record.h"
#include "mapreduce/worker/native_workers.h"
#include "mapreduce/worker/protocol.h"
#include "proto/bytes.h"
#include "tests/scratch_directory.h"

namespace kvd::mapreduce {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(BadRecord, IsFoundAgain) {
  BadRecordPayload record{std::string("k\0ey", 4), "script error at line 3: x"};
  absl::Status status = BadRecordError("job \"a\", task map-1.1", record);
  EXPECT_EQ(BadRecordOf(status), record);
  EXPECT_EQ(FromAbsl(status.message()),
            "job \"a\", task map-1.1, record \"k\\x00ey\": script error at line 3: x");
  EXPECT_FALSE(BadRecordOf(absl::InvalidArgumentError("x")).has_value());
  EXPECT_FALSE(BadRecordOf(absl::OkStatus()).has_value());
  record.reason = std::string(5000, 'r');
  EXPECT_EQ(BadRecordOf(BadRecordError("", record))->reason.size(), kBadRecordReasonBytesMax);
}

TEST(WorkerProtocol, MessagesComeBack) {
  wire::Load load;
  load.role = wire::Role::kReduce;
  load.job = "job";
  load.task = "reduce-1.1";
  load.source = "source";
  load.parameters = {{"a", "1"}, {"b", ""}};
  load.memory_bytes = 1 << 20;
  std::string bytes;
  load.Encode(&bytes);
  wire::Load back;
  ASSERT_TRUE(back.Decode(bytes));
  EXPECT_EQ(back.role, load.role);
  EXPECT_EQ(back.task, load.task);
  EXPECT_EQ(back.source, load.source);
  EXPECT_EQ(back.parameters, load.parameters);
  EXPECT_EQ(back.memory_bytes, load.memory_bytes);
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(back.Decode(std::string_view(bytes).substr(0, size)));

  wire::Failure failure{wire::FailureKind::kRecord, std::string(5000, 'r')};
  bytes.clear();
  failure.Encode(&bytes);
  wire::Failure same;
  ASSERT_TRUE(same.Decode(bytes));
  EXPECT_EQ(same.reason.size(), wire::kReasonBytesMax);
  EXPECT_FALSE(same.Decode(std::string_view("\0\0", 2)));
  EXPECT_FALSE(same.Decode("\x09\x00"));
}

TEST(NativeWorkers, ListIsChecked) {
  auto error = [](std::vector<std::string> entries) {
    return std::string(NativeWorkers::Parse(entries).status().message());
  };
  EXPECT_THAT(error({"words"}), HasSubstr("native worker \"words\": it must be NAME=PATH"));
  EXPECT_THAT(error({"=/bin/x"}), HasSubstr("the name must have 1 to 64 B"));
  EXPECT_THAT(error({std::string(65, 'n') + "=/bin/x"}), HasSubstr("1 to 64 B"));
  EXPECT_THAT(error({"a=bin/x"}), HasSubstr("the path must be absolute"));
  EXPECT_THAT(error({"a="}), HasSubstr("the path must be absolute"));
  EXPECT_THAT(error({"a=/x", "a=/y"}), HasSubstr("the name is there already"));
  auto workers = NativeWorkers::Parse(std::vector<std::string>{"b=/no/such", "a=/x=y"});
  ASSERT_TRUE(workers.ok());
  EXPECT_THAT(workers->names(), ElementsAre("a", "b"));
  EXPECT_THAT(std::string(workers->Open("b").status().message()), HasSubstr("No such file"));
  EXPECT_THAT(std::string(workers->Open("c").status().message()),
              HasSubstr("native worker \"c\" is not in this store's list"));
}

TEST(NativeWorkers, ProgramsMustBeSafeFromOthers) {
  ScratchDirectory scratch;
  std::string path = scratch.path() + "/program";
  std::ofstream(path) << "x";
  auto error = [](const std::string& path) {
    auto opened = OpenProgram(path);
    EXPECT_EQ(opened.status().code(),
              opened.ok() ? absl::StatusCode::kOk : absl::StatusCode::kFailedPrecondition);
    return std::string(opened.status().message());
  };
  chmod(path.c_str(), 0644);
  EXPECT_THAT(error(path), HasSubstr("it is not executable"));
  chmod(path.c_str(), 0755);
  EXPECT_EQ(error(path), "");
  chmod(path.c_str(), 0775);
  EXPECT_THAT(error(path), HasSubstr("/program can be written by its group or by others"));
  chmod(path.c_str(), 0755);
  chmod(scratch.path().c_str(), 0777);
  EXPECT_THAT(error(path), HasSubstr("can be written by its group or by others"));
  chmod(scratch.path().c_str(), 0755);
  std::filesystem::create_symlink(path, scratch.path() + "/link");
  EXPECT_THAT(error(scratch.path() + "/link"), HasSubstr("is a symbolic link"));
  EXPECT_THAT(error(scratch.path()), HasSubstr("it is no file"));
  EXPECT_THAT(error("program"), HasSubstr("the path is not absolute"));
  EXPECT_THAT(error(""), HasSubstr("the path is not absolute"));
  if (geteuid() == 0) {
    ASSERT_EQ(chown(path.c_str(), 65534, 0), 0);
    EXPECT_THAT(error(path), HasSubstr("belongs to user 65534, it must be root's or the store's"));
  }
}

}  // namespace
}  // namespace kvd::mapreduce
