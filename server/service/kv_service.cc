#include "server/service/kv_service.h"

#include "proto/error.h"
#include "server/service/unary.h"

namespace kvd::service {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      SerializeStatus(status));
}

void PipelineForwarder::Forward(const std::string& address, RequestItem item,
                                std::function<void(absl::StatusOr<ResponseItem>)> done) {
  network_->Call(address, std::move(item), std::chrono::seconds(10), std::move(done));
}

namespace {

OperationKind KindOf(const RequestItem& item) {
  switch (item.request_case()) {
    case RequestItem::kMultiGet: return OperationKind::kMultiGet;
    case RequestItem::kScan: return OperationKind::kScan;
    case RequestItem::kPut: return OperationKind::kPut;
    case RequestItem::kAppend: return OperationKind::kAppend;
    case RequestItem::kDelete: return OperationKind::kDelete;
    case RequestItem::kIncrement: return OperationKind::kIncrement;
    case RequestItem::kDeleteRange: return OperationKind::kDeleteRange;
    case RequestItem::kLocate: return OperationKind::kLocate;
    case RequestItem::kBatch: return OperationKind::kBatch;
    default: return OperationKind::kGet;
  }
}

}  // namespace

void KvService::Execute(RequestItem item, ItemCallback done) {
  if (stopped_) {
    ResponseItem out;
    SetError(absl::UnavailableError("the store is stopping"), &out);
    return done(std::move(out));
  }
  OperationKind kind = KindOf(item);
  auto start = loop_->Now();
  dispatcher_->Execute(
      std::move(item), [this, kind, start, done = std::move(done)](ResponseItem out) {
        metrics_->Observe(kind, out.has_error() ? out.error().code() : 0,
                          std::chrono::duration<double>(loop_->Now() - start).count());
        done(std::move(out));
      });
}

// A unary method is a pipeline of one item.
#define KVD_UNARY(Method, In, Out, field, result, budget)                           \
  Serve<v1::In, v1::Out>(                                                           \
      32, &stopped_,                                                                \
      [this](auto* context, auto* request, auto* responder, void* tag) {            \
        service_.Request##Method(context, request, responder, queue_, queue_, tag); \
      },                                                                            \
      [this](v1::In* request, auto answer) {                                        \
        RequestItem item;                                                           \
        item.mutable_##field()->Swap(request);                                      \
        Execute(std::move(item), [answer = std::move(answer)](ResponseItem out) {   \
          answer(ErrorOf(out), out.mutable_##result());                             \
        });                                                                         \
      },                                                                            \
      budget)

void KvService::StartUnary() {
  KVD_UNARY(Get, GetRequest, GetResponse, get, get, budget_);
  KVD_UNARY(MultiGet, MultiGetRequest, MultiGetResponse, multi_get, multi_get, budget_);
  KVD_UNARY(Put, PutRequest, WriteResponse, put, write, nullptr);
  KVD_UNARY(Append, AppendRequest, WriteResponse, append, write, nullptr);
  KVD_UNARY(Delete, DeleteRequest, WriteResponse, delete_, write, nullptr);
  KVD_UNARY(Increment, IncrementRequest, WriteResponse, increment, write, nullptr);
  KVD_UNARY(DeleteRange, DeleteRangeRequest, DeleteRangeResponse, delete_range, delete_range,
            nullptr);
  KVD_UNARY(Locate, LocateRequest, LocateResponse, locate, locate, nullptr);
  KVD_UNARY(Batch, BatchRequest, BatchResponse, batch, batch, nullptr);
}

#undef KVD_UNARY

void KvService::Start(grpc::ServerCompletionQueue* queue) {
  queue_ = queue;
  StartUnary();
  AcceptPipeline();
  AcceptScan();
}

}  // namespace kvd::service
