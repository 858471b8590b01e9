#include "client/kvctl/verdict.h"

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/kvctl/format.h"

namespace kvd::kvctl {
namespace {

using Answer = v1::GetVerificationResponse;

// Whatever can be held against a replica by its own answer; empty if nothing.
std::string OwnFault(const VerifiedReplica& r, uint64_t index) {
  if (!r.silent.empty()) return absl::StrCat("does not answer: ", Escape(r.silent));
  switch (r.answer.state()) {
    case Answer::BEHIND:
      return absl::StrCat("lags: it is at index ", r.answer.applied_index(), " and does not reach ",
                          index);
    case Answer::RUNNING: return "does not come to an end";
    case Answer::MISSED: return "missed it: restarted, or given a snapshot; verify again";
    default: break;
  }
  if (r.answer.damaged() == 0) return r.Counts() ? "" : "did not hash its state";
  return absl::StrCat("damaged: ", r.answer.damaged(),
                      r.answer.damaged() == 1 ? " error" : " errors",
                      r.answer.damage().empty() ? "" : "; " + Escape(r.answer.damage(0)));
}

// What most replicas answer; null if no two agree.
const Answer* Majority(const std::vector<VerifiedReplica>& replicas) {
  std::map<uint64_t, std::vector<const Answer*>> votes;
  for (const VerifiedReplica& r : replicas) {
    if (r.Counts()) votes[r.answer.hash()].push_back(&r.answer);
  }
  const std::vector<const Answer*>* most = nullptr;
  for (const auto& [hash, answers] : votes) {
    if (most == nullptr || answers.size() > most->size()) most = &answers;
  }
  if (most == nullptr || (votes.size() > 1 && most->size() == 1)) return nullptr;
  return most->front();
}

std::string BesideMost(const Answer& answer, const Answer* most) {
  if (most == nullptr) return "differs: no two replicas agree";
  if (answer.hash() == most->hash()) return "ok";
  return absl::StrFormat(
      "differs: hash %016x, most have %016x; %d keys and %d versions, most have %d and %d",
      answer.hash(), most->hash(), answer.keys(), answer.versions(), most->keys(),
      most->versions());
}

std::string Json(const VerifiedReplica& r, uint64_t index) {
  std::string damage;
  for (const std::string& line : r.answer.damage()) {
    absl::StrAppend(&damage, damage.empty() ? "" : ", ", JsonText(line));
  }
  std::string hash = r.Counts() ? absl::StrFormat("\"%016x\"", r.answer.hash()) : "null";
  return absl::StrCat("{\"store_id\": ", r.store, ", \"replica_id\": ", r.id,
                      ", \"address\": ", JsonText(r.address), ", \"index\": ", index,
                      ", \"hash\": ", hash, ", \"keys\": ", r.answer.keys(),
                      ", \"versions\": ", r.answer.versions(), ", \"bytes\": ", r.answer.bytes(),
                      ", \"checksum_errors\": ", r.answer.damaged(), ", \"damage\": [", damage,
                      "], \"ok\": ", r.verdict == "ok" ? "true" : "false",
                      ", \"verdict\": ", JsonText(r.verdict), "}");
}

}  // namespace

void Judge(std::vector<VerifiedReplica>* replicas, uint64_t index) {
  const Answer* most = Majority(*replicas);
  for (VerifiedReplica& r : *replicas) {
    r.verdict = OwnFault(r, index);
    if (r.verdict.empty()) r.verdict = BesideMost(r.answer, most);
  }
}

std::string VerifiedJson(const std::vector<VerifiedReplica>& replicas, const VerifiedState& state,
                         bool ok) {
  std::string rows;
  for (const VerifiedReplica& r : replicas) {
    absl::StrAppend(&rows, rows.empty() ? "" : ", ", Json(r, state.index));
  }
  return absl::StrCat("{\"group_id\": ", state.group, ", \"index\": ", state.index,
                      ", \"ok\": ", ok ? "true" : "false", ", \"replicas\": [", rows, "]}\n");
}

std::string VerifiedTable(const std::vector<VerifiedReplica>& replicas,
                          const VerifiedState& state) {
  std::vector<std::vector<std::string>> rows = {{"GROUP", "STORE", "REPLICA", "INDEX", "HASH",
                                                 "KEYS", "VERSIONS", "BYTES", "ERRORS", "VERDICT"}};
  for (const VerifiedReplica& r : replicas) {
    bool counts = r.Counts();
    rows.push_back(
        {std::to_string(state.group), std::to_string(r.store), std::to_string(r.id),
         std::to_string(state.index), counts ? absl::StrFormat("%016x", r.answer.hash()) : "-",
         counts ? std::to_string(r.answer.keys()) : "-",
         counts ? std::to_string(r.answer.versions()) : "-", HumanBytes(r.answer.bytes()),
         std::to_string(r.answer.damaged()), r.verdict.substr(0, r.verdict.find(':'))});
  }
  return Table(rows);
}

}  // namespace kvd::kvctl
