#include "server/service/controller_service.h"

#include <type_traits>

#include "server/service/unary.h"

namespace kvd::service {

#define KVD_UNARY(Method, field)                                                             \
  Serve<v1::Method##Request, v1::Method##Response>(                                          \
      4, &stopped_,                                                                          \
      [this](auto* context, auto* request, auto* responder, void* tag) {                     \
        service_.Request##Method(context, request, responder, queue_, queue_, tag);          \
      },                                                                                     \
      [this](v1::Method##Request* request, auto answer) {                                    \
        internal::v1::StoreRequest wire;                                                     \
        wire.mutable_##field()->Swap(request);                                               \
        node_->caller().ToLeader(                                                            \
            shardctrler::kControllerGroup, std::move(wire), milliseconds(3000),              \
            [answer = std::move(answer)](absl::StatusOr<internal::v1::StoreResponse> told) { \
              if (!told.ok()) return answer(told.status(), nullptr);                         \
              answer(absl::OkStatus(), told->mutable_##field());                             \
            },                                                                               \
            std::is_same_v<v1::Method##Request, v1::BeginRequest>);                          \
      })

void ControllerService::Start(grpc::ServerCompletionQueue* queue) {
  queue_ = queue;
  KVD_UNARY(ListStores, list_stores);
  KVD_UNARY(ListGroups, list_groups);
  KVD_UNARY(Query, query);
  KVD_UNARY(DescribeShard, describe_shard);
  KVD_UNARY(ListConfigs, list_configs);
  KVD_UNARY(ListOperations, list_operations);
  KVD_UNARY(ListSettings, list_settings);
  KVD_UNARY(Begin, begin);
  KVD_UNARY(Cancel, cancel);
  KVD_UNARY(SetStoreState, set_store_state);
  KVD_UNARY(SetSetting, set_setting);
  KVD_UNARY(Scatter, scatter);
  KVD_UNARY(Explain, explain);
  KVD_UNARY(SetStoreLabel, set_store_label);
}

#undef KVD_UNARY

}  // namespace kvd::service
