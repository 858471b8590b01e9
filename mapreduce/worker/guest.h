// What a worker process runs, as its main loop sees it: a Lua script (lua_guest.h), or functions of
// a native worker (kvd/mapreduce.h). Serve() speaks the protocol and holds the sandbox.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mapreduce/worker/guest_port.h"
#include "mapreduce/worker/protocol.h"

namespace kvd::mapreduce {

// The records of one request. Each step tells the store, through the slot, which one is at work.
class RecordStream {
 public:
  RecordStream(std::string_view payload, GuestPort* port) : in_(payload), port_(port) {}
  // False: there are no more. Ends the process if the payload is malformed.
  bool Next(std::string_view* key, std::string_view* value);

 private:
  Reader in_;
  GuestPort* const port_;
  uint64_t place_ = 0;
};

// The groups of one request, and of those that it is continued by.
class GroupStream {
 public:
  GroupStream(std::string_view payload, GuestPort* port) : in_(payload), port_(port) {}
  // Goes to the next group, over what is left of the one before. The key is valid until the next
  // call.
  bool NextGroup(std::string_view* key);
  // The group's next value, valid until the next one is asked for; more are fetched from the store
  // if need be. False: there are no more.
  bool NextValue(std::string_view* value);

 private:
  wire::GroupItem NextItem();

  Reader in_;
  GuestPort* const port_;
  std::string key_;
  bool in_group_ = false;
  uint64_t place_ = 0;
};

// One task's user code. Failures end the attempt: nothing more is asked then.
class Guest {
 public:
  virtual ~Guest() = default;
  // Roles that it may have, a bit each.
  virtual uint32_t roles() const = 0;
  virtual wire::Failure Start(const wire::Load& load, GuestPort* port) = 0;
  virtual wire::Failure Map(RecordStream* records) = 0;
  // Also combines.
  virtual wire::Failure Reduce(GroupStream* groups) = 0;
  virtual wire::Failure PartitionOf(std::string_view key, uint32_t partitions, uint32_t* to) = 0;
  virtual wire::Failure Finish() = 0;
};

// Makes the process a worker: greets the store, enters the sandbox (sandbox.h) and answers requests
// until the store closes the socket. Returns only to say with what the process should exit.
int Serve(Guest* guest);

}  // namespace kvd::mapreduce
