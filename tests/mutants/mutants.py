#!/usr/bin/env python3
"""Plants known mistakes in the code, one at a time, and shows that the simulators find each.

    tests/mutants/mutants.py [--only NAME ...] [--by SIMULATOR ...] [--seeds N] [--core-seeds N]

Each mutant is a replacement in one file that has cost some real system data. The tree is copied and run as
it is over the same seeds, which must be clean: else nothing that follows means anything. Then each mutant is built, and the
random runs of bare cores, the scenarios by name, and the simulated clusters, of one group and those that
look after themselves, and of jobs, run until a seed or a scenario fails, which is all that counts as found. A mutant that no seed within the limit finds is a hole in the checkers, and so is one whose runs hang,
unless it may: the exit code is 1.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRATCH = ROOT / ".build" / "mutants"

# A mutant has to be found within so many seeds; more are refused (tests/README.md).
SEEDS_MAX = 2000
CORE_SEEDS_MAX = 10000
# What a run may take, for each second that the control took for as many seeds: no slow machine is a hang.
SLOWDOWN_MAX = 20

# Names of mutants whose runs may go on for ever: of these alone a hang is a find.
MAY_HANG = set()

# The simulators, the quickest first, and what builds each.
TARGETS = {"transfers": "raft_core_transfer_test", "cores": "core_chaos", "scenarios": "scenario_test",
           "jobs": "jobs_soak", "cluster": "soak", "world": "world_soak"}

# name, file, what is there, what the mutant has instead; more such pairs may follow
MUTANTS = [
    ("a state that can't take more holds up the loop", "raft/host.cc",
     "group.core->TakeOutput(CanApply(group))",
     "group.core->TakeOutput(CanApply(group) || true)"),
    ("commit an earlier term's entry by counting (figure 8)", "raft/core/core_leader.cc",
     "if (quorum <= commit_index() || log_.TermAt(quorum) != term()) return;",
     "if (quorum <= commit_index()) return;"),
    ("an empty append acknowledges what is not on disk yet", "raft/core/core_follower.cc",
     "reply.hint_term = log_.TermAt(reply.hint_index).value_or(Term());\n  }\n  SendAfterPersist(",
     "reply.hint_term = log_.TermAt(reply.hint_index).value_or(Term());\n  }\n  if (m.entries.empty()) return Send(reply);\n  SendAfterPersist("),
    ("an append is acknowledged before it is on disk", "raft/core/core_follower.cc",
     "reply.hint_term = log_.TermAt(reply.hint_index).value_or(Term());\n  }\n  SendAfterPersist(",
     "reply.hint_term = log_.TermAt(reply.hint_index).value_or(Term());\n  }\n  Send("),
    ("a vote is granted twice in a term", "raft/core/core_election.cc",
     "bool can_vote = hard_state_.vote == m.from || (!hard_state_.vote && !leader_);",
     "bool can_vote = true;"),
    ("a vote is told before it is on disk", "raft/core/core_election.cc",
     "reply.reject = !grant;\n  SendAfterPersist(std::move(reply));",
     "reply.reject = !grant;\n  Send(std::move(reply));"),
    ("a restarted voter votes at once", "raft/core/core.cc",
     "if (initial.restarted) no_votes_before_ = now + options_.election_timeout_min;", ""),
    ("a shorter log wins votes", "raft/core/core_election.cc",
     "(m.log_term == log_.last_term() && m.index >= log_.last_index());",
     "(m.log_term == log_.last_term());"),
    ("a leader that steps down drops what is not committed here", "raft/core/core.cc",
     "  if (role_ == Role::kLeader) {\n    FailReads();\n    led_since_ = now_;\n  }",
     "  if (role_ == Role::kLeader) {\n    FailReads();\n    led_since_ = now_;\n    if (commit_index() > log_.start() && commit_index() < log_.stable()) "
     "log_.TruncateFrom(commit_index() + 1), DropConfigurationsFrom(commit_index() + 1), output_.entries.clear();\n  }"),
    ("membership changes overlap, in single steps", "raft/core/core_membership.cc",
     "if (next.voters != configuration().voters) next.outgoing = configuration().voters;", ""),
    ("a joint configuration decides by its new half alone", "raft/core/quorum.h",
     "if (configuration.IsJoint()) value = std::min(value, MajorityValue(configuration.outgoing, of));", ""),
    ("no check-quorum", "raft/core/core_election.cc",
     "if (now_ - contact >= options_.election_timeout_min) BecomeFollower(term(), ReplicaId());",
     "(void)contact;"),
    ("a lease counts from the answer", "raft/core/core_leader.cc",
     "progress.acked_sent_at = std::max(progress.acked_sent_at, m.sent_at);",
     "progress.acked_sent_at = now_;"),
    ("a lease outlives its time", "raft/core/core_read.cc",
     "return now < sent_at + options_.lease_duration;",
     "return now < sent_at + 4 * options_.lease_duration;"),
    ("a lease survives TimeoutNow", "raft/core/core_election.cc",
     "lease_forfeited_until_ = now_ + 4 * options_.election_timeout_min + options_.lease_duration;", ""),
    ("a lease comes back while TimeoutNow may arrive", "raft/core/core_election.cc",
     "lease_forfeited_until_ = now_ + 4 * options_.election_timeout_min + options_.lease_duration;",
     "lease_forfeited_until_ = now_ + options_.election_timeout_min / 4;"),
    ("TimeoutNow of long ago is obeyed", "raft/core/core_election.cc",
     "if (late || m.follower_life != life_) return;", "(void)late;"),
    ("a transfer's votes count for ever", "raft/core/core_election.cc",
     "if (now_ >= votes_count_until_) return;", ""),
    ("a read index is confirmed by nobody", "raft/core/core_read.cc",
     "if (id == id_) return round_;", "if (id == id_ || id) return round_;"),
    ("a new leader trusts its lease before its term's first commit", "raft/core/core_read.cc",
     "if (!KnowsCommitted() || now < lease_forfeited_until_) return false;",
     "if (role_ != Role::kLeader || now < lease_forfeited_until_) return false;"),
    ("a snapshot drops entries that were acknowledged", "raft/core/core.cc",
     "  if (log_.Matches(meta.index, meta.term)) {\n    // The log holds it all",
     "  if (false) {\n    // The log holds it all"),
    ("a snapshot's position is off by one", "raft/core/core.cc",
     "log_.Reset(meta.index, meta.term);", "log_.Reset(meta.index + 1, meta.term);"),
    ("the log forgets the term it begins behind", "raft/core/log.cc",
     "start_ = index;\n  start_term_ = term;", "start_ = index;"),
    ("a replica without its state campaigns", "raft/core/core_election.cc",
     "if (removed_ || NeedsState() || NeedsRepair()) return false;", "if (removed_ || NeedsRepair()) return false;"),
    ("configurations stay when their entries are replaced", "raft/core/core_membership.cc",
     "while (configurations_.size() > 1 && configurations_.back().index >= index) {",
     "while (false) {"),
    ("a proposal is carried into a later term", "raft/host_apply.cc",
     "bool applied = pending.index == entry->index && pending.term == entry->term;",
     "bool applied = pending.index == entry->index;",
     "    FailProposals(group);\n    group.senders.clear();", "    group.senders.clear();"),
    ("a read does not wait until its index is applied", "raft/host_apply.cc",
     "if (group.core->applied_index() >= item.ticket.index) {", "if (true) {"),
    ("the log is cut past what is flushed", "raft/host_apply.cc",
     "{target, group.state_machine->DurableIndex(), group.core->applied_index(), log.stable()}",
     "{target, group.core->applied_index(), log.stable()}",
     "if (target > group.state_machine->DurableIndex() || !log", "if (!log"),
    ("a duplicate is not recognised after a restart", "server/shard/data_group.cc",
     "writers_.Restart(meta_.clock);", "writers_.Restart(Timestamp());"),
    ("a duplicate is not recognised after a snapshot", "server/shard/data_group_snapshot.cc",
     "writers_.Restart(meta_.clock);", ""),
    ("duplicates are never looked up", "server/shard/executor.cc",
     "if (writers_->IsNew(command.writer, command.token)) return std::nullopt;", "return std::nullopt;"),
    ("a retry that changes nothing leaves no outcome", "server/shard/executor.cc",
     "if (!has_primary && (!planned.empty() || command.attempt > 1)) {",
     "if (!has_primary && !planned.empty()) {"),
    ("a compaction drops the last tombstone above older versions", "server/storage/gc_filter.cc",
     "return sees_all_levels_ && IsDead(", "return IsDead("),
    ("the sweep does not look for older versions", "server/storage/sweeper.cc",
     "if (!it.Valid() || !IsVersionOf(prefix, it.key())) return dead;",
     "if (dead || !it.Valid() || !IsVersionOf(prefix, it.key())) return dead;"),
    ("entries in one batch do not see each other", "server/shard/data_group.cc",
     "unwritten_ && Reads(*command) ? WriteBatch(batch) : absl::OkStatus();", "absl::OkStatus();"),
    ("a write does not tell the row cache", "server/shard/executor.cc",
     "if (p.kind != VersionKind::kOutcome) rows_->Replace(p.key, timestamp, encoded);", ""),
    ("a read in the past fills the row cache", "server/shard/data_group_read.cc",
     "if (checked && at >= meta_.clock) row_cache_.Insert(", "if (checked) row_cache_.Insert("),
    ("a wiped state keeps the row cache", "server/shard/data_group_snapshot.cc",
     "  row_cache_.Clear();\n", ""),
    ("a value that is not the one written is read all the same", "server/storage/mvcc_reader.cc",
     "if (v.kind != VersionKind::kValue || ValueChecksum(user_key, v.value) == v.crc32c) {", "if (true) {"),
    ("a damaged state is not reported by who applies", "server/shard/data_group.cc",
     "if (!absl::IsDataLoss(status) || !Report(status)) Fatal(status);", "if (!absl::IsDataLoss(status)) Fatal(status);"),
    ("a damaged log ends where the damage begins", "raft/log_recovery.cc",
     "  place(index) = Damaged(index, term);",
     "  log.entries.resize(0);\n  log.hard_state.commit = record.start.index;\n  return log;\n  place(index) = Damaged(index, term);"),
    ("a replica that repairs its log votes and campaigns", "raft/core/core_election.cc",
     "  if (NeedsRepair()) free = false;\n", "",
     "if (removed_ || NeedsState() || NeedsRepair()) return false;", "if (removed_ || NeedsState()) return false;"),
    ("what can be read before damage is trusted", "raft/log_recovery.cc",
     "for (Index i = record.start.index + 1; i < index; ++i) place(i) = Damaged(i, Term());",
     "for (Index i = record.start.index + 1; i < index; ++i) {\n    auto it = found.entries.find(i);\n"
     "    place(i) = it == found.entries.end() ? Damaged(i, Term()) : it->second.entry;\n  }"),
    ("anybody's log replaces what is in doubt", "raft/core/core_repair.cc",
     "if (m.from != leader_ || m.term != term() || m.entries.empty()) return;", "if (m.entries.empty()) return;",
     "if (IsLeader()) FillReplacement(m, &reply);", "FillReplacement(m, &reply);"),
    ("a replacement is taken before it is whole", "raft/core/core_repair.cc",
     "if (replacement_.back()->index >= replacement_end_) return ReplaceLog();", "return ReplaceLog();"),
    ("no pre-vote", "raft/core/core.cc",
     "StartElection(/*pre_vote=*/true, /*transfer=*/false);", "StartElection(/*pre_vote=*/false, /*transfer=*/false);"),
    ("a lease is not confirmed after reading", "raft/host.cc",
     "return group->core->term() == ticket.term && group->core->HoldsLease(loop_->Now());", "return true;"),
    ("a retry is sent as a new write", "client/src/session.cc",
     "if (call.attempt == 1) {\n      writer->set_client_id", "if (true) {\n      writer->set_client_id"),
    ("a shard that arrives is served before it is whole", "server/shard/shard_table.cc",
     "return shard != nullptr && shard->state == ShardState::kServing ? shard : nullptr;",
     "return shard != nullptr && shard->state != ShardState::kFrozen ? shard : nullptr;"),
    ("a shard that leaves is served on", "server/shard/shard_table.cc",
     "return shard != nullptr && shard->state == ShardState::kServing ? shard : nullptr;",
     "return shard != nullptr && shard->state != ShardState::kImporting ? shard : nullptr;"),
    ("who owns a key is asked when proposed, not when applied", "server/shard/executor.cc",
     "for (const Operation& op : command.operations) status.Update(check(op.key));", ""),
    ("a move forgets who wrote", "server/shard/shard_export.cc",
     "AppendRow(&key_rows_, {key, timestamp, storage::Encode(version)});",
     "{\n      storage::Version nobodys = version;\n      nobodys.writer = {};\n"
     "      AppendRow(&key_rows_, {key, timestamp, storage::Encode(nobodys)});\n    }"),
    ("whoever wrote to an arrived shard is taken for new", "server/shard/data_group_shards.cc",
     "writers_.Restart(timestamp);", ""),
    ("the history of a shard that leaves is not pinned", "server/shard/shard_table.cc",
     "if (exported) pin = std::min(pin, shard.copied);", "(void)exported;"),
    ("a round leaves out its last moment", "server/shard/shard_export.cc",
     "if (timestamp > request_.after && timestamp <= out_->upto)",
     "if (timestamp > request_.after && timestamp < out_->upto)"),
    ("a replica gives what it does not have yet", "server/shard/data_group_shards.cc",
     "!moves || request.upto > meta_.clock) {", "!moves) {"),
    ("the source drops a shard before the target has it", "shardctrler/driver.cc",
     "Timestamp safe_point = frozen.safe_point;",
     "Timestamp safe_point = frozen.safe_point;\n    ShardStep drop = StepOf(id, o, StepKind::kDrop);\n"
     "    drop.epoch = o.epoch + 1;\n    port_->Step(o.group, drop, [](const auto&) {});"),
    ("a merged shard keeps its epoch", "server/shard/shard_steps.cc",
     "left.epoch = std::max(left.epoch, right->epoch) + 1;",
     "left.epoch = std::max(left.epoch, right->epoch);"),
    ("a change of replicas that was given up goes on", "server/node/replica_change.cc",
     "if (group_->meta().fence >= change_.operation) {", "if (!change_.operation) {"),
    ("a move is published before the target serves", "shardctrler/driver.cc",
     "Step(id, o.to, complete, [this, id](const StepAnswer&) {\n                    KVD_FAULT_POINT(kCompleted);\n"
     "                    Advance(id, Phase::kPublished);\n                  });",
     "port_->Step(o.to, complete, [](const auto&) {});\n                  Advance(id, Phase::kPublished);"),
    ("a second output of a task takes the first one's place", "mapreduce/coordinator/machine_tasks.cc",
     "if (task.available) {\n    return absl::AlreadyExistsError(", "if (false) {\n    return absl::AlreadyExistsError("),
    ("attempts of a task whose output was lost are not over", "mapreduce/coordinator/machine_tasks.cc",
     "task.over_upto = attempt.number;", ""),
    ("counters of a lost output are counted too", "mapreduce/coordinator/machine_tasks.cc",
     "task.output = command.output;",
     "task.output = command.output;\n  if (known.output) AddCounters(known.output->counters, &task.output->counters);"),
    ("a bad record is counted each time that it is met", "mapreduce/coordinator/machine_tasks.cc",
     "if (known || task.available) return absl::OkStatus();",
     "if (task.available) return absl::OkStatus();"),
    ("a job's pin ends before the job", "mapreduce/coordinator/state.cc",
     "if (job.pin && !IsOver(job.state))", "if (job.pin && !IsOver(job.state) && !entry.OutputsAvailable())"),
    ("safe points do not ask for pins", "mapreduce/coordinator/machine.cc",
     "std::min({command.at, state_.LowestPin(), context.now})", "std::min({command.at, context.now})"),
    ("a job submitted again is another one", "mapreduce/coordinator/machine.cc",
     "if (result->job) return absl::OkStatus();", ""),
    ("a new coordinator assigns at once", "mapreduce/coordinator/coordinator.h",
     "return now < began_ + options_.lease;", "return now < began_;"),
    ("a store that reaches no coordinator runs on", "mapreduce/coordinator/agent.cc",
     "if (running_.empty() || now < renewed_at_ + options_.lease) return;", "(void)now;\n  return;"),
    ("attempts are not told which records to skip", "mapreduce/coordinator/coordinator_assign.cc",
     "for (const BadRecord& bad : known.skipped) a.skip.push_back(bad.key);", ""),
    ("files of a job that runs are dropped", "mapreduce/coordinator/coordinator_poll.cc",
     "if (entry != nullptr && !IsOver(entry->job.state)) continue;\n    Drop", "Drop"),
    ("what was staged for nothing stays", "mapreduce/coordinator/coordinator_steps.cc",
     "port_->Sweep(id, *entry.spec, published,\n               Then<Nothing>(id, [this, id](const Nothing&) { SweepTasks(id); }));",
     "(void)published;\n  SweepTasks(id);"),
    ("progress falls when an attempt ends", "mapreduce/coordinator/coordinator_status.cc",
     "mark = std::max(mark, status.bytes_done);", "mark = status.bytes_done;"),
    ("a new coordinator forgets what was told of progress", "mapreduce/coordinator/coordinator_status.cc",
     "known = std::max(known, mark.bytes);", "(void)known;"),
]


def run(words, **options):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def copy_tree():
    source = SCRATCH / "src"
    files = run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT).stdout.split("\n")
    for name in filter(None, files):
        to = source / name
        if not (ROOT / name).is_file():
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        if not to.exists() or to.read_bytes() != (ROOT / name).read_bytes():
            shutil.copyfile(ROOT / name, to)
    return source


def build(source, chosen):
    directory = SCRATCH / "build"
    if not (directory / "build.ninja").exists():
        run(["cmake", "-S", source, "-B", directory, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"], check=True)
    return run(["cmake", "--build", directory, "--target", *(TARGETS[by] for by in chosen)]), directory


def failing_seed(output):
    found = re.search(r"seed (\d+) failed", output)
    return int(found.group(1)) if found else None


def simulators(directory, core_seeds, seeds, chosen):
    """Name, command and number of seeds of each that is chosen."""
    found = [("transfers", [directory / "tests/raft/raft_core_transfer_test", "--gtest_brief=1"], 1),
             ("cores", [directory / "tests/raft/core_chaos", "--seeds", str(core_seeds)], core_seeds),
             ("scenarios", [directory / "tests/sim/scenario_test", "--gtest_brief=1"], 1),
             ("jobs", [directory / "tests/mapreduce/coordinator/jobs_soak", "--stop", "--seeds", str(seeds)], seeds),
             ("cluster", [directory / "tests/sim/soak", "--stop", "--seeds", str(seeds)], seeds),
             ("world", [directory / "tests/sim/world_soak", "--stop", "--seeds", str(seeds)], seeds)]
    return [simulator for simulator in found if simulator[0] in chosen]


def control(directory, seeds, core_seeds, chosen):
    """Runs the tree as it is over the seeds that mutants get, since one that fails anyway would find them
    all; the seconds a seed takes by simulator. Ends if anything is found."""
    took = {}
    for by, command, count in simulators(directory, core_seeds, seeds, chosen):
        start = time.monotonic()
        ran = run(command)
        if ran.returncode != 0:
            sys.exit(f"the tree as it is fails, so that no find would mean anything:\n{ran.stdout[-4000:]}")
        took[by] = (time.monotonic() - start) / count
        print(f"{'(none: the tree as it is)':62} {'clean':9} {count:>6}  {took[by] * count:.0f}  {by}", flush=True)
    return took


def hunt(directory, seeds, core_seeds, took, chosen):
    """Verdict ("found", "missed" or "hung"), by which simulator, and at which seed."""
    for by, command, count in simulators(directory, core_seeds, seeds, chosen):
        try:
            ran = run(command, timeout=60 + SLOWDOWN_MAX * took[by] * count)
        except subprocess.TimeoutExpired:
            return "hung", by, None
        seed = failing_seed(ran.stdout)
        # Runs of whole systems also fail for what never happened in them, which is no find.
        if seed is not None or (by not in ("jobs", "cluster", "world") and ran.returncode != 0):
            return "found", by, seed
    return "missed", "-", None


def plant(source, name, file, replacements):
    """Changes the file; what it was before."""
    path = source / file
    text = mutated = path.read_text()
    for old, new in zip(replacements[::2], replacements[1::2]):
        if mutated.count(old) != 1:
            sys.exit(f"{name}: the code to replace is {mutated.count(old)} times in {file}")
        mutated = mutated.replace(old, new)
    path.write_text(mutated)
    return text


def seeds_up_to(most):
    def parse(text):
        if not text.isdigit() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} is no number from 1 to {most}")
        return int(text)
    return parse


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="parts of names")
    parser.add_argument("--by", nargs="+", choices=list(TARGETS), default=list(TARGETS),
                        help="the simulators that look for it")
    parser.add_argument("--seeds", type=seeds_up_to(SEEDS_MAX), default=SEEDS_MAX,
                        help=f"of each kind of simulated cluster, at most {SEEDS_MAX}")
    parser.add_argument("--core-seeds", type=seeds_up_to(CORE_SEEDS_MAX), default=CORE_SEEDS_MAX,
                        help=f"of bare cores, at most {CORE_SEEDS_MAX}")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    chosen = [m for m in MUTANTS if not arguments.only or any(part in m[0] for part in arguments.only)]
    if not chosen:
        sys.exit(f"--only {' '.join(arguments.only)}: no mutant has that in its name")
    source = copy_tree()
    built, directory = build(source, arguments.by)
    if built.returncode != 0:
        sys.exit(built.stdout)
    print(f"{'MUTANT':62} {'FOUND BY':9} {'SEEDS':>6}  SECONDS")
    took = control(directory, arguments.seeds, arguments.core_seeds, arguments.by)
    holes = 0
    for name, file, *replacements in chosen:
        start = time.monotonic()
        text = plant(source, name, file, replacements)
        try:
            built, _ = build(source, arguments.by)
            if built.returncode != 0:
                sys.exit(f"{name}: does not build\n{built.stdout}")
            verdict, by, seed = hunt(directory, arguments.seeds, arguments.core_seeds, took,
                                      arguments.by)
        finally:
            (source / file).write_text(text)
        holes += verdict == "missed" or (verdict == "hung" and name not in MAY_HANG)
        told = by if verdict == "found" else verdict
        print(f"{name:62} {told:9} {seed if seed is not None else '-':>6}  {time.monotonic() - start:.0f}", flush=True)
    print(f"{len(chosen)} mutants, {holes} not found")
    sys.exit(1 if holes else 0)


if __name__ == "__main__":
    main()
