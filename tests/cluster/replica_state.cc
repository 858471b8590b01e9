#include "tests/cluster/replica_state.h"

#include <grpcpp/create_channel.h>

#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/src/cluster_client.h"
#include "kvd/v1/kv.grpc.pb.h"
#include "proto/crc32c.h"

namespace kvd {
namespace {

using Rows = std::map<std::string, std::string>;

// Everything that lives at this one store, each row with its version, expiry and checksum. Answered
// from its own state: a request that is marked as forwarded goes no further.
absl::StatusOr<Rows> RowsAt(const std::string& address, uint64_t store_id) {
  auto stub = v1::Kv::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::ScanRequest request;
  request.mutable_header()->set_forwarded(true);
  request.mutable_read()->set_consistency(v1::ReadOptions::BOUNDED_STALE);
  request.mutable_read()->set_staleness_ms_max(5'000);
  auto reader = stub->Scan(&context, request);
  Rows rows;
  v1::ScanResponse response;
  bool done = false;
  while (reader->Read(&response)) {
    if (response.header().store_id() != store_id)
      return absl::InternalError("another store answered");
    for (const auto& row : response.rows()) {
      const v1::Version& version = row.version();
      if (Crc32c(version.value(), Crc32c(row.key())) != version.crc32c()) {
        return absl::DataLossError(
            absl::StrCat("the value of ", row.key(), " does not match its checksum"));
      }
      rows[row.key()] = absl::StrCat(version.version(), " ", version.expires_at(), " ",
                                     version.crc32c(), " ", version.value());
    }
    done = response.done();
  }
  grpc::Status status = reader->Finish();
  if (!status.ok()) return absl::UnavailableError(status.error_message());
  if (!done) return absl::DataLossError("the scan ended early");
  return rows;
}

// Empty if they are equal.
std::string FirstDifference(const Rows& a, const Rows& b) {
  for (const Rows* side : {&a, &b}) {
    const Rows& other = side == &a ? b : a;
    for (const auto& [key, value] : *side) {
      auto it = other.find(key);
      if (it == other.end()) return absl::StrCat("key ", key, " is there in one of them only");
      if (it->second != value) {
        return absl::StrCat("key ", key, " is '", value.substr(0, 200), "' in one, '",
                            it->second.substr(0, 200), "' in the other");
      }
    }
  }
  return "";
}

absl::Status CompareOnce(const FaultCluster& cluster) {
  std::vector<int> members = cluster.Members();
  if (members.size() < 3)
    return absl::UnavailableError(absl::StrCat("only ", members.size(), " members are known"));
  uint64_t applied = 0;
  for (int n : members) {
    if (!cluster.Running(n))
      return absl::FailedPreconditionError(absl::StrCat("store ", n, " does not run"));
    auto status = cluster.StatusOf(n);
    if (!status.ok())
      return absl::UnavailableError(
          absl::StrCat("store ", n, ": ", std::string(status.status().message())));
    if (n == members[0]) applied = status->applied_index();
    if (status->applied_index() != applied) {
      return absl::UnavailableError(absl::StrCat("store ", members[0], " has applied up to ",
                                                 applied, ", store ", n, " up to ",
                                                 status->applied_index()));
    }
  }
  absl::StatusOr<Rows> first;
  for (int n : members) {
    auto rows = RowsAt(cluster.Address(n), cluster.StoreIdOf(n));
    if (!rows.ok()) {
      return absl::Status(rows.status().code(),
                          absl::StrCat("store ", n, ": ", std::string(rows.status().message())));
    }
    if (n == members[0]) {
      first = *std::move(rows);
      continue;
    }
    std::string difference = FirstDifference(*first, *rows);
    if (!difference.empty()) {
      return absl::DataLossError(
          absl::StrCat("stores ", members[0], " and ", n, " differ: ", difference));
    }
  }
  return absl::OkStatus();
}

using Verification = v1::GetVerificationResponse;

// Store n's part of the verification, once it is done.
absl::StatusOr<Verification> VerificationAt(client::ClusterClient& client,
                                            const FaultCluster& cluster, int n,
                                            const v1::GetVerificationRequest& request) {
  absl::StatusOr<Verification> answer = absl::UnavailableError("not asked");
  bool ended = Await(
      [&] {
        answer = client.VerificationOf(cluster.Address(n), request);
        return !answer.ok() || answer->state() == Verification::DONE ||
               answer->state() == Verification::MISSED;
      },
      20);
  if (answer.ok() && (!ended || answer->state() != Verification::DONE || !answer->hashed()))
    answer = absl::UnavailableError("its state could not be hashed");
  if (answer.ok() && answer->damaged() > 0) {
    return absl::DataLossError(absl::StrCat(answer->damaged(), " of what it stores is damaged: ",
                                            answer->damage().empty() ? "" : answer->damage(0)));
  }
  return answer;
}

// As `kvctl verify`: every member's hash of its state at one index of the log, history included,
// and the checksums of everything it stores.
absl::Status VerifyOnce(const FaultCluster& cluster) {
  client::ClusterClient client(cluster.Addresses(), std::chrono::seconds(10));
  auto started = client.StartVerification(0);
  if (!started.ok()) return started.status();
  v1::GetVerificationRequest request;
  request.set_verification_id(started->verification_id());
  request.set_index(started->index());
  std::vector<int> members = cluster.Members();
  absl::StatusOr<Verification> first;
  for (int n : members) {
    auto answer = VerificationAt(client, cluster, n, request);
    if (!answer.ok()) {
      return absl::Status(answer.status().code(),
                          absl::StrCat("verify, store ", n, ": ", answer.status().message()));
    }
    if (n == members[0]) {
      first = *std::move(answer);
    } else if (answer->hash() != first->hash() || answer->keys() != first->keys() ||
               answer->versions() != first->versions()) {
      return absl::DataLossError(
          absl::StrCat("verify: stores ", members[0], " and ", n, " differ at index ",
                       request.index(), ": ", first->keys(), " and ", answer->keys(), " keys, ",
                       first->versions(), " and ", answer->versions(), " versions"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CompareReplicas(FaultCluster& cluster, int seconds) {
  absl::Status last;
  // Entries that no client asked for (a clock's advance) may still come: equality has to be
  // reached, and without a load nothing makes replicas equal that are not.
  Await(
      [&] {
        cluster.Poll();
        last = CompareOnce(cluster);
        if (last.ok()) last = VerifyOnce(cluster);
        return last.ok() || absl::IsFailedPrecondition(last);
      },
      seconds);
  return last;
}

absl::Status AwaitUndamaged(FaultCluster& cluster, int n, int seconds) {
  absl::Status last;
  Await(
      [&] {
        cluster.Poll();
        client::ClusterClient client(cluster.Addresses(), std::chrono::seconds(5));
        auto started = client.StartVerification(0);
        last = started.status();
        if (!started.ok()) return false;
        v1::GetVerificationRequest request;
        request.set_verification_id(started->verification_id());
        request.set_index(started->index());
        last = VerificationAt(client, cluster, n, request).status();
        return last.ok();
      },
      seconds);
  return last;
}

}  // namespace kvd
