// kvd/mapreduce.h over the protocol.
#include <exception>
#include <new>

#include "kvd/mapreduce.h"
#include "mapreduce/worker/guest.h"
#include "mapreduce/worker/sandbox.h"

namespace kvd::worker {
namespace {

namespace wire = mapreduce::wire;
using mapreduce::GroupStream;
using mapreduce::GuestPort;
using mapreduce::RecordStream;

class PortOutput : public Output {
 public:
  explicit PortOutput(GuestPort* port) : port_(port) {}
  void Emit(std::string_view key, std::string_view value) override {
    if (const char* why = GuestPort::Refuses(key, value); why != nullptr)
      throw std::length_error(why);
    port_->Emit(key, value);
  }
  void Count(std::string_view counter, int64_t delta) override {
    if (!port_->Count(counter, delta))
      throw std::length_error("a counter's name is 1 to 64 B long, and a task has at most 256");
  }
  void Log(std::string_view line) override { port_->Log(line); }

 private:
  GuestPort* const port_;
};

class GroupValues : public Values {
 public:
  explicit GroupValues(GroupStream* groups) : groups_(groups) {}
  bool Next(std::string_view* value) override { return groups_->NextValue(value); }

 private:
  GroupStream* const groups_;
};

// Calls user code; what it throws becomes a failure. Memory that is not to be had ends the process
// instead (OnNoMemory), since a handler may need some itself.
template <class Function>
wire::Failure Guarded(wire::FailureKind kind, const Function& function) {
  try {
    function();
  } catch (const std::exception& e) {
    return {kind, std::string("exception: ") + e.what()};
  } catch (...) {
    return {kind, "exception of an unknown type"};
  }
  return {};
}

[[noreturn]] void OnNoMemory() { mapreduce::EndInTrap(wire::Trap::kNoMemory, 0); }

class NativeGuest : public mapreduce::Guest {
 public:
  explicit NativeGuest(const Worker& worker) : worker_(worker) {}

  uint32_t roles() const override {
    auto bit = [](bool has, wire::Role role) {
      return has ? 1U << static_cast<uint32_t>(role) : 0U;
    };
    return bit(worker_.mapper != nullptr, wire::Role::kMap) |
           bit(worker_.combiner != nullptr, wire::Role::kCombine) |
           bit(worker_.reducer != nullptr, wire::Role::kReduce) |
           bit(worker_.partitioner != nullptr, wire::Role::kPartition);
  }

  wire::Failure Start(const wire::Load& load, GuestPort* port) override {
    std::set_new_handler(OnNoMemory);
    output_ = std::make_unique<PortOutput>(port);
    return Guarded(wire::FailureKind::kCode, [&] {
      Parameters parameters(load.parameters.begin(), load.parameters.end());
      switch (load.role) {
        case wire::Role::kMap: mapper_ = worker_.mapper(parameters); break;
        case wire::Role::kCombine: reducer_ = worker_.combiner(parameters); break;
        case wire::Role::kReduce: reducer_ = worker_.reducer(parameters); break;
        case wire::Role::kPartition: partitioner_ = worker_.partitioner(parameters); break;
      }
    });
  }

  wire::Failure Map(RecordStream* records) override {
    if (mapper_ == nullptr) return NotAsked();
    return Guarded(wire::FailureKind::kRecord, [&] {
      std::string_view key;
      std::string_view value;
      while (records->Next(&key, &value)) mapper_->Map(key, value, *output_);
    });
  }

  wire::Failure Reduce(GroupStream* groups) override {
    if (reducer_ == nullptr) return NotAsked();
    return Guarded(wire::FailureKind::kRecord, [&] {
      GroupValues values(groups);
      std::string_view key;
      while (groups->NextGroup(&key)) reducer_->Reduce(key, values, *output_);
    });
  }

  wire::Failure PartitionOf(std::string_view key, uint32_t partitions, uint32_t* to) override {
    if (partitioner_ == nullptr) return NotAsked();
    return Guarded(wire::FailureKind::kRecord, [&] {
      *to = partitioner_->PartitionOf(key, partitions);
      if (*to >= partitions)
        throw std::out_of_range("partition gave " + std::to_string(*to) +
                                ", it must be from 0 to " + std::to_string(partitions - 1));
    });
  }

  wire::Failure Finish() override {
    return Guarded(wire::FailureKind::kRecord, [&] {
      if (mapper_ != nullptr) mapper_->Finish(*output_);
      if (reducer_ != nullptr) reducer_->Finish(*output_);
    });
  }

 private:
  static wire::Failure NotAsked() {
    return {wire::FailureKind::kCode, "the task has another role"};
  }

  const Worker& worker_;
  std::unique_ptr<PortOutput> output_;
  std::unique_ptr<Mapper> mapper_;
  std::unique_ptr<Reducer> reducer_;
  std::unique_ptr<Partitioner> partitioner_;
};

}  // namespace

int RunWorker(const Worker& worker) {
  NativeGuest guest(worker);
  return mapreduce::Serve(&guest);
}

}  // namespace kvd::worker
