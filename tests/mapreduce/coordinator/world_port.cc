#include "tests/mapreduce/coordinator/world_port.h"

namespace kvd::jobs {

template <class T>
void JobsWorld::WorldPort::Call(Done<T> done, std::function<absl::StatusOr<T>()> far_end) {
  auto answered = std::make_shared<bool>(false);
  auto answer = [answered, done](absl::StatusOr<T> with) {
    if (*answered) return;
    *answered = true;
    done(std::move(with));
  };
  world_->Carry([world = world_, answer, far_end] {
    absl::StatusOr<T> result = far_end();
    world->Carry([answer, result] { answer(result); });
  });
  world_->scheduler_.After(milliseconds(3'000),
                           [answer] { answer(absl::UnavailableError("no answer")); });
}

// Slices of some rows each, never the same twice.
void JobsWorld::WorldPort::Cut(JobId job, const JobSpec& spec, Timestamp at,
                               Done<std::vector<Slice>> done) {
  Call<std::vector<Slice>>(std::move(done), [this, job, spec, at] {
    world_->data_clock_ = std::max(world_->data_clock_, at);
    std::vector<Slice> slices;
    Pairs all;
    size_t rows = world_->random_.Between(3, 30);
    for (const KeyRange& input : SortedInputs(spec)) {
      Pairs records = world_->data_.Read(input, at);
      Slice slice;
      slice.range.start = input.start;
      size_t in_slice = 0;
      for (const auto& [key, value] : records) {
        if (in_slice++ == rows) {
          slice.range.end = key;
          slices.push_back(slice);
          slice = {{key, ""}, 0};
          in_slice = 1;
        }
        slice.bytes += key.size() + value.size();
      }
      slice.range.end = input.end;
      slices.push_back(slice);
      all.insert(all.end(), records.begin(), records.end());
    }
    // Those of a job that is over by now may have lost their history.
    const Entry* entry = world_->state().Find(job);
    if (entry != nullptr && !IsOver(entry->job.state)) {
      auto [it, fresh] = world_->inputs_.emplace(job, all);
      if (!fresh && it->second != all) world_->Fail("the input at one timestamp has changed");
    }
    return slices;
  });
}

std::vector<StoreId> JobsWorld::WorldPort::Holders(const Slice& slice) {
  auto it = world_->shards_.upper_bound(slice.range.start);
  const std::set<StoreId>& holders = std::prev(it)->second;
  return {holders.begin(), holders.end()};
}

absl::StatusOr<Staged> JobsWorld::WorldPort::StageNow(JobId job, const JobSpec& spec,
                                                      const std::vector<Winner>& winners) {
  if (world_->swept_.count(job) != 0) {
    return absl::FailedPreconditionError("what was staged is swept already");
  }
  Staged staged;
  Pairs rows;
  for (const Winner& winner : winners) {
    const Store& store = world_->stores_[winner.store.value() - 1];
    if (!store.up || store.cut) return absl::UnavailableError("a winner's store is not there");
    auto file = store.files.find(winner.attempt);
    if (file == store.files.end() || file->second.damaged) {
      staged.lost.push_back(winner.attempt.task.number);
      continue;
    }
    if (file->second.hash != winner.hash) world_->Fail("a winner's file is not what was logged");
    const Pairs& part = file->second.partitions[0];
    rows.insert(rows.end(), part.begin(), part.end());
  }
  if (!staged.lost.empty()) return staged;
  for (const auto& [key, value] : rows) {
    if (spec.output.kind == OutputKind::kInline) absl::StrAppend(&staged.result, key, value);
  }
  world_->staged_[job] = std::move(rows);
  return staged;
}

void JobsWorld::WorldPort::Stage(JobId job, const JobSpec& spec, const std::vector<Winner>& winners,
                                 Done<Staged> done) {
  Call<Staged>(std::move(done),
               [this, job, spec, winners] { return StageNow(job, spec, winners); });
}

void JobsWorld::WorldPort::Publish(JobId job, const JobSpec&, Done<Nothing> done) {
  Call<Nothing>(std::move(done), [this, job]() -> absl::StatusOr<Nothing> {
    const Entry* entry = world_->state().Find(job);
    // A message that is late may come when it is long over.
    if (entry != nullptr && entry->job.state < JobState::kPublishing) {
      world_->Fail("output is shown before it is decided");
    }
    auto it = world_->staged_.find(job);
    if (it == world_->staged_.end()) {
      bool shown = world_->shown_.count(job) != 0;
      if (!shown) world_->Fail("what is published was never staged");
      return Nothing();
    }
    world_->shown_.emplace(job, it->second);
    world_->staged_.erase(it);
    return Nothing();
  });
}

void JobsWorld::WorldPort::Sweep(JobId job, const JobSpec&, bool published, Done<Nothing> done) {
  Call<Nothing>(std::move(done), [this, job, published]() -> absl::StatusOr<Nothing> {
    world_->swept_.insert(job);
    world_->staged_.erase(job);
    if (published != (world_->shown_.count(job) != 0)) {
      world_->Fail("swept as published and was not, or the other way round");
    }
    return Nothing();
  });
}

void JobsWorld::WorldRunner::Start(const Assignment& assignment) {
  ++world_->report_.attempts;
  uint64_t token = next_token_++;
  active_[assignment.id] = token;
  int steps = static_cast<int>(world_->random_.Between(1, 4));
  double pace = world_->stores_[store_].pace;
  double ms = static_cast<double>(world_->random_.Between(50, 500)) / pace;
  auto each = std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms));
  Step(assignment, token, 0, steps, each);
}

