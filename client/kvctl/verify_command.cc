// verify: every replica's hash at one log position, and the checksums of everything stored.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/kvctl/context.h"
#include "client/kvctl/format.h"

namespace kvd::kvctl {
namespace {

using Answer = v1::GetVerificationResponse;
using Clock = std::chrono::steady_clock;

constexpr auto kPollInterval = std::chrono::milliseconds(100);

struct Replica {
  uint64_t store = 0;
  uint64_t id = 0;
  std::string address;
  Answer answer;                           // the last one
  std::string silent;                      // why there was none, the last time
  Clock::time_point moved = Clock::now();  // when it last got anywhere
  bool settled = false;
  std::string verdict;  // "ok", or what is wrong

  bool Counts() const { return answer.state() == Answer::DONE && answer.hashed(); }
};

// Whatever can be held against a replica by its own answer; empty if nothing.
std::string OwnFault(const Replica& r, uint64_t index) {
  if (!r.silent.empty()) return absl::StrCat("does not answer: ", r.silent);
  switch (r.answer.state()) {
    case Answer::BEHIND:
      return absl::StrCat("lags: it is at index ", r.answer.applied_index(), " and does not reach ",
                          index);
    case Answer::RUNNING: return "does not come to an end";
    case Answer::MISSED: return "missed it: restarted, or given a snapshot; verify again";
    default: break;
  }
  if (r.answer.damaged() == 0) return "";
  return absl::StrCat("damaged: ", r.answer.damaged(),
                      r.answer.damaged() == 1 ? " error" : " errors",
                      r.answer.damage().empty() ? "" : "; " + r.answer.damage(0));
}

void Poll(client::ClusterClient& cluster, const v1::GetVerificationRequest& request,
          std::chrono::milliseconds patience, Replica* r) {
  auto answer = cluster.VerificationOf(r->address, request);
  bool moved = answer.ok() && (answer->bytes() != r->answer.bytes() ||
                               answer->applied_index() != r->answer.applied_index() ||
                               answer->state() != r->answer.state());
  r->silent = answer.ok() ? "" : std::string(answer.status().message());
  if (answer.ok()) r->answer = *std::move(answer);
  if (moved) r->moved = Clock::now();
  bool ended = r->silent.empty() &&
               (r->answer.state() == Answer::DONE || r->answer.state() == Answer::MISSED);
  r->settled = ended || Clock::now() - r->moved >= patience;
}

void ShowProgress(const std::vector<Replica>& replicas) {
  std::vector<std::string> parts;
  for (const Replica& r : replicas) {
    parts.push_back(absl::StrCat("store ", r.store, ": ",
                                 r.settled ? "finished" : HumanBytes(r.answer.bytes())));
  }
  std::cerr << "\r\x1b[K" << absl::StrJoin(parts, ", ") << std::flush;
}

// The hash that most replicas have; 0 replicas if no two agree.
std::pair<uint64_t, int> Majority(const std::vector<Replica>& replicas) {
  std::map<uint64_t, int> votes;
  for (const Replica& r : replicas) {
    if (r.Counts()) ++votes[r.answer.hash()];
  }
  std::pair<uint64_t, int> best{0, 0};
  for (const auto& [hash, count] : votes) {
    if (count > best.second) best = {hash, count};
  }
  if (votes.size() > 1 && best.second == 1) best.second = 0;
  return best;
}

void Judge(std::vector<Replica>* replicas, uint64_t index) {
  auto [hash, agree] = Majority(*replicas);
  const Answer* common = nullptr;
  for (const Replica& r : *replicas) {
    if (r.Counts() && r.answer.hash() == hash) common = &r.answer;
  }
  for (Replica& r : *replicas) {
    r.verdict = OwnFault(r, index);
    if (!r.verdict.empty() || r.answer.hash() == hash) {
      if (r.verdict.empty() && agree == 0) r.verdict = "differs: no two replicas agree";
      if (r.verdict.empty()) r.verdict = "ok";
      continue;
    }
    r.verdict = agree == 0 ? std::string("differs: no two replicas agree")
                           : absl::StrFormat(
                                 "differs: hash %016x, most have %016x; %d keys and %d versions, "
                                 "most have %d and %d",
                                 r.answer.hash(), hash, r.answer.keys(), r.answer.versions(),
                                 common->keys(), common->versions());
  }
}

std::string Json(const Replica& r, uint64_t index) {
  std::string damage;
  for (const std::string& line : r.answer.damage()) {
    absl::StrAppend(&damage, damage.empty() ? "" : ", ", JsonString(line));
  }
  std::string hash = r.Counts() ? absl::StrFormat("\"%016x\"", r.answer.hash()) : "null";
  return absl::StrCat("{\"store_id\": ", r.store, ", \"replica_id\": ", r.id,
                      ", \"address\": ", JsonString(r.address), ", \"index\": ", index,
                      ", \"hash\": ", hash, ", \"keys\": ", r.answer.keys(),
                      ", \"versions\": ", r.answer.versions(), ", \"bytes\": ", r.answer.bytes(),
                      ", \"checksum_errors\": ", r.answer.damaged(), ", \"damage\": [", damage,
                      "], \"ok\": ", r.verdict == "ok" ? "true" : "false",
                      ", \"verdict\": ", JsonString(r.verdict), "}");
}

void Show(const Context& context, const std::vector<Replica>& replicas, uint64_t index, bool ok) {
  if (context.json()) {
    std::string rows;
    for (const Replica& r : replicas) {
      absl::StrAppend(&rows, rows.empty() ? "" : ", ", Json(r, index));
    }
    std::cout << "{\"index\": " << index << ", \"ok\": " << (ok ? "true" : "false")
              << ", \"replicas\": [" << rows << "]}\n";
    return;
  }
  std::vector<std::vector<std::string>> rows = {
      {"STORE", "REPLICA", "INDEX", "HASH", "KEYS", "VERSIONS", "BYTES", "ERRORS", "VERDICT"}};
  for (const Replica& r : replicas) {
    bool counts = r.Counts();
    rows.push_back({std::to_string(r.store), std::to_string(r.id), std::to_string(index),
                    counts ? absl::StrFormat("%016x", r.answer.hash()) : "-",
                    counts ? std::to_string(r.answer.keys()) : "-",
                    counts ? std::to_string(r.answer.versions()) : "-",
                    HumanBytes(r.answer.bytes()), std::to_string(r.answer.damaged()),
                    r.verdict.substr(0, r.verdict.find(':'))});
  }
  std::cout << Table(rows) << std::flush;
  for (const Replica& r : replicas) {
    if (r.verdict != "ok") std::cerr << "kvctl: store " << r.store << " " << r.verdict << "\n";
  }
}

void Verify(Context& context, int* exit_code) {
  auto cluster = context.cluster();
  v1::StartVerificationResponse started = OrFail(cluster.StartVerification());
  v1::GetVerificationRequest request;
  request.set_verification_id(started.verification_id());
  request.set_index(started.index());
  std::vector<Replica> replicas;
  for (const auto& member : started.group().replicas()) {
    Replica& r = replicas.emplace_back();
    r.store = member.store_id();
    r.id = member.replica_id();
    r.address = member.address();
  }
  bool progress = !context.json() && isatty(STDERR_FILENO) != 0;
  while (true) {
    bool waiting = false;
    for (Replica& r : replicas) {
      if (!r.settled) Poll(cluster, request, std::chrono::milliseconds(context.timeout_ms), &r);
      waiting = waiting || !r.settled;
    }
    if (progress) ShowProgress(replicas);
    if (!waiting) break;
    std::this_thread::sleep_for(kPollInterval);
  }
  if (progress) std::cerr << "\r\x1b[K";
  Judge(&replicas, started.index());
  bool ok = std::all_of(replicas.begin(), replicas.end(),
                        [](const Replica& r) { return r.verdict == "ok"; });
  Show(context, replicas, started.index(), ok);
  *exit_code = ok ? 0 : kNotVerified;
}

}  // namespace

void AddVerifyCommand(CLI::App& app, Context& context, int* exit_code) {
  app.add_subcommand(
         "verify",
         "Compare all replicas at one log position and check all that is stored "
         "against its checksums; a store that gets nowhere for --timeout-ms is given up")
      ->callback([&context, exit_code] { Verify(context, exit_code); });
}

}  // namespace kvd::kvctl
