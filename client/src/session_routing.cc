// Where a session sends what, and what it learns of that.
#include <algorithm>

#include "client/src/session_call.h"

namespace kvd::client {

bool IsLinearizable(const RequestItem& item) {
  if (item.has_locate()) return false;
  const v1::ReadOptions& read = item.has_get()    ? item.get().read()
                                : item.has_scan() ? item.scan().read()
                                                  : item.multi_get().read();
  return read.consistency() == v1::ReadOptions::LINEARIZABLE;
}

// To whoever should have it; else to anybody, who passes it on, and may say who has it.
std::string Session::AddressFor(Call& call) {
  std::string hint;
  hint.swap(call.hint);
  call.group = GroupId();
  if (!call.item.has_locate()) {
    const std::string& key = RoutingKey(call.item);
    call.group = ranges_.GroupOf(key);
    if (!call.group || StoresAreOld()) Locate(key);
  }
  if (!hint.empty()) return hint;
  std::string leader = call.group ? ranges_.LeaderOf(call.group) : "";
  if (!leader.empty()) return leader;
  if (!leader_.empty()) return leader_;
  // They take turns apart: with one locate for each attempt, every other store would never be
  // asked.
  if (call.item.has_locate()) return addresses_[++locates_ % addresses_.size()];
  return NextAddress();
}

void Session::Locate(const std::string& key) {
  if (locating_) return;
  locating_ = true;
  RequestItem item;
  item.mutable_locate()->set_start(key);
  if (StoresAreOld()) {
    item.mutable_locate()->set_stores(true);
    stores_at_ = loop_->Now();
  }
  Submit(std::move(item), loop_->Now() + options_.attempt_timeout, [this](const auto& answer) {
    locating_ = false;
    if (!answer.ok()) return;
    NoteLocated(answer->locate());
    // By now it is known which groups they wait for.
    if (!wait_for_token_.empty()) FetchTokens();
  });
}

// Those that were given stay: they may be names of whatever is there.
void Session::NoteLocated(const v1::LocateResponse& located) {
  ranges_.Take(located);
  if (located.store_addresses().empty()) return;
  addresses_ = options_.addresses;
  for (const std::string& address : located.store_addresses()) NoteAddress(address);
}

void Session::NoteAddress(const std::string& address) {
  if (std::find(addresses_.begin(), addresses_.end(), address) == addresses_.end())
    addresses_.push_back(address);
}

// Who executed it says whether it was meant for the right group.
void Session::NoteGroup(const Call& call, GroupId group, const std::string& leader) {
  if (call.item.has_locate() || call.item.has_multi_get() || call.item.has_scan()) return;
  // Of a read that any replica may answer it tells the group, not who leads it.
  if (!call.read || IsLinearizable(call.item)) ranges_.NoteLeader(group, leader);
  if (!call.group || call.group == group) return;
  ranges_.Forget(RoutingKey(call.item));
  Locate(RoutingKey(call.item));
}

}  // namespace kvd::client
