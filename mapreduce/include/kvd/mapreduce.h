// User functions of kvd's MapReduce jobs in C++: a worker program of one's own, which stores run
// beside them for jobs that name it. Such a program is nothing but its functions and one line:
//
//   class Words : public kvd::worker::Mapper {
//     void Map(std::string_view, std::string_view value, kvd::worker::Output& out) override { ... }
//   };
//   KVD_WORKER(.mapper = kvd::worker::Make<Words>())
//
// A store starts one process for each task attempt and role, with an empty environment, without
// files or network, with one thread, and with the limits of its job. What is called here must be
// pure: the same records give the same pairs in the same order. An exception that leaves a function
// ends the attempt, and is told as the fault of the record that it was given. examples/README.md
// has the rest.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace kvd::worker {

// Of the job's code, by name.
using Parameters = std::map<std::string, std::string, std::less<>>;

// Where functions put what they find out. Used by the thread that it was given to.
class Output {
 public:
  virtual ~Output() = default;
  // One pair: a key of at most 4 KiB, a value of at most 8 MiB; std::length_error if they are
  // longer.
  virtual void Emit(std::string_view key, std::string_view value) = 0;
  // Adds to a counter of the job; its name is 1 to 64 B long, and a task has at most 256:
  // std::length_error otherwise.
  virtual void Count(std::string_view counter, int64_t delta) = 0;
  // A line of the job's log, cut after 1 KiB.
  virtual void Log(std::string_view line) = 0;
};

// A counter with its name.
class Counter {
 public:
  explicit Counter(std::string name) : name_(std::move(name)) {}
  void Add(Output& out, int64_t delta = 1) const { out.Count(name_, delta); }

 private:
  std::string name_;
};

class Mapper {
 public:
  virtual ~Mapper() = default;
  // One record of the input; what it is given is valid during the call.
  virtual void Map(std::string_view key, std::string_view value, Output& out) = 0;
  // After the last record of the task.
  virtual void Finish(Output& /*out*/) {}
};

// The values of one key, in order.
class Values {
 public:
  virtual ~Values() = default;
  // Valid until the next call. False: there are no more.
  virtual bool Next(std::string_view* value) = 0;
};

class Reducer {
 public:
  virtual ~Reducer() = default;
  // Called once for each key, in order. It need not take all values.
  virtual void Reduce(std::string_view key, Values& values, Output& out) = 0;
  virtual void Finish(Output& /*out*/) {}
};

// Makes fewer values of those that one map task found for a key. What it emits has that key.
using Combiner = Reducer;

class Partitioner {
 public:
  virtual ~Partitioner() = default;
  // Which of the reducers gets a key: from 0 to partitions - 1.
  virtual uint32_t PartitionOf(std::string_view key, uint32_t partitions) = 0;
};

template <class Function>
using Maker = std::function<std::unique_ptr<Function>(const Parameters&)>;

// What a program can do; those that it lacks stay empty.
struct Worker {
  Maker<Mapper> mapper = nullptr;
  Maker<Combiner> combiner = nullptr;
  Maker<Reducer> reducer = nullptr;
  Maker<Partitioner> partitioner = nullptr;
};

// Makes a `T` from the parameters if it has such a constructor, else without.
template <class T>
auto Make() {
  return [](const Parameters& parameters) {
    if constexpr (std::is_constructible_v<T, const Parameters&>) {
      return std::make_unique<T>(parameters);
    } else {
      (void)parameters;
      return std::make_unique<T>();
    }
  };
}

// What such a program's main returns. Ends at once, with a message, if no store has started it.
int RunWorker(const Worker& worker);

}  // namespace kvd::worker

// The program's main: KVD_WORKER(.mapper = Make<A>(), .reducer = Make<B>()).
#define KVD_WORKER(...) \
  int main() { return ::kvd::worker::RunWorker(::kvd::worker::Worker{__VA_ARGS__}); }
