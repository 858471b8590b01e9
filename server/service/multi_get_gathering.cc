// A multi-get whose keys several groups own: each is asked for its own, and those that answered as
// of an earlier timestamp than another once more, so that all is as it was at one instant (design,
// 6).
#include <algorithm>
#include <map>
#include <memory>

#include "proto/fault_point.h"
#include "proto/limits.h"
#include "server/service/dispatcher.h"
#include "server/service/request_keys.h"

namespace kvd::service {

class Dispatcher::MultiGetGathering : public std::enable_shared_from_this<MultiGetGathering> {
 public:
  MultiGetGathering(Dispatcher* dispatcher, RequestPtr request)
      : dispatcher_(dispatcher), request_(std::move(request)) {
    answers_.resize(static_cast<size_t>(request_->item.multi_get().keys_size()));
  }

  // Keys by their places in the request.
  void Add(GroupId group, int place) { parts_[group].places.push_back(place); }

  void Start() {
    std::vector<Part*> all;
    for (auto& [group, part] : parts_) all.push_back(&part);
    Ask(all, request_->item.multi_get().read());
  }

 private:
  struct Part {
    std::vector<int> places;
    Timestamp at;
  };

  void Ask(const std::vector<Part*>& parts, const v1::ReadOptions& read) {
    waits_ = parts.size();
    const v1::MultiGetRequest& whole = request_->item.multi_get();
    for (Part* part : parts) {
      RequestItem item;
      auto* get = item.mutable_multi_get();
      *get->mutable_header() = whole.header();
      *get->mutable_read() = read;
      for (int place : part->places) get->add_keys(whole.keys(place));
      auto asked = std::make_shared<Request>();
      asked->key = RoutingKey(item);
      asked->item = std::move(item);
      asked->hops = request_->hops - 1;
      asked->done = [self = shared_from_this(), part](ResponseItem out) {
        self->OnAnswer(part, std::move(out));
      };
      dispatcher_->Dispatch(asked);
    }
  }

  void OnAnswer(Part* part, ResponseItem out) {
    bool whole = static_cast<size_t>(out.multi_get().items_size()) == part->places.size();
    if (!out.has_error() && !whole)
      SetError(absl::InternalError("a store answered for other keys than it was asked for"), &out);
    if (out.has_error()) {
      if (!failed_.has_error()) failed_ = std::move(out);
    } else {
      auto* items = out.mutable_multi_get()->mutable_items();
      part->at = Timestamp(out.multi_get().read_timestamp());
      for (size_t i = 0; i < part->places.size(); ++i) {
        answers_[static_cast<size_t>(part->places[i])].Swap(&(*items)[static_cast<int>(i)]);
      }
      header_ = out.multi_get().header();
    }
    if (--waits_ == 0) Gathered();
  }

  void Gathered() {
    if (failed_.has_error()) return Finish(std::move(failed_));
    Timestamp at;
    for (const auto& [group, part] : parts_) at = std::max(at, part.at);
    std::vector<Part*> behind;
    for (auto& [group, part] : parts_) {
      if (part.at != at) behind.push_back(&part);
    }
    // Each replica that may be stale has a state of its own, whatever the timestamp.
    bool stale = request_->item.multi_get().read().consistency() == v1::ReadOptions::BOUNDED_STALE;
    if (!behind.empty() && !stale) {
      KVD_FAULT_POINT(kGathersAgain);
      v1::ReadOptions read = request_->item.multi_get().read();
      read.set_consistency(v1::ReadOptions::SNAPSHOT);
      read.set_timestamp(at.value());
      return Ask(behind, read);
    }
    ResponseItem out;
    auto* response = out.mutable_multi_get();
    *response->mutable_header() = header_;
    response->mutable_header()->set_token(at.value());
    response->set_read_timestamp(at.value());
    size_t bytes = 0;
    for (auto& answer : answers_) {
      bytes += answer.version().value().size();
      response->add_items()->Swap(&answer);
    }
    if (bytes > kRequestBytesMax) {
      SetError(LimitError("response (ask for fewer keys)", kRequestBytesMax, bytes, "bytes"), &out);
    }
    Finish(std::move(out));
  }

  void Finish(ResponseItem out) {
    out.set_id(request_->item.id());
    request_->done(std::move(out));
  }

  Dispatcher* const dispatcher_;
  const RequestPtr request_;
  std::map<GroupId, Part> parts_;
  std::vector<v1::MultiGetResponse::Item> answers_;
  v1::ResponseHeader header_;
  ResponseItem failed_;
  size_t waits_ = 0;
};

bool Dispatcher::Gather(const RequestPtr& request, const Route& route) {
  if (!request->item.has_multi_get() || request->hops == 0) return false;
  const auto& keys = request->item.multi_get().keys();
  std::vector<GroupId> groups;
  bool several = false;
  for (const std::string& key : keys) {
    groups.push_back(router_->Find(key).group);
    several = several || groups.back() != route.group;
  }
  if (!several) return false;
  auto gathering = std::make_shared<MultiGetGathering>(this, request);
  for (int i = 0; i < keys.size(); ++i) gathering->Add(groups[static_cast<size_t>(i)], i);
  gathering->Start();
  return true;
}

}  // namespace kvd::service
