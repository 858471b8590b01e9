#include "server/node/group_caller.h"

#include "absl/strings/str_cat.h"

namespace kvd::node {

void GroupCaller::ToStore(StoreId store, wire::StoreRequest request, Duration timeout,
                          StoreDone done) {
  request.set_cluster_id(cluster_.value());
  request.set_store_id(store.value());
  auto guarded = [alive = std::weak_ptr<bool>(alive_),
                  done = std::move(done)](absl::StatusOr<wire::StoreResponse> answer) {
    if (!alive.expired()) done(std::move(answer));
  };
  if (store == self_) {
    loop_->Post([this, alive = std::weak_ptr<bool>(alive_), request = std::move(request),
                 guarded = std::move(guarded)]() mutable {
      if (!alive.expired()) here_(std::move(request), std::move(guarded));
    });
    return;
  }
  std::string address = routing_->AddressOf(store);
  if (address.empty()) {
    return guarded(
        absl::UnavailableError(absl::StrCat("where store ", store.value(), " is is not known")));
  }
  caller_->Call(address, std::move(request), timeout, std::move(guarded));
}

void GroupCaller::ToLeader(GroupId group, wire::StoreRequest request, Duration timeout,
                           StoreDone done, bool once) {
  auto search = std::make_shared<Search>();
  search->group = group;
  search->request = std::move(request);
  search->timeout = timeout;
  search->done = std::move(done);
  search->once = once;
  search->last =
      absl::UnavailableError(absl::StrCat("where group ", group.value(), " is is not known"));
  Try(search);
}

// Each store once: where it was said to be, where it is believed to be, whoever has a replica; and
// then any other one, which may know more, as all have moved while this store was away.
StoreId GroupCaller::NextFor(const Search& search) const {
  std::vector<StoreId> candidates = {search.hint, leader_here_(search.group),
                                     routing_->LeaderOf(search.group)};
  auto members = routing_->groups().find(search.group);
  if (members != routing_->groups().end()) {
    for (const client::Routing::Member& m : members->second) candidates.push_back(m.store);
  }
  const auto& stores = routing_->stores();
  auto next = stores.upper_bound(self_);
  for (size_t i = 0; i < stores.size(); ++i, ++next) {
    if (next == stores.end()) next = stores.begin();
    if (!next->second.gone) candidates.push_back(next->first);
  }
  for (StoreId store : candidates) {
    if (store && !search.asked.contains(store)) return store;
  }
  return StoreId();
}

void GroupCaller::Try(const std::shared_ptr<Search>& search) {
  constexpr int kUnreachableMax = 2;
  constexpr size_t kAskedMax = 12;
  StoreId store = NextFor(*search);
  if (!store || search->unreachable >= kUnreachableMax || search->asked.size() >= kAskedMax)
    return search->done(search->last);
  search->asked.insert(store);
  ToStore(store, search->request, search->timeout,
          [this, search, store](absl::StatusOr<wire::StoreResponse> answer) {
            if (answer.ok()) {
              routing_->NoteLeader(search->group, store);
              return search->done(std::move(answer));
            }
            ErrorInfo info = InfoOf(answer.status());
            bool elsewhere = info.kind == ErrorKind::kNotLeader;
            bool lost =
                info.kind == ErrorKind::kOutcomeUnknown ||
                (info.kind == ErrorKind::kNone && (absl::IsUnavailable(answer.status()) ||
                                                   absl::IsDeadlineExceeded(answer.status())));
            if (!elsewhere && (!lost || search->once)) return search->done(std::move(answer));
            search->last = answer.status();
            search->hint = info.leader;
            if (lost) ++search->unreachable;
            if (info.leader) routing_->NoteAddress(info.leader, info.leader_address);
            routing_->NoteUnhelpful(search->group, store);
            Try(search);
          });
}

}  // namespace kvd::node
