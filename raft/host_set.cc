#include "raft/host_set.h"

#include "proto/check.h"

namespace kvd::raft {

// Hands what a host sends over to the transport's loop.
class HostSet::LoopTransport : public Transport {
 public:
  LoopTransport(Loop* loop, Transport* transport) : loop_(loop), transport_(transport) {}

  void Send(StoreId to, std::vector<GroupMessage> messages) override {
    loop_->Post([this, to, messages = std::move(messages)]() mutable {
      transport_->Send(to, std::move(messages));
    });
  }
  void SendChunk(StoreId to, SnapshotChunk chunk) override {
    loop_->Post([this, to, chunk = std::move(chunk)]() mutable {
      transport_->SendChunk(to, std::move(chunk));
    });
  }
  void SendAck(StoreId to, SnapshotAck ack) override {
    loop_->Post([this, to, ack] { transport_->SendAck(to, ack); });
  }

 private:
  Loop* const loop_;
  Transport* const transport_;
};

HostSet::HostSet(std::vector<Loop*> loops, LogStore* log_store, Transport* transport,
                 const HostOptions& options) {
  KVD_CHECK(!loops.empty());
  places_.resize(loops.size());
  for (size_t i = 0; i < loops.size(); ++i) {
    Place& place = places_[i];
    place.loop = loops[i];
    if (i > 0) place.transport = std::make_unique<LoopTransport>(loops[0], transport);
    Transport* way = i > 0 ? place.transport.get() : transport;
    place.host = std::make_unique<Host>(place.loop, log_store, way, options);
  }
}

HostSet::~HostSet() = default;

template <class F>
void HostSet::On(size_t i, F f) {
  Place& place = places_[i];
  if (i == 0) {
    if (place.host != nullptr) f(*place.host);
    return;
  }
  place.loop->Post([&place, f = std::move(f)]() mutable {
    if (place.host != nullptr) f(*place.host);
  });
}

void HostSet::OnMessages(std::vector<GroupMessage> messages) {
  std::vector<std::vector<GroupMessage>> parts(places_.size());
  if (places_.size() == 1) {
    parts[0] = std::move(messages);
  } else {
    for (GroupMessage& m : messages) parts[IndexOf(m.group)].push_back(std::move(m));
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].empty()) continue;
    On(i, [part = std::move(parts[i])](Host& host) mutable { host.OnMessages(std::move(part)); });
  }
}

void HostSet::OnChunk(StoreId from, SnapshotChunk chunk) {
  size_t i = IndexOf(chunk.group);
  On(i, [from, chunk = std::move(chunk)](Host& host) mutable {
    host.OnChunk(from, std::move(chunk));
  });
}

void HostSet::OnAck(SnapshotAck ack) {
  On(IndexOf(ack.group), [ack](Host& host) { host.OnAck(ack); });
}

}  // namespace kvd::raft
