#include "server/service/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/server_context.h>

#include <set>

namespace kvd::service {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

// The file, then everything it imports, each once.
void AddFile(const FileDescriptor* file, std::set<const FileDescriptor*>* seen,
             grpc::reflection::v1alpha::FileDescriptorResponse* out) {
  if (!seen->insert(file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  out->add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) AddFile(file->dependency(i), seen, out);
}

}  // namespace

void ReflectionService::Answer(const Request& request, Response* response) const {
  response->set_valid_host(request.host());
  *response->mutable_original_request() = request;
  const DescriptorPool* pool = DescriptorPool::generated_pool();
  const FileDescriptor* file = nullptr;
  switch (request.message_request_case()) {
    case Request::kListServices:
      for (const std::string& name : services_) {
        response->mutable_list_services_response()->add_service()->set_name(name);
      }
      return;
    case Request::kFileByFilename: file = pool->FindFileByName(request.file_by_filename()); break;
    case Request::kFileContainingSymbol:
      file = pool->FindFileContainingSymbol(request.file_containing_symbol());
      break;
    // Nothing here has extensions.
    default: break;
  }
  if (file == nullptr) {
    response->mutable_error_response()->set_error_code(
        static_cast<int>(grpc::StatusCode::NOT_FOUND));
    response->mutable_error_response()->set_error_message("nothing of that name here");
    return;
  }
  std::set<const FileDescriptor*> seen;
  AddFile(file, &seen, response->mutable_file_descriptor_response());
}

// One request at a time. Kept alive by its operation under way.
class ReflectionService::Stream : public std::enable_shared_from_this<Stream> {
 public:
  explicit Stream(ReflectionService* owner) : owner_(owner), stream_(&context_) {}

  void Accept() {
    owner_->service_.RequestServerReflectionInfo(&context_, &stream_, owner_->queue_,
                                                 owner_->queue_, Tag([this](bool ok) {
                                                   if (!ok) return;
                                                   if (!owner_->stopped_) {
                                                     std::make_shared<Stream>(owner_)->Accept();
                                                   }
                                                   Read();
                                                 }));
  }

 private:
  void Read() {
    stream_.Read(&request_, Tag([this](bool ok) {
      if (!ok) return stream_.Finish(grpc::Status::OK, Tag([](bool) {}));
      response_.Clear();
      owner_->Answer(request_, &response_);
      stream_.Write(response_, Tag([this](bool ok) {
                      if (ok) return Read();
                      stream_.Finish(grpc::Status::OK, Tag([](bool) {}));
                    }));
    }));
  }
  CqTag* Tag(std::function<void(bool)> f) {
    return CqOnce::Make([self = shared_from_this(), f = std::move(f)](bool ok) { f(ok); });
  }

  ReflectionService* const owner_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<Response, Request> stream_;
  Request request_;
  Response response_;
};

void ReflectionService::Start(grpc::ServerCompletionQueue* queue) {
  queue_ = queue;
  std::make_shared<Stream>(this)->Accept();
}

}  // namespace kvd::service
