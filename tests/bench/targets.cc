// The databases that can be asked: kvd by unary calls or through the SDK's Pipeline, and etcd.
#include "absl/strings/str_cat.h"
#include "kvd/v1/kv.grpc.pb.h"
#include "tests/bench/etcd.grpc.pb.h"
#include "tests/bench/pipeline_target.h"
#include "tests/bench/unary_target.h"

namespace kvd::bench {
namespace {

class UnaryKvd : public LoopTarget {
 public:
  explicit UnaryKvd(const TargetOptions& options) {
    for (auto& channel : Channels(options)) stubs_.push_back(v1::Kv::NewStub(channel));
  }

  void Issue(const Operation& op, Done done) override {
    v1::Kv::Stub* stub = stubs_[next_++ % stubs_.size()].get();
    switch (op.kind) {
      case Kind::kGet:
      case Kind::kStaleGet: return Get(stub, op, std::move(done));
      case Kind::kPut: return Put(stub, op, std::move(done));
      case Kind::kScan: return Scan(stub, op, std::move(done));
      default:
        return Get(stub, op, [this, stub, op, done = std::move(done)](bool ok, uint64_t) {
          if (!ok) return done(false, 0);
          Put(stub, op, done);
        });
    }
  }

 private:
  void Get(v1::Kv::Stub* stub, const Operation& op, Done done) {
    v1::GetRequest request;
    request.set_key(op.key);
    if (op.kind == Kind::kStaleGet) {
      request.mutable_read()->set_consistency(v1::ReadOptions::BOUNDED_STALE);
      request.mutable_read()->set_staleness_ms_max(10'000);
    }
    CallUnary<v1::GetResponse>(
        queue(),
        [&](auto* context, auto* queue) { return stub->AsyncGet(context, request, queue); },
        [done = std::move(done)](const grpc::Status& status, const v1::GetResponse& response) {
          done(status.ok(), response.found());
        });
  }
  void Put(v1::Kv::Stub* stub, const Operation& op, Done done) {
    v1::PutRequest request;
    request.set_key(op.key);
    request.set_value(op.value);
    CallUnary<v1::WriteResponse>(
        queue(),
        [&](auto* context, auto* queue) { return stub->AsyncPut(context, request, queue); },
        [done = std::move(done)](const grpc::Status& status, const v1::WriteResponse&) {
          done(status.ok(), 0);
        });
  }
  // A stream: read to its end.
  struct ScanCall : public CqTag {
    void Proceed(bool ok) override {
      if (finishing) {
        std::unique_ptr<ScanCall> self(this);
        return done(status.ok(), rows);
      }
      if (started && ok) rows += static_cast<uint64_t>(response.rows_size());
      started = true;
      if (ok) return reader->Read(&response, this);
      finishing = true;
      reader->Finish(&status, this);
    }
    grpc::ClientContext context;
    v1::ScanResponse response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncReader<v1::ScanResponse>> reader;
    Done done;
    bool started = false;
    bool finishing = false;
    uint64_t rows = 0;
  };
  void Scan(v1::Kv::Stub* stub, const Operation& op, Done done) {
    v1::ScanRequest request;
    request.mutable_range()->set_start(op.key);
    request.set_limit(op.rows);
    auto* call = new ScanCall;
    call->done = std::move(done);
    call->reader = stub->AsyncScan(&call->context, request, queue(), call);
  }

  std::vector<std::unique_ptr<v1::Kv::Stub>> stubs_;
  size_t next_ = 0;
};

class Etcd : public LoopTarget {
 public:
  explicit Etcd(const TargetOptions& options) {
    for (auto& channel : Channels(options)) stubs_.push_back(etcdserverpb::KV::NewStub(channel));
  }

  void Issue(const Operation& op, Done done) override {
    etcdserverpb::KV::Stub* stub = stubs_[next_++ % stubs_.size()].get();
    if (op.kind == Kind::kPut) return Put(stub, op, std::move(done));
    if (op.kind != Kind::kReadModifyWrite) return Range(stub, op, std::move(done));
    Range(stub, op, [this, stub, op, done = std::move(done)](bool ok, uint64_t) {
      if (!ok) return done(false, 0);
      Put(stub, op, done);
    });
  }

 private:
  void Range(etcdserverpb::KV::Stub* stub, const Operation& op, Done done) {
    etcdserverpb::RangeRequest request;
    request.set_key(op.key);
    request.set_serializable(op.kind == Kind::kStaleGet);
    if (op.kind == Kind::kScan) {
      request.set_range_end(std::string(1, '\0'));
      request.set_limit(op.rows);
    }
    CallUnary<etcdserverpb::RangeResponse>(
        queue(),
        [&](auto* context, auto* queue) { return stub->AsyncRange(context, request, queue); },
        [done = std::move(done)](const grpc::Status& status,
                                 const etcdserverpb::RangeResponse& response) {
          done(status.ok(), static_cast<uint64_t>(response.kvs_size()));
        });
  }
  void Put(etcdserverpb::KV::Stub* stub, const Operation& op, Done done) {
    etcdserverpb::PutRequest request;
    request.set_key(op.key);
    request.set_value(op.value);
    CallUnary<etcdserverpb::PutResponse>(
        queue(),
        [&](auto* context, auto* queue) { return stub->AsyncPut(context, request, queue); },
        [done = std::move(done)](const grpc::Status& status, const etcdserverpb::PutResponse&) {
          done(status.ok(), 0);
        });
  }

  std::vector<std::unique_ptr<etcdserverpb::KV::Stub>> stubs_;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Target>> MakeTarget(const TargetOptions& options) {
  if (options.kind == "kvd") return std::make_unique<UnaryKvd>(options);
  if (options.kind == "kvd-pipeline") return std::make_unique<PipelineKvd>(options);
  if (options.kind == "etcd") return std::make_unique<Etcd>(options);
  return absl::InvalidArgumentError(
      absl::StrCat("--target ", options.kind, " is not one of: kvd, kvd-pipeline, etcd"));
}

}  // namespace kvd::bench
