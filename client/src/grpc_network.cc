#include "client/src/grpc_network.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>

#include "proto/error.h"
#include "proto/limits.h"
#include "proto/seal.h"

namespace kvd::client {
namespace {

// What leaves in one message; a request at its limit still fits.
constexpr size_t kMessageBytesTarget = 1 << 20;
constexpr size_t kMessageItemsMax = 1024;
static_assert(kMessageItemsMax <= kPipelineItemsMax);

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (!status.error_details().empty()) {
    absl::Status detailed = ParseStatus(status.error_details());
    if (!detailed.ok()) return detailed;
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

// Kept alive by the operations under way.
class GrpcNetwork::Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(CqLoop* loop, const std::shared_ptr<grpc::Channel>& channel, bool sealed)
      : loop_(loop), sealed_(sealed), stub_(v1::Kv::NewStub(channel)) {}

  bool closed() const { return closed_; }

  void Start() {
    stream_ = stub_->PrepareAsyncPipeline(&context_, loop_->queue());
    stream_->StartCall(Tag([this](bool ok) {
      if (!ok) return Close();
      // Nothing is written before the server has answered: until then a failure certainly means
      // that nothing was executed.
      stream_->ReadInitialMetadata(Tag([this](bool ok) {
        if (!ok) return Close();
        established_ = true;
        Read();
        Write();
      }));
    }));
  }

  void Call(RequestItem item, Duration timeout,
            std::function<void(absl::StatusOr<ResponseItem>)> done) {
    uint64_t id = next_id_++;
    Pending& pending = pending_[id];
    pending.caller_id = item.id();
    pending.done = std::move(done);
    item.set_id(id);
    if (sealed_) Seal(&item);
    pending.timer = loop_->After(timeout, [this, id] {
      // A timer that has come due is not stopped by the answer that came in the same turn.
      auto it = pending_.find(id);
      if (it == pending_.end()) return;
      bool sent = it->second.sent;
      // Retries to a peer that takes nothing would heap up copies of it.
      if (!sent) std::erase_if(waiting_, [id](const RequestItem& item) { return item.id() == id; });
      Finish(id, sent ? OutcomeUnknownError("did not answer in time")
                      : absl::UnavailableError("can't be reached"));
    });
    waiting_.push_back(std::move(item));
    if (established_ && !writing_) Write();
  }

  void Stop() { context_.TryCancel(); }

 private:
  struct Pending {
    uint64_t caller_id = 0;
    bool sent = false;
    std::function<void(absl::StatusOr<ResponseItem>)> done;
    std::unique_ptr<Timer> timer;
  };

  CqTag* Tag(std::function<void(bool)> f) {
    return CqOnce::Make([self = shared_from_this(), f = std::move(f)](bool ok) { f(ok); });
  }

  void Write() {
    request_.Clear();
    size_t bytes = 0;
    size_t taken = 0;
    while (taken < waiting_.size() && taken < kMessageItemsMax && bytes < kMessageBytesTarget) {
      RequestItem& item = waiting_[taken++];
      auto it = pending_.find(item.id());
      if (it == pending_.end()) continue;  // timed out before it left
      if (bytes != 0 && bytes + item.ByteSizeLong() > kRequestBytesMax) {
        --taken;
        break;
      }
      it->second.sent = true;
      bytes += item.ByteSizeLong();
      *request_.add_items() = std::move(item);
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(taken));
    if (request_.items().empty()) return;
    writing_ = true;
    stream_->Write(request_, Tag([this](bool ok) {
                     writing_ = false;
                     if (!ok) return Close();
                     if (!waiting_.empty()) Write();
                   }));
  }

  void Read() {
    stream_->Read(&response_, Tag([this](bool ok) {
      reading_ = false;
      if (!ok) return Close();
      for (ResponseItem& item : *response_.mutable_items()) {
        if (sealed_ && !(item.has_sealed() && Unseal(&item))) return Close();
        auto it = pending_.find(item.id());
        if (it == pending_.end()) continue;
        item.set_id(it->second.caller_id);
        Finish(it->first, std::move(item));
      }
      if (!closed_) Read();
    }));
    reading_ = true;
  }

  void Finish(uint64_t id, absl::StatusOr<ResponseItem> answer) {
    auto node = pending_.extract(id);
    auto timer = std::make_shared<std::unique_ptr<Timer>>(std::move(node.mapped().timer));
    loop_->Post([timer] {});  // it may be the one that calls
    node.mapped().done(std::move(answer));
  }

  void Close() {
    if (closed_) return;
    closed_ = true;
    context_.TryCancel();
    stream_->Finish(&status_, Tag([this](bool) { FailAll(); }));
  }

  void FailAll() {
    std::vector<uint64_t> ids;
    for (const auto& [id, pending] : pending_) ids.push_back(id);
    std::string why = status_.error_message();
    if (why.empty()) why = "the connection was closed";
    for (uint64_t id : ids) {
      if (!pending_.contains(id)) continue;
      Finish(id, pending_.at(id).sent ? OutcomeUnknownError(why) : absl::UnavailableError(why));
    }
  }

  CqLoop* const loop_;
  const bool sealed_;
  const std::unique_ptr<v1::Kv::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::PipelineRequest, v1::PipelineResponse>> stream_;
  grpc::Status status_;
  bool established_ = false;
  bool writing_ = false;
  bool reading_ = false;
  bool closed_ = false;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Pending> pending_;
  std::vector<RequestItem> waiting_;
  v1::PipelineRequest request_;
  v1::PipelineResponse response_;
};

GrpcNetwork::~GrpcNetwork() { Stop(); }

void GrpcNetwork::Stop() {
  stopped_ = true;
  for (auto& [address, stream] : streams_) stream->Stop();
}

std::shared_ptr<grpc::Channel> GrpcNetwork::ChannelTo(const std::string& address) {
  auto& channel = channels_[address];
  if (channel != nullptr) return channel;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // gRPC 1.51 can crash when a stream that has just failed is cancelled, in its filter for retries.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetMaxReceiveMessageSize(static_cast<int>(kMessageBytesMax) * 2);
  arguments.SetMaxSendMessageSize(-1);
  channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  return channel;
}

void GrpcNetwork::Call(const std::string& address, RequestItem item, Duration timeout,
                       std::function<void(absl::StatusOr<ResponseItem>)> done) {
  if (stopped_) return done(absl::UnavailableError("the client is stopping"));
  auto& stream = streams_[address];
  if (stream == nullptr || stream->closed()) {
    stream = std::make_shared<Stream>(loop_, ChannelTo(address), sealed_);
    stream->Start();
  }
  stream->Call(std::move(item), timeout, std::move(done));
}

}  // namespace kvd::client
