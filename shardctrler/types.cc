#include "shardctrler/types.h"

namespace kvd::shardctrler {

std::map<std::string, std::string> Store::AllLabels() const {
  std::map<std::string, std::string> all = labels;
  for (const auto& [name, value] : set_labels) {
    if (value.empty()) {
      all.erase(name);
    } else {
      all[name] = value;
    }
  }
  return all;
}

const std::string& Store::Label(const std::string& name) const {
  static const std::string none;
  if (auto set = set_labels.find(name); set != set_labels.end()) return set->second;
  auto label = labels.find(name);
  return label == labels.end() ? none : label->second;
}

std::string_view ToString(StoreState state) {
  switch (state) {
    case StoreState::kServing: return "serving";
    case StoreState::kDraining: return "draining";
    case StoreState::kGone: return "gone";
  }
  return "unknown";
}

std::string_view ToString(GroupState state) {
  switch (state) {
    case GroupState::kCreating: return "creating";
    case GroupState::kServing: return "serving";
    case GroupState::kRetiring: return "retiring";
  }
  return "unknown";
}

std::string_view ToString(OperationKind kind) {
  switch (kind) {
    case OperationKind::kMove: return "move";
    case OperationKind::kSplit: return "split";
    case OperationKind::kMerge: return "merge";
    case OperationKind::kCreateGroup: return "create-group";
    case OperationKind::kChangeReplicas: return "change-replicas";
    case OperationKind::kRetireGroup: return "retire-group";
  }
  return "unknown";
}

std::string_view ToString(Phase phase) {
  switch (phase) {
    case Phase::kRunning: return "running";
    case Phase::kForward: return "forward";
    case Phase::kPublished: return "published";
    case Phase::kCancelling: return "cancelling";
    case Phase::kDone: return "done";
    case Phase::kCancelled: return "cancelled";
  }
  return "unknown";
}

}  // namespace kvd::shardctrler
