// Named places where a crash or a delay at just that moment has a history of hurting. A test sets
// an injector, which is asked each time such a place is passed; in a release they are not compiled
// in.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvd {

// name, what it prints as: module and moment
#define KVD_FAULT_POINTS(X)                                                \
  X(kTurnBegins, "host: a turn begins")                                    \
  X(kBeforeMessages, "host: messages are about to leave")                  \
  X(kAfterMessages, "host: messages have left, nothing is written")        \
  X(kAfterSubmit, "host: the log's write was handed over")                 \
  X(kWritten, "host: the log's write is on disk")                          \
  X(kAfterWrittenMessages, "host: what waited for the disk has left")      \
  X(kAfterPersisted, "host: the core knows of the write")                  \
  X(kMessagesArrive, "host: messages have arrived")                        \
  X(kTick, "host: a tick")                                                 \
  X(kProposed, "host: a command was proposed")                             \
  X(kProposeRefused, "host: a command was refused")                        \
  X(kReadByLease, "host: a read goes by the lease")                        \
  X(kReadByIndex, "host: a read asks for a round")                         \
  X(kReadConfirmed, "host: a read's index is confirmed")                   \
  X(kReadsFailed, "host: reads fail with the leadership")                  \
  X(kBeforeApply, "host: entries are about to be applied")                 \
  X(kAfterApply, "host: entries are applied, the core does not know")      \
  X(kAnswered, "host: proposals were answered")                            \
  X(kBecameLeader, "host: leadership was won")                             \
  X(kLostLeadership, "host: leadership was lost")                          \
  X(kMembershipProposed, "host: a change of members was proposed")         \
  X(kMembershipDone, "host: a change of members is done")                  \
  X(kTransferBegins, "host: leadership is to be handed over")              \
  X(kBeforeTruncate, "host: the log is about to be cut")                   \
  X(kAfterTruncate, "host: the log's cut was handed over")                 \
  X(kRepairing, "host: damaged entries were repaired in memory")           \
  X(kSnapshotBegins, "host: a snapshot was taken")                         \
  X(kSnapshotSent, "host: a snapshot was sent or given up")                \
  X(kChunkArrives, "host: a chunk has arrived")                            \
  X(kChunkStaged, "host: a chunk is staged")                               \
  X(kBeforeInstall, "host: a snapshot is about to be installed")           \
  X(kStateInstalled, "host: the state is replaced, the log is not")        \
  X(kLogReset, "host: state and log are replaced, the core does not know") \
  X(kInstalled, "host: the snapshot is installed, nobody knows")           \
  X(kBetweenEntries, "shard: between two entries of a batch")              \
  X(kBeforeBatch, "shard: a batch is about to be written")                 \
  X(kAfterBatch, "shard: a batch is written")                              \
  X(kDuplicateFound, "shard: a duplicate is answered from history")        \
  X(kOutcomeLeft, "shard: an outcome version is left")                     \
  X(kSafePointRaised, "shard: the safe point rises")                       \
  X(kMadeWay, "storage: the old state is gone, the new one is not there")  \
  X(kSweeps, "shard: dead keys are swept")                                 \
  X(kDutyProposed, "shard: a duty was proposed")                           \
  X(kStateDamaged, "shard: damage in the state was met")                   \
  X(kGoingOut, "shard: the state is about to be given up")                 \
  X(kLeaderReady, "shard: a new leader takes what has waited")             \
  X(kReadPrepared, "dispatch: where a read looks is known")                \
  X(kReadDone, "dispatch: a read is done and not confirmed")               \
  X(kForwarding, "dispatch: a request goes on to the leader")              \
  X(kAnswering, "dispatch: a write's answer is about to leave")            \
  X(kLearnerAdded, "members: a learner was added")                         \
  X(kPromoting, "members: a learner is about to vote")

// What only a cluster of several groups with a controller passes.
#define KVD_CLUSTER_FAULT_POINTS(X)                                                   \
  X(kReplicaCreated, "groups: a replica's log is there, it is not started")           \
  X(kBeforeErase, "groups: a replica is removed, its state is not erased")            \
  X(kChangeFenced, "members: earlier changes are fenced off")                         \
  X(kChangeCarriedOut, "members: a change is carried out, nobody was told")           \
  X(kRowsAnswered, "move: rows are about to leave the source")                        \
  X(kRowsArrive, "move: rows have arrived at the target")                             \
  X(kRowsApplied, "move: rows are in the target's state, the next are not asked for") \
  X(kRoundOver, "move: a round has ended, the controller does not know")              \
  X(kFrozen, "move: the source is frozen, the rest is not pulled")                    \
  X(kBeforeComplete, "move: the target has all and is about to serve")                \
  X(kCompleted, "move: the target serves, the map does not say so")                   \
  X(kDropped, "move: the source has dropped the shard, the operation is open")        \
  X(kImportAborted, "move: the target has given up, the source is still pinned")      \
  X(kPhaseBegins, "controller: a phase of an operation begins")                       \
  X(kPhaseOver, "controller: a phase is over, its end is not proposed")               \
  X(kPhaseProposed, "controller: a phase's end was proposed")                         \
  X(kOperationBegun, "controller: an operation is about to be begun")                 \
  X(kStoreLetIn, "controller: a store was let in and does not know")                  \
  X(kReportTaken, "controller: a report was taken in, the answer has not left")       \
  X(kReportLeaves, "node: a report is about to leave")                                \
  X(kRoutingTaken, "node: a newer map was taken in")                                  \
  X(kHandingOver, "node: leadership is asked to go elsewhere")                        \
  X(kGathersAgain, "dispatch: groups of a multi-get are behind")                      \
  X(kScanProbes, "dispatch: the groups of a scan are asked how far they are")

enum class FaultPoint : uint8_t {
#define KVD_FAULT_POINT_NAME(name, text) name,
  KVD_FAULT_POINTS(KVD_FAULT_POINT_NAME) KVD_CLUSTER_FAULT_POINTS(KVD_FAULT_POINT_NAME)
#undef KVD_FAULT_POINT_NAME
};

inline constexpr const char* kFaultPointNames[] = {
#define KVD_FAULT_POINT_TEXT(name, text) text,
    KVD_FAULT_POINTS(KVD_FAULT_POINT_TEXT) KVD_CLUSTER_FAULT_POINTS(KVD_FAULT_POINT_TEXT)
#undef KVD_FAULT_POINT_TEXT
};
inline constexpr size_t kFaultPointCount = sizeof kFaultPointNames / sizeof kFaultPointNames[0];
// The first ones, which one group passes by itself.
#define KVD_FAULT_POINT_ONE(name, text) +1
inline constexpr size_t kGroupFaultPointCount = 0 KVD_FAULT_POINTS(KVD_FAULT_POINT_ONE);
#undef KVD_FAULT_POINT_ONE

class FaultInjector {
 public:
  virtual ~FaultInjector() = default;
  // May throw, which ends the simulated process.
  virtual void Pass(FaultPoint point) = 0;
};

// Of this thread; null: none.
inline constinit thread_local FaultInjector* fault_injector = nullptr;

}  // namespace kvd

#ifdef KVD_FAULTS
#define KVD_FAULT_POINT(name)                               \
  do {                                                      \
    if (::kvd::fault_injector != nullptr) [[unlikely]] {    \
      ::kvd::fault_injector->Pass(::kvd::FaultPoint::name); \
    }                                                       \
  } while (false)
#else
#define KVD_FAULT_POINT(name) \
  do {                        \
  } while (false)
#endif
