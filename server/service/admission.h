// Lets stores into the cluster: allots their ids, makes them learners, then voters, in the place of
// a replica that is lost. A store whose disk is lost comes back as another one: what its replica
// had promised is forgotten with the disk, so the old one never counts again, and leaves the group
// in the change that makes the new one vote (design, 4). Lives on the store's loop, acts while this
// store leads.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "server/service/membership.h"
#include "server/shard/data_group.h"

namespace kvd::service {

// What a store says that asks to be let in.
struct Applicant {
  std::string address;
  ClusterId cluster;   // 0: any
  uint64_t nonce = 0;  // of its own making; asking again with it gives the same ids
  StoreId lost;        // which store it was before it lost its log; 0: none
};

// The members whose place `store` takes (0: it has no id yet): those of other stores that were
// reached at its address, and the one that it was itself.
std::vector<raft::Member> Predecessors(const shard::GroupMeta& meta,
                                       const raft::Configuration& configuration, StoreId store,
                                       const std::string& address, StoreId lost);

// Whether nothing is left to ask for: it votes, or it follows in a group that has its voters, and
// nobody is left whose place it takes.
bool IsAdmitted(const shard::GroupMeta& meta, const raft::Configuration& configuration,
                const raft::Member& member, const std::string& address, StoreId lost,
                size_t voters_wanted);

// A replica's place is taken only once the leader has not heard from it for so long.
Duration SilenceMin(Duration election_timeout);

class Admission {
 public:
  struct Options {
    ClusterId cluster;
    // A joining store is made a voter while there are fewer than this; else it stays a learner.
    size_t voters_wanted = 3;
    Duration silence_min = SilenceMin(Duration::zero());
  };
  using Done = std::function<void(absl::StatusOr<raft::Member>)>;

  // All given outlive it.
  Admission(raft::Host* host, shard::DataGroup* group, Membership* membership, Options options)
      : host_(host), group_(group), membership_(membership), options_(options) {}

  // Allots the applicant's ids and goes on making it a member once `done` has been told. A store
  // asks again until it sees itself admitted, so that a change of leader in between loses nothing.
  // ALREADY_EXISTS while a live store has its address, UNAVAILABLE while that can't be told yet,
  // FAILED_PRECONDITION if it was removed or names another cluster.
  void Join(const Applicant& applicant, Done done);

  // Told once a newcomer follows that is to take the place of others.
  std::function<void(const raft::Member&, const std::vector<raft::Member>&)> on_replacing;

 private:
  absl::Status Check(const Applicant& applicant) const;
  absl::Status CheckPlace(const Applicant& applicant, StoreId store) const;
  StoreId StoreOf(uint64_t nonce) const;
  void Admit(raft::Member member, const std::string& address, StoreId lost);

  raft::Host* const host_;
  shard::DataGroup* const group_;
  Membership* const membership_;
  const Options options_;
  std::set<ReplicaId> admitting_;
};

}  // namespace kvd::service
