// The groups of a store spread over a few loops: a host on each, one transport and one log store
// for all. A group stays on its loop; what comes for it from the transport is handed over there.
#pragma once

#include <memory>
#include <vector>

#include "raft/host.h"

namespace kvd::raft {

class HostSet : public TransportHandler {
 public:
  // The transport lives on loops[0], and so does this set, except where noted. Everything given
  // outlives it. Requires: at least one loop, none of them running yet, or this being its thread.
  HostSet(std::vector<Loop*> loops, LogStore* log_store, Transport* transport,
          const HostOptions& options);
  ~HostSet() override;

  size_t size() const { return places_.size(); }
  // Where a group lives. Thread-safe; the host itself belongs to its loop.
  Loop* LoopOf(GroupId group) const { return PlaceOf(group).loop; }
  Host* HostOf(GroupId group) const { return PlaceOf(group).host.get(); }

  // Ends the host on loop `i`, answering what still waits. On that loop.
  void Stop(size_t i) { places_[i].host.reset(); }

  void OnMessages(std::vector<GroupMessage> messages) override;
  void OnChunk(StoreId from, SnapshotChunk chunk) override;
  void OnAck(SnapshotAck ack) override;

 private:
  class LoopTransport;
  struct Place {
    Loop* loop;
    std::unique_ptr<LoopTransport> transport;  // none on the transport's own loop
    std::unique_ptr<Host> host;                // null once stopped
  };

  size_t IndexOf(GroupId group) const { return group.value() % places_.size(); }
  const Place& PlaceOf(GroupId group) const { return places_[IndexOf(group)]; }
  // Runs `f(host)` on the loop of place `i`, unless the host has stopped.
  template <class F>
  void On(size_t i, F f);

  std::vector<Place> places_;
};

}  // namespace kvd::raft
