// What the controller reads: commands from its log, its own records.
#include <map>
#include <optional>

#include "proto/check.h"
#include "proto/codec.h"
#include "shardctrler/machine.h"
#include "tests/fuzz/records.h"
#include "tests/fuzz/target.h"

namespace kvd::shardctrler {
namespace {

void DecodeRecord(std::string_view bytes) {
  if (auto ids = DecodeIds(bytes)) KVD_CHECK(DecodeIds(Encode(*ids)) == ids);
  if (auto store = DecodeStore(bytes)) KVD_CHECK(DecodeStore(Encode(*store)) == store);
  if (auto group = DecodeGroup(bytes)) KVD_CHECK(DecodeGroup(Encode(*group)) == group);
  if (auto shard = DecodeShard(bytes)) KVD_CHECK(DecodeShard(Encode(*shard)) == shard);
  if (auto o = DecodeOperation(bytes)) KVD_CHECK(DecodeOperation(Encode(*o)) == o);
  if (auto number = DecodeNumber(bytes)) KVD_CHECK(DecodeNumber(EncodeNumber(*number)) == number);
}

// A log of commands, whatever they are: each leaves the state whole, or nothing.
KVD_FUZZ_TARGET(controller) {
  Machine machine;
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
    auto answer = machine.Apply(bytes, {Index(index), Timestamp(index * 10)}, &records);
    KVD_CHECK(answer.ok() ? DecodeResult(*answer).ok() : records.records == before);
    machine.state().CheckState();
  }
}

}  // namespace
}  // namespace kvd::shardctrler