void JobsWorld::WorldRunner::Step(const Assignment& a, uint64_t token, int step, int steps,
                                  Duration each) {
  world_->scheduler_.After(each, [this, a, token, step, steps, each, alive = alive_] {
    if (!*alive) return;
    auto it = active_.find(a.id);
    if (it == active_.end() || it->second != token) return;
    Store& store = world_->stores_[store_];
    if (step < steps) {
      uint64_t whole = a.id.task.phase == Phase::kReduce ? 200 : a.slice.bytes;
      store.agent->OnProgress(a.id,
                              whole * static_cast<uint64_t>(step) / static_cast<uint64_t>(steps));
      return Step(a, token, step + 1, steps, each);
    }
    active_.erase(it);
    store.agent->OnFinished(Compute(a), world_->scheduler_.now());
  });
}

void JobsWorld::WorldRunner::Cancel(const AttemptId& attempt) { active_.erase(attempt); }

void JobsWorld::WorldRunner::Drop(JobId job, const std::vector<AttemptId>& keep) {
  auto& files = world_->stores_[store_].files;
  for (auto it = files.begin(); it != files.end();) {
    bool kept = std::find(keep.begin(), keep.end(), it->first) != keep.end();
    it = it->first.job == job && !kept ? files.erase(it) : std::next(it);
  }
}

std::vector<AttemptId> JobsWorld::WorldRunner::Files() const {
  std::vector<AttemptId> out;
  for (const auto& [id, file] : world_->stores_[store_].files) out.push_back(id);
  return out;
}

AttemptResult JobsWorld::WorldRunner::Compute(const Assignment& a) {
  AttemptResult result;
  result.id = a.id;
  result.outcome = Outcome::kDone;
  if (world_->faulting_ && world_->random_.Chance(world_->failing_)) {
    ++world_->report_.injected;
    ++world_->injected_[{a.id.job, a.id.task}];
    result.outcome = Outcome::kFailed;
    result.reason = "injected";
  } else if (a.id.task.phase == Phase::kReduce) {
    ComputeReduce(a, &result);
  } else {
    ComputeMap(a, &result);
  }
  return result;
}

void JobsWorld::WorldRunner::ComputeMap(const Assignment& a, AttemptResult* result) {
  const Entry* entry = world_->state().Find(a.id.job);
  bool open = entry != nullptr && !IsOver(entry->job.state);
  if (a.at < world_->data_.safe_point()) {
    if (open) world_->Fail(ToString(a.id) + " reads history that is gone");
    result->outcome = Outcome::kFailed;
    result->reason = "history is gone";
    return;
  }
  Pairs records = world_->data_.Read(a.slice.range, a.at);
  if (a.id.task.phase == Phase::kSample) {
    result->sample = RunSample(*a.spec, records);
    return;
  }
  auto file = RunMap(*a.spec, records, a.partitions, a.splitters, a.skip, &result->bad);
  if (!file) {
    result->outcome = Outcome::kBadRecord;
    return;
  }
  result->output.skipped = static_cast<uint32_t>(a.skip.size());
  Keep(a.id, *std::move(file), result);
}

void JobsWorld::WorldRunner::ComputeReduce(const Assignment& a, AttemptResult* result) {
  std::vector<const Pairs*> sources;
  for (const Source& source : a.sources) {
    const Store& from = world_->stores_[source.store.value() - 1];
    bool own = source.store == world_->stores_[store_].id;
    bool there = own || (from.up && !from.cut && !world_->stores_[store_].cut);
    auto file = from.files.find({a.id.job, {Phase::kMap, source.map}, source.attempt});
    bool whole = file != from.files.end() && !file->second.damaged;
    if (there && whole) {
      sources.push_back(&file->second.partitions[a.id.task.number]);
    } else {
      result->lost.push_back({source.map, source.attempt, there});
    }
  }
  if (!result->lost.empty()) {
    ++world_->report_.fetch_failures;
    result->outcome = Outcome::kFetchFailed;
    result->reason = "maps' outputs can't be read";
    return;
  }
  Keep(a.id, RunReduce(*a.spec, sources), result);
}

void JobsWorld::WorldRunner::Keep(const AttemptId& id, ModelFile file, AttemptResult* result) {
  result->output.hash = file.hash;
  result->output.bytes = file.bytes;
  result->output.records = file.records;
  result->output.counters = file.counters;
  world_->stores_[store_].files[id] = std::move(file);
}

}  // namespace kvd::jobs
