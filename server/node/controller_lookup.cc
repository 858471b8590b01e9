// One shard, and which configs there are.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/node/controller_desk.h"
#include "server/node/routing_answer.h"

namespace kvd::node {
namespace {

constexpr uint32_t kConfigsDefault = 100;
constexpr uint32_t kConfigsMax = 1'000;

}  // namespace

absl::Status ControllerDesk::DescribeShard(const v1::DescribeShardRequest& request,
                                           v1::DescribeShardResponse* out) const {
  const shardctrler::ShardMap& shards = role_->state().shards();
  if (shards.empty()) return absl::UnavailableError("the cluster has no shards yet");
  ShardId id(request.shard_id());
  auto found = id ? shards.Find(id) : shards.At(request.key());
  if (found == shards.end())
    return absl::NotFoundError(absl::StrCat("there is no shard ", id.value()));
  *out->mutable_shard() = ShardMessage(found->first, found->second);
  out->set_end(shards.RangeOf(found).end);
  FillLoad(found->second, out->mutable_load());
  return absl::OkStatus();
}

absl::Status ControllerDesk::ListConfigs(const v1::ListConfigsRequest& request,
                                         v1::ListConfigsResponse* out) const {
  if (request.limit() > kConfigsMax)
    return absl::InvalidArgumentError(
        absl::StrCat("limit ", request.limit(), " is above ", kConfigsMax));
  uint32_t limit = request.limit() == 0 ? kConfigsDefault : request.limit();
  uint64_t newest = role_->state().ids().config.value();
  uint64_t number = request.before() == 0 ? newest : std::min(newest, request.before() - 1);
  auto since = [this](uint64_t config) {
    return shardctrler::ConfigSince(group_->reader(), ConfigNumber(config), group_->meta().clock);
  };
  absl::StatusOr<Timestamp> until = kTimestampMax;  // when the next one began
  if (number < newest) until = since(number + 1);
  for (; number > 0 && limit > 0; --number, --limit) {
    auto began = since(number);
    if (!began.ok()) return began.status();
    if (!until.ok()) return until.status();
    auto* config = out->add_configs();
    config->set_config(number);
    config->set_since(began->value());
    config->set_kept(*until > group_->meta().safe_point);
    until = began;
  }
  return absl::OkStatus();
}

}  // namespace kvd::node
