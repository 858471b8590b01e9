// Requests over the SDK's Pipeline streams, which batch by themselves.
#pragma once

#include <future>
#include <memory>
#include <vector>

#include "client/src/convert.h"
#include "client/src/grpc_network.h"
#include "proto/check.h"
#include "tests/bench/unary_target.h"

namespace kvd::bench {

// The SDK's inside: a session a connection, all on this target's loop, where the public client has
// a thread each.
class PipelineKvd : public LoopTarget {
 public:
  explicit PipelineKvd(const TargetOptions& options) {
    // A session draws from the loop's randomness.
    Post([this, options] {
      for (int i = 0; i < options.connections; ++i) {
        Connection& connection = connections_.emplace_back();
        connection.network = std::make_unique<client::GrpcNetwork>(loop());
        connection.session = std::make_unique<client::Session>(
            loop(), connection.network.get(),
            client::SessionOptions{.addresses = options.addresses});
      }
    });
  }
  ~PipelineKvd() override {
    std::promise<void> ended;
    Post([&] {
      for (Connection& connection : connections_) {
        connection.session->FailAll();
        connection.network->Stop();
      }
      connections_.clear();
      ended.set_value();
    });
    ended.get_future().wait();
  }

  void Issue(const Operation& op, Done done) override {
    client::Session* session = connections_[next_++ % connections_.size()].session.get();
    switch (op.kind) {
      case Kind::kGet: return Get(session, op, {}, std::move(done));
      case Kind::kStaleGet:
        return Get(session, op, {.consistency = Consistency::kBoundedStale}, std::move(done));
      case Kind::kPut: return Put(session, op, std::move(done));
      case Kind::kScan: KVD_CHECK(false);  // scans have streams of their own: refused at start
      default:
        return Get(session, op, {}, [this, session, op, done = std::move(done)](bool ok, uint64_t) {
          if (!ok) return done(false, 0);
          Put(session, op, done);
        });
    }
  }

 private:
  struct Connection {
    std::unique_ptr<client::GrpcNetwork> network;
    std::unique_ptr<client::Session> session;
  };

  MonotonicTime Deadline() { return loop()->Now() + ClientOptions().deadline; }
  void Get(client::Session* session, const Operation& op, const ReadOptions& options, Done done) {
    session->Submit(client::GetItem(op.key, options), Deadline(),
                    [key = op.key, done = std::move(done)](auto answer) {
                      auto value = client::GetAnswer(key, std::move(answer));
                      done(value.ok(), value.ok() && value->has_value());
                    });
  }
  void Put(client::Session* session, const Operation& op, Done done) {
    session->Submit(
        client::PutItem(op.key, op.value, {}), Deadline(),
        [done = std::move(done)](auto answer) { done(client::WriteAnswer(answer).ok(), 0); });
  }

  std::vector<Connection> connections_;
  size_t next_ = 0;
};

}  // namespace kvd::bench
