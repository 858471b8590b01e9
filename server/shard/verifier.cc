#include "server/shard/verifier.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/storage/mvcc_key.h"

namespace kvd::shard {
namespace {

constexpr uint64_t kSliceBytes = 1 << 20;
constexpr size_t kDamageTold = 10;

// Reads the state with one iterator, made when the state was current: compactions drop old versions
// even from views, but not from the files that an iterator holds.
class VerifyJob : public Job {
 public:
  using Report = std::function<void(const Verification&)>;

  VerifyJob(Verification verification, GroupId group, std::unique_ptr<storage::View> view,
            Timestamp safe_point, Timestamp clock, std::unique_ptr<StorageCheck> check,
            std::shared_ptr<std::atomic<bool>> cancelled, Report report)
      : verification_(std::move(verification)),
        view_(std::move(view)),
        hasher_(group, safe_point, clock),
        check_(std::move(check)),
        cancelled_(std::move(cancelled)),
        report_(std::move(report)) {
    storage::IterateOptions options;
    std::tie(options.lower, options.upper) = storage::GroupBounds(group);
    options.fill_cache = false;
    iterator_ = view_->NewIterator(options);
    begin_ = options.lower;
  }

  bool Step() override {
    if (*cancelled_) return false;
    if (iterator_ != nullptr) {
      ReadState();
    } else if (check_ == nullptr || !check_->Step(&verification_.storage)) {
      verification_.done = true;
    }
    report_(verification_);
    return !verification_.done;
  }

 private:
  void ReadState() {
    if (!begun_) iterator_->Seek(begin_);
    begun_ = true;
    uint64_t end = hasher_.totals().bytes + kSliceBytes;
    for (; iterator_->Valid() && hasher_.totals().bytes < end; iterator_->Next()) {
      hasher_.Add(iterator_->key(), iterator_->value());
    }
    verification_.state = hasher_.totals();
    if (iterator_->Valid()) return;
    verification_.hashed = iterator_->status().ok();
    if (!verification_.hashed) {
      verification_.storage.NoteState(
          absl::StrCat("reading the state: ", iterator_->status().message()));
    }
    // What they hold on the disk can go.
    iterator_.reset();
    view_.reset();
  }

  Verification verification_;
  std::unique_ptr<storage::View> view_;
  std::unique_ptr<storage::Iterator> iterator_;  // null once the state is read
  std::string begin_;
  bool begun_ = false;
  StateHasher hasher_;
  const std::unique_ptr<StorageCheck> check_;
  const std::shared_ptr<std::atomic<bool>> cancelled_;
  const Report report_;
};

}  // namespace

void StorageTotals::Note(std::string what) {
  ++damaged;
  if (damage.size() < kDamageTold) damage.push_back(std::move(what));
}

void StorageTotals::NoteState(std::string what) {
  if (state_damage.empty()) state_damage = what;
  Note(std::move(what));
}

Verifier::Verifier(Loop* loop, Worker* worker, MakeCheck make_check)
    : loop_(loop), worker_(worker), make_check_(std::move(make_check)) {}

Verifier::~Verifier() {
  for (Kept& kept : kept_) *kept.cancelled = true;
}

void Verifier::Begin(uint64_t id, GroupId group, Index index, std::unique_ptr<storage::View> view,
                     Timestamp safe_point, Timestamp clock) {
  if (kept_.size() == kVerificationsMax) {
    *kept_.front().cancelled = true;
    kept_.pop_front();
  }
  Kept& kept = kept_.emplace_back();
  kept.verification.id = id;
  kept.verification.index = index;
  kept.cancelled = std::make_shared<std::atomic<bool>>(false);
  auto report = [this, loop = loop_,
                 alive = std::weak_ptr<bool>(alive_)](const Verification& told) {
    loop->Post([this, alive, told] {
      if (alive.expired()) return;
      for (Kept& kept : kept_) {
        if (kept.verification.id == told.id) kept.verification = told;
      }
      if (told.done && !told.state_damage().empty() && on_damage) {
        on_damage(absl::DataLossError(told.state_damage()));
      }
    });
  };
  worker_->Run(std::make_unique<VerifyJob>(kept.verification, group, std::move(view), safe_point,
                                           clock, make_check_ ? make_check_() : nullptr,
                                           kept.cancelled, std::move(report)));
}

const Verification* Verifier::Find(uint64_t id) const {
  for (const Kept& kept : kept_) {
    if (kept.verification.id == id) return &kept.verification;
  }
  return nullptr;
}

}  // namespace kvd::shard
