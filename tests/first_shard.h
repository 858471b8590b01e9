// The command that gives a group the first shard, which has all keys, as the controller does.
#pragma once

#include "server/shard/command.h"

namespace kvd {

inline shard::Command InstallFirstShard() {
  shard::Command command;
  command.kind = shard::CommandKind::kShard;
  command.step.kind = StepKind::kInstall;
  command.step.operation = OperationId(1);
  command.step.shard = ShardId(1);
  command.step.epoch = Epoch(1);
  return command;
}

}  // namespace kvd
