#include "mapreduce/worker/guest.h"

#include <unistd.h>

#include <cstdio>

#include "mapreduce/worker/sandbox.h"

namespace kvd::mapreduce {
namespace {

using wire::FrameType;
using wire::GroupItem;

[[noreturn]] void BadRequest() { _exit(kBadStore); }

// The store's version need not be ours: it is told which one is, and goes away.
bool Greet(GuestPort* port, uint32_t roles) {
  std::string_view payload;
  if (port->Read(&payload) != FrameType::kHello) BadRequest();
  Reader r(payload);
  if (r.Fixed32() != wire::kMagic) BadRequest();
  uint64_t version = r.Varint();
  std::string welcome;
  Writer w(&welcome);
  w.Fixed32(wire::kMagic);
  w.Varint(wire::kVersion);
  w.Varint(roles);
  port->Answer(FrameType::kWelcome, welcome);
  return r.ok() && version == wire::kVersion;
}

wire::Failure Partition(Guest* guest, GuestPort* port, std::string_view payload) {
  Reader r(payload);
  auto partitions = static_cast<uint32_t>(r.Varint());
  std::string answer;
  Writer w(&answer);
  for (uint64_t place = 1; r.ok() && !r.rest().empty(); ++place) {
    port->SetCurrent(place);
    uint32_t to = 0;
    if (auto failure = guest->PartitionOf(r.Bytes(), partitions, &to); failure.failed())
      return failure;
    w.Varint(to);
  }
  if (!r.ok()) BadRequest();
  port->Answer(FrameType::kPartitions, answer);
  return {};
}

wire::Failure Handle(Guest* guest, GuestPort* port, FrameType type, std::string_view payload) {
  wire::Failure failure;
  if (type == FrameType::kKeys) return Partition(guest, port, payload);
  if (type == FrameType::kRecords) {
    RecordStream records(payload, port);
    failure = guest->Map(&records);
  } else if (type == FrameType::kGroups) {
    GroupStream groups(payload, port);
    failure = guest->Reduce(&groups);
  } else if (type == FrameType::kFinish) {
    failure = guest->Finish();
  } else {
    BadRequest();
  }
  if (!failure.failed()) port->Answer(FrameType::kDone);
  return failure;
}

}  // namespace

bool RecordStream::Next(std::string_view* key, std::string_view* value) {
  if (in_.rest().empty()) return false;
  *key = in_.Bytes();
  *value = in_.Bytes();
  if (!in_.ok()) BadRequest();
  port_->SetCurrent(++place_);
  return true;
}

GroupItem GroupStream::NextItem() { return static_cast<GroupItem>(in_.Byte()); }

bool GroupStream::NextGroup(std::string_view* key) {
  // What the user has not taken; the store does not send the rest of a group that went on.
  while (in_group_ && !in_.rest().empty()) {
    GroupItem item = NextItem();
    if (item == GroupItem::kEnd) {
      in_group_ = false;
    } else if (item != GroupItem::kValue) {
      BadRequest();
    } else {
      (void)in_.Bytes();
    }
  }
  if (!in_.ok()) BadRequest();
  if (in_.rest().empty()) return false;
  if (NextItem() != GroupItem::kKey) BadRequest();
  key_ = in_.Bytes();
  if (!in_.ok()) BadRequest();
  *key = key_;
  in_group_ = true;
  port_->SetCurrent(++place_);
  return true;
}

bool GroupStream::NextValue(std::string_view* value) {
  if (!in_group_) return false;
  while (in_.rest().empty()) {
    port_->Answer(FrameType::kMore);
    std::string_view payload;
    if (port_->Read(&payload) != FrameType::kGroups) BadRequest();
    in_ = Reader(payload);
    place_ = 1;
    port_->SetCurrent(place_);
  }
  GroupItem item = NextItem();
  if (item == GroupItem::kEnd) {
    in_group_ = false;
    return false;
  }
  if (item != GroupItem::kValue) BadRequest();
  *value = in_.Bytes();
  if (!in_.ok()) BadRequest();
  return true;
}

int Serve(Guest* guest) {
  wire::Slot* slot = MapSlot();
  if (slot == nullptr) {
    std::fprintf(stderr, "this is a worker of kvd's: only a store can start it\n");
    return kBadUsage;
  }
  GuestPort port(slot);
  if (!Greet(&port, guest->roles())) return kOk;
  std::string_view payload;
  wire::Load load;
  if (port.Read(&payload) != FrameType::kLoad || !load.Decode(payload)) BadRequest();
  if (!EnterSandbox(slot)) return kNoSandbox;
  wire::Failure failure;
  if ((guest->roles() >> static_cast<uint32_t>(load.role) & 1) == 0) {
    failure = {wire::FailureKind::kCode,
               std::string("the worker has no function for ") + wire::NameOf(load.role)};
  } else {
    failure = guest->Start(load, &port);
  }
  if (!failure.failed()) port.Answer(FrameType::kLoaded);
  while (!failure.failed()) {
    FrameType type = port.Read(&payload);
    failure = Handle(guest, &port, type, payload);
  }
  port.Fail(failure);
  return kOk;
}

}  // namespace kvd::mapreduce
