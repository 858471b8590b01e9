// What a client takes from a store over gRPC itself: streams of a scan, answers of the Cluster
// service.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_builder.h>

#include <deque>
#include <utility>

#include "client/src/cluster_client.h"
#include "kvd/client.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "raft/runtime/mutex.h"
#include "tests/fuzz/target.h"

namespace kvd::client {
namespace {

// What one call is answered with.
struct Script {
  std::deque<std::string> messages;
  grpc::Status status;
};

// A server that answers every call as the input says; once that is used up, with DATA_LOSS, after
// which no client asks again. Lives as long as the program.
class ScriptedServer : public grpc::CallbackGenericService {
 public:
  static ScriptedServer& Get() {
    static auto* server = new ScriptedServer();
    return *server;
  }

  const std::string& address() const { return address_; }
  void SetScripts(std::deque<Script> scripts) {
    MutexLock lock(&mutex_);
    scripts_ = std::move(scripts);
  }

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    MutexLock lock(&mutex_);
    Script script{{}, grpc::Status(grpc::StatusCode::DATA_LOSS, "no more")};
    if (!scripts_.empty()) {
      script = std::move(scripts_.front());
      scripts_.pop_front();
    }
    return new Call(std::move(script));
  }

 private:
  class Call : public grpc::ServerGenericBidiReactor {
   public:
    explicit Call(Script script) : script_(std::move(script)) { Next(); }
    void OnWriteDone(bool ok) override { ok ? Next() : Finish(script_.status); }
    void OnDone() override { delete this; }

   private:
    void Next() {
      if (script_.messages.empty()) return Finish(script_.status);
      grpc::Slice slice(script_.messages.front());
      script_.messages.pop_front();
      bytes_ = grpc::ByteBuffer(&slice, 1);
      StartWrite(&bytes_);
    }

    Script script_;
    grpc::ByteBuffer bytes_;
  };

  ScriptedServer() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
    KVD_CHECK(server_ != nullptr);
    address_ = "127.0.0.1:" + std::to_string(port);
  }

  std::string address_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  std::deque<Script> scripts_ ABSL_GUARDED_BY(mutex_);
};

std::deque<Script> TakeScripts(Reader& r) {
  std::deque<Script> scripts;
  while (scripts.size() < 4 && r.ok() && !r.rest().empty()) {
    Script& script = scripts.emplace_back();
    for (int n = r.Byte() % 4; n > 0; --n) script.messages.emplace_back(r.Bytes());
    auto code = static_cast<grpc::StatusCode>(r.Byte() % 17);
    if (code == grpc::StatusCode::OK) continue;
    std::string text(r.Bytes());
    script.status = grpc::Status(code, text, std::string(r.Bytes()));
  }
  return scripts;
}

// Every scan comes to an end, with no more rows than were asked for.
void Scan(Reader& r) {
  static auto* client = [] {
    ClientOptions options;
    options.addresses = {ScriptedServer::Get().address()};
    return Client::Connect(options)->release();
  }();
  uint8_t kind = r.Byte();
  ScanOptions options;
  options.limit = kind % 3;
  options.reverse = (kind & 4) != 0;
  options.keys_only = (kind & 8) != 0;
  options.count_only = (kind & 16) != 0;
  options.read.deadline = std::chrono::milliseconds(100);
  ScriptedServer::Get().SetScripts(TakeScripts(r));
  auto scanner = client->Scan(options);
  uint64_t rows = 0;
  while (scanner->Next()) ++rows;
  KVD_CHECK(options.limit == 0 || rows <= options.limit);
  KVD_CHECK(options.count_only || scanner->count() == rows);
  KVD_CHECK(!scanner->Next());
  (void)scanner->status().ToString();
}

void AskCluster(Reader& r) {
  ClusterClient cluster({ScriptedServer::Get().address()}, std::chrono::milliseconds(100));
  ScriptedServer::Get().SetScripts(TakeScripts(r));
  (void)cluster.StatusOf(ScriptedServer::Get().address());
  (void)cluster.Members();
  (void)cluster.Group(2);
  (void)cluster.StartVerification(0);
  (void)cluster.VerificationOf(ScriptedServer::Get().address(), {});
}

KVD_FUZZ_TARGET(client_stream) {
  Reader r(input);
  if (r.Byte() % 4 == 0) {
    AskCluster(r);
  } else {
    Scan(r);
  }
}

}  // namespace
}  // namespace kvd::client
