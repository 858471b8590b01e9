// The shortcut of the exactly-once rule (design, 6): which writes are certainly new, without a
// look-up in the history. It never changes an answer, only its cost. Pure; owned by one group.
#pragma once

#include <cstddef>
#include <list>

#include "absl/container/flat_hash_map.h"
#include "server/storage/version.h"

namespace kvd::shard {

class WriterTable {
 public:
  explicit WriterTable(size_t clients_max = 100'000) : clients_max_(clients_max) {}

  // Whether no earlier attempt of this write can have been applied.
  bool IsNew(const storage::WriterId& writer, Timestamp token) const {
    if (token < complete_since_) return false;
    auto it = clients_.find(writer.client);
    return it == clients_.end() || writer.sequence > it->second->sequence;
  }

  // A write was applied at group time `now`.
  void Note(const storage::WriterId& writer, Timestamp now) {
    auto it = clients_.find(writer.client);
    if (it != clients_.end()) {
      it->second->sequence = std::max(it->second->sequence, writer.sequence);
      recent_.splice(recent_.begin(), recent_, it->second);
      return;
    }
    if (clients_.size() == clients_max_) {
      clients_.erase(recent_.back().client);
      recent_.pop_back();
      complete_since_ = std::max(complete_since_, now);
    }
    recent_.push_front(writer);
    clients_[writer.client] = recent_.begin();
  }

  // Forgets everything: what was applied up to `now` may be missing from here on.
  void Restart(Timestamp now) {
    clients_.clear();
    recent_.clear();
    complete_since_ = now;
  }

  Timestamp complete_since() const { return complete_since_; }
  size_t size() const { return clients_.size(); }

 private:
  const size_t clients_max_;
  // Since when the table has missed nothing.
  Timestamp complete_since_;
  std::list<storage::WriterId> recent_;  // most recently used first; its highest sequence
  absl::flat_hash_map<ClientId, std::list<storage::WriterId>::iterator> clients_;
};

}  // namespace kvd::shard
