#include "tests/sim/sim_network.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proto/error.h"

namespace kvd::sim {

std::string AddressOf(Node store) { return absl::StrCat("store-", store, ":1"); }

Node NodeAt(const std::string& address) {
  absl::string_view text = address;
  Node node = 0;
  if (!absl::ConsumePrefix(&text, "store-") || !absl::ConsumeSuffix(&text, ":1")) return 0;
  return absl::SimpleAtoi(text, &node) ? node : 0;
}

Duration SimNetwork::Delay() {
  Random& random = scheduler_->random();
  if (random.Chance(faults.late_chance)) {
    ++late;
    return Duration(
        static_cast<int64_t>(random.Below(static_cast<uint64_t>(faults.late_max.count()))));
  }
  auto spread = static_cast<uint64_t>((faults.delay_max - faults.delay_min).count());
  return faults.delay_min + Duration(static_cast<int64_t>(random.Below(spread + 1)));
}

void SimNetwork::Carry(Node from, Node to, bool may_double, const std::function<void()>& arrive) {
  Random& random = scheduler_->random();
  ++carried;
  int copies = may_double && random.Chance(faults.duplication) ? 2 : 1;
  if (copies == 2) ++doubled;
  for (int i = 0; i < copies; ++i) {
    if (IsCut(from, to) || random.Chance(faults.loss)) {
      ++lost;
      continue;
    }
    scheduler_->After(Delay(), [this, from, to, arrive] {
      // A cut also swallows what is on its way.
      if (!IsCut(from, to)) arrive();
    });
  }
}

void SimTransport::Send(StoreId to, std::vector<raft::GroupMessage> messages) {
  for (raft::GroupMessage& message : messages) {
    network_->Carry(self_.value(), to.value(), /*may_double=*/true,
                    [network = network_, to, message = std::move(message)] {
                      auto& endpoint = network->endpoints[to.value()];
                      if (endpoint.on_messages) endpoint.on_messages({message});
                    });
  }
}

void SimTransport::SendChunk(StoreId to, raft::SnapshotChunk chunk) {
  network_->Carry(self_.value(), to.value(), true,
                  [network = network_, self = self_, to, chunk = std::move(chunk)] {
                    auto& endpoint = network->endpoints[to.value()];
                    if (endpoint.on_chunk) endpoint.on_chunk(self, chunk);
                  });
}

void SimTransport::SendAck(StoreId to, raft::SnapshotAck ack) {
  network_->Carry(self_.value(), to.value(), true, [network = network_, to, ack] {
    auto& endpoint = network->endpoints[to.value()];
    if (endpoint.on_ack) endpoint.on_ack(ack);
  });
}

// Whichever comes first, the answer or the timeout.
template <class Answer>
void SimCaller::Ask(
    const std::string& address, Duration timeout, std::function<void(absl::StatusOr<Answer>)> done,
    std::function<bool(SimNetwork::Endpoint*, std::function<void(absl::StatusOr<Answer>)>)>
        arrive) {
  struct State {
    std::function<void(absl::StatusOr<Answer>)> done;
    std::unique_ptr<Timer> timer;
  };
  auto state = std::make_shared<State>();
  state->done = std::move(done);
  std::function<void(absl::StatusOr<Answer>)> finish = [state](absl::StatusOr<Answer> answer) {
    if (!state->done) return;
    auto done = std::move(state->done);
    state->done = nullptr;
    done(std::move(answer));
  };
  state->timer =
      loop_->After(timeout, [finish] { finish(OutcomeUnknownError("the call timed out")); });
  Node to = network_->Reached(NodeAt(address));
  auto alive = std::weak_ptr<bool>(alive_);
  network_->Carry(self_, to, false,
                  [alive, to, arrive = std::move(arrive), finish, network = network_, self = self_,
                   loop = loop_] {
                    std::function<void(absl::StatusOr<Answer>)> answer =
                        [network, to, self, alive, loop, finish](absl::StatusOr<Answer> told) {
                          network->Carry(to, self, false, [alive, loop, finish, told] {
                            if (alive.expired()) return;
                            loop->Post([finish, told] { finish(told); });
                          });
                        };
                    // Refused by a machine whose process is down: the caller learns it.
                    if (!arrive(&network->endpoints[to], answer))
                      answer(absl::UnavailableError("connection refused"));
                  });
}

void SimCaller::Call(const std::string& address, client::RequestItem item, Duration timeout,
                     std::function<void(absl::StatusOr<client::ResponseItem>)> done) {
  Ask<client::ResponseItem>(
      address, timeout, std::move(done),
      [item = std::move(item)](SimNetwork::Endpoint* there, auto answer) {
        if (!there->on_request) return false;
        there->on_request(item, [answer](service::ResponseItem out) { answer(std::move(out)); });
        return true;
      });
}

void SimCaller::Call(const std::string& address, internal::v1::StoreRequest request,
                     Duration timeout, node::StoreDone done) {
  Ask<internal::v1::StoreResponse>(
      address, timeout, std::move(done),
      [request = std::move(request)](SimNetwork::Endpoint* there, auto answer) {
        if (!there->on_store_request) return false;
        there->on_store_request(request, std::move(answer));
        return true;
      });
}

void SimCaller::Forward(const std::string& address, service::RequestItem item,
                        std::function<void(absl::StatusOr<service::ResponseItem>)> done) {
  Call(address, std::move(item), milliseconds(2000), std::move(done));
}

}  // namespace kvd::sim
