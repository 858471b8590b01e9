// verify: every replica's hash at one log position, and the checksums of everything stored.
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/kvctl/controller_calls.h"
#include "client/kvctl/format.h"
#include "client/kvctl/verdict.h"

namespace kvd::kvctl {
namespace {

using Answer = v1::GetVerificationResponse;
using Clock = std::chrono::steady_clock;

constexpr auto kPollInterval = std::chrono::milliseconds(100);

void Poll(client::ClusterClient& cluster, const v1::GetVerificationRequest& request,
          std::chrono::milliseconds patience, VerifiedReplica* r) {
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

void ShowProgress(const std::vector<VerifiedReplica>& replicas) {
  std::vector<std::string> parts;
  parts.reserve(replicas.size());
  for (const VerifiedReplica& r : replicas) {
    parts.push_back(absl::StrCat("store ", r.store, ": ",
                                 r.settled ? "finished" : HumanBytes(r.answer.bytes())));
  }
  std::cerr << "\r\x1b[K" << absl::StrJoin(parts, ", ") << std::flush;
}

void Show(const Context& context, const std::vector<VerifiedReplica>& replicas,
          const VerifiedState& state, bool ok) {
  if (context.json()) {
    std::cout << VerifiedJson(replicas, state, ok);
    return;
  }
  std::cout << VerifiedTable(replicas, state) << std::flush;
  for (const VerifiedReplica& r : replicas) {
    if (r.verdict != "ok") std::cerr << "kvctl: store " << r.store << " " << r.verdict << "\n";
  }
}

// Until all have answered, or given no sign for long.
void Await(const Context& context, const v1::GetVerificationRequest& request,
           std::vector<VerifiedReplica>* replicas) {
  auto cluster = context.cluster();
  bool progress = !context.json() && isatty(STDERR_FILENO) != 0;
  while (true) {
    bool waiting = false;
    for (VerifiedReplica& r : *replicas) {
      if (!r.settled) Poll(cluster, request, std::chrono::milliseconds(context.timeout_ms), &r);
      waiting = waiting || !r.settled;
    }
    if (progress) ShowProgress(*replicas);
    if (!waiting) break;
    std::this_thread::sleep_for(kPollInterval);
  }
  if (progress) std::cerr << "\r\x1b[K";
}

// Whether all of the group's replicas are as they should be.
bool VerifyGroup(const Context& context, uint64_t group) {
  auto started = context.cluster().StartVerification(group);
  if (!started.ok()) {
    std::cerr << "kvctl: group " << group << " can't be verified: " << started.status().message()
              << "\n";
    return false;
  }
  v1::GetVerificationRequest request;
  request.set_group_id(group);
  request.set_verification_id(started->verification_id());
  request.set_index(started->index());
  std::vector<VerifiedReplica> replicas;
  for (const auto& member : started->group().replicas()) {
    VerifiedReplica& r = replicas.emplace_back();
    r.store = member.store_id();
    r.id = member.replica_id();
    r.address = member.address();
  }
  Await(context, request, &replicas);
  Judge(&replicas, started->index());
  bool ok = std::all_of(replicas.begin(), replicas.end(),
                        [](const VerifiedReplica& r) { return r.verdict == "ok"; });
  Show(context, replicas, {group, started->index()}, ok);
  return ok;
}

void Verify(Context& context, uint64_t group, int* exit_code) {
  std::set<uint64_t> groups = {group};
  if (group == 0) {
    groups.clear();
    // From who knows of all of them, and not from those that answer.
    auto known =
        OrFail(ClientOf(context).Call(&ControllerStub::ListGroups, v1::ListGroupsRequest()));
    for (const auto& listed : known.groups()) {
      if (listed.state() == "serving") groups.insert(listed.group().group_id());
    }
  }
  bool ok = true;
  for (uint64_t id : groups) ok = VerifyGroup(context, id) && ok;
  *exit_code = ok ? 0 : kNotVerified;
}

}  // namespace

void AddVerifyCommand(CLI::App& app, Context& context, int* exit_code) {
  auto group = std::make_shared<uint64_t>(0);
  CLI::App* verify = app.add_subcommand(
      "verify",
      "Compare all replicas of each group at one log position and check all that is stored "
      "against its checksums; a store that gets nowhere for --timeout-ms is given up");
  verify->add_option("--group", *group, "Only this one");
  verify->callback([&context, group, exit_code] { Verify(context, *group, exit_code); });
}

}  // namespace kvd::kvctl
