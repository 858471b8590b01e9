#include "proto/shard.h"

namespace kvd {

std::string_view ToString(ShardState state) {
  switch (state) {
    case ShardState::kImporting: return "importing";
    case ShardState::kServing: return "serving";
    case ShardState::kFrozen: return "frozen";
  }
  return "unknown";
}

std::string_view ToString(StepKind kind) {
  switch (kind) {
    case StepKind::kInstall: return "install";
    case StepKind::kSplit: return "split";
    case StepKind::kMerge: return "merge";
    case StepKind::kAbandon: return "abandon";
    case StepKind::kBeginExport: return "begin-export";
    case StepKind::kBeginImport: return "begin-import";
    case StepKind::kImport: return "import";
    case StepKind::kFreeze: return "freeze";
    case StepKind::kCompleteImport: return "complete-import";
    case StepKind::kAbortImport: return "abort-import";
    case StepKind::kEndExport: return "end-export";
    case StepKind::kDrop: return "drop";
  }
  return "unknown";
}

std::string_view ToString(StepOutcome outcome) {
  switch (outcome) {
    case StepOutcome::kOpen: return "open";
    case StepOutcome::kDone: return "done";
    case StepOutcome::kAborted: return "aborted";
  }
  return "unknown";
}

}  // namespace kvd
