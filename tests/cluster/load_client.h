// One client of a recorded load: picks operations, runs and records them. Lives on one thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "raft/runtime/random.h"
#include "tests/cluster/load.h"

namespace kvd {

class LoadClient {
 public:
  LoadClient(RecordedLoad* load, int number);
  // Until the load stops.
  void Run();

 private:
  using Op = check::Operation;

  void RunOne();
  void TextOperation(const std::string& key);
  void CounterOperation(const std::string& key);
  void PairOperation(const std::string& key);

  void Get(const std::string& key);
  void MultiGet(const std::vector<std::string>& keys);
  void Scan(const std::string& key);
  void Put(const std::string& key);
  void Append(const std::string& key);
  void Delete(const std::string& key);
  void DeleteRange(const std::string& key);
  void Increment(const std::string& key);
  void CompareAndPut(const std::string& key);
  // Over a text key, whose last seen value is a condition now and then, and a counter.
  void Batch(const std::string& key);
  void PutPair(const std::string& key);
  void ReadPair(const std::string& key);

  Op Begin(Op::Kind kind, std::string argument = "") const;
  // Sets when it returned and whether that is known. False: it says nothing and is not recorded.
  bool End(Op* op, const absl::Status& status, bool write);
  void Saw(const std::string& key, const std::optional<Value>& value);
  // The condition that `key` still has what was last seen, and what the checker should expect.
  Condition AsLastSeen(const std::string& key, std::optional<std::string>* expected);
  std::string Unique();

  RecordedLoad* const load_;
  const int number_;
  Random random_;
  std::unique_ptr<Client> client_;
  uint64_t next_value_ = 1;
  std::map<std::string, Value> seen_;  // absent: missing, or not looked at
};

}  // namespace kvd
