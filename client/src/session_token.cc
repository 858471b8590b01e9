// The token that a client's writes need, when it has none that is fresh: any linearizable read
// tells the clock of its group.
#include "absl/strings/str_cat.h"
#include "client/src/session_call.h"
#include "proto/limits.h"

namespace kvd::client {
namespace {

// Where the write goes, but no value comes back: the next key there can be.
std::string KeyBeside(const RequestItem& write) {
  std::string key = RoutingKey(write);
  if (key.size() < kKeyBytesMax) key.push_back('\0');
  return key;
}

}  // namespace

void Session::NoteToken(Timestamp token, bool fresh) {
  token_ = std::max(token_, token);
  if (fresh) token_at_ = loop_->Now();
}

// Each write's own group is asked, and once only: so one that does not answer holds up nobody
// else's writes.
void Session::FetchTokenFor(uint64_t write) {
  std::string key = KeyBeside(calls_.at(write)->item);
  GroupId group = ranges_.GroupOf(key);
  if (token_fetches_.contains(group)) return;
  token_fetches_[group] = next_call_;
  RequestItem item;
  item.mutable_get()->set_key(std::move(key));
  Submit(std::move(item), loop_->Now() + std::chrono::seconds(10),
         [this, group, write](const auto& told) {
           token_fetches_.erase(group);
           if (told.ok()) return SendWaiting();
           RefuseWaiting(group, write, told.status());
           FetchTokens();
         });
}

// A definite refusal is that of the writes it was asked for; else they wait on.
void Session::RefuseWaiting(GroupId group, uint64_t write, const absl::Status& why) {
  for (uint64_t id : std::vector<uint64_t>(wait_for_token_)) {
    auto waiting = calls_.find(id);
    if (waiting == calls_.end() || waiting->second->attempt > 0) continue;
    if (id != write && ranges_.GroupOf(KeyBeside(waiting->second->item)) != group) continue;
    if (absl::IsDeadlineExceeded(why)) {
      waiting->second->last_error = std::string(why.message());
    } else {
      Finish(id, why);
    }
  }
}

// Also for those of whom it is known only now where they go.
void Session::FetchTokens() {
  std::erase_if(wait_for_token_, [this](uint64_t id) { return !calls_.contains(id); });
  // An answer may come at once, and set them free.
  for (uint64_t id : std::vector<uint64_t>(wait_for_token_)) {
    auto waiting = calls_.find(id);
    if (waiting != calls_.end() && waiting->second->attempt == 0) FetchTokenFor(id);
  }
}

void Session::SendWaiting() {
  std::vector<uint64_t> waiting;
  waiting.swap(wait_for_token_);
  for (uint64_t id : waiting) {
    if (calls_.contains(id)) Send(id);
  }
}

absl::Status Session::UnsentWrite(const Call& call) const {
  std::string why = call.last_error;
  for (GroupId group : {ranges_.GroupOf(KeyBeside(call.item)), GroupId()}) {
    auto fetch = token_fetches_.find(group);
    if (fetch == token_fetches_.end() || !calls_.contains(fetch->second)) continue;
    const std::string& last = calls_.at(fetch->second)->last_error;
    if (last.empty()) continue;
    why = last;
    break;
  }
  return absl::DeadlineExceededError(absl::StrCat("no store answered in time; nothing was sent",
                                                  why.empty() ? "" : "; last: ", why));
}

}  // namespace kvd::client
