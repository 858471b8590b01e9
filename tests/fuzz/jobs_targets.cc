// What the jobs' machine reads: commands from its log, its own records.
#include <map>

#include "mapreduce/coordinator/machine.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "tests/fuzz/records.h"
#include "tests/fuzz/target.h"

namespace kvd::jobs {
namespace {

void DecodeRecord(std::string_view bytes) {
  if (auto ids = DecodeIds(bytes)) KVD_CHECK(DecodeIds(Encode(*ids)) == ids);
  if (auto job = DecodeJob(bytes)) KVD_CHECK(DecodeJob(Encode(*job)) == job);
  if (auto task = DecodeTask(bytes)) KVD_CHECK(DecodeTask(Encode(*task)) == task);
  if (auto spec = DecodeSpecRecord(bytes)) {
    KVD_CHECK(DecodeSpecRecord(EncodeSpecRecord(*spec)) == spec);
  }
  if (auto number = DecodeNumber(bytes)) KVD_CHECK(DecodeNumber(EncodeNumber(*number)) == number);
  (void)ParseRecordKey(bytes);
}

// A log of commands, whatever they are: each leaves the state whole, or nothing, and its records
// are all of the machine's own.
KVD_FUZZ_TARGET(jobs) {
  JobsMachine machine;
  fuzz::Records records;
  Reader r(input);
  for (uint64_t index = 1; r.ok() && !r.rest().empty(); ++index) {
    std::string_view bytes = r.Bytes();
    DecodeRecord(bytes);
    (void)DecodeResult(bytes);
    if (auto command = DecodeCommand(bytes); command.ok()) {
      auto again = DecodeCommand(Encode(*command));
      KVD_CHECK(again.ok() && *again == *command);
    }
    auto before = records.records;
    auto answer = machine.Apply(bytes, {Index(index), Timestamp(index << 30)}, &records);
    KVD_CHECK(answer.ok() ? DecodeResult(*answer).ok() : records.records == before);
    machine.state().CheckState();
    for (const auto& [key, value] : records.records) KVD_CHECK(ParseRecordKey(key).has_value());
  }
}

}  // namespace
}  // namespace kvd::jobs
