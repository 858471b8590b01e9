// A Lua script as a worker's user code. One instance a process.
//
//   map(key, value)            or map_batch(records): for key, value in records do ... end
//   combine(key, values)       for value in values do ... end
//   reduce(key, values)
//   partition(key, n)          gives an integer from 0 to n - 1
//   map_finish(), combine_finish(), reduce_finish()   after the last of the input; may be missing
//
// What scripts can use beside Lua's libraries: emit(key, value), count(name, n), print(...) to the
// job's log, and the table params.
#pragma once

#include <memory>
#include <string_view>

#include "mapreduce/worker/guest.h"
#include "mapreduce/worker/lua_state.h"

namespace kvd::mapreduce {

class LuaGuest : public Guest {
 public:
  // Handles SIGUSR1: a script that runs is stopped at its next instruction.
  LuaGuest();
  LuaGuest(const LuaGuest&) = delete;
  LuaGuest& operator=(const LuaGuest&) = delete;
  ~LuaGuest() override;

  uint32_t roles() const override { return (1U << wire::kRoles) - 1; }
  wire::Failure Start(const wire::Load& load, GuestPort* port) override;
  wire::Failure Map(RecordStream* records) override;
  wire::Failure Reduce(GroupStream* groups) override;
  wire::Failure PartitionOf(std::string_view key, uint32_t partitions, uint32_t* to) override;
  wire::Failure Finish() override;

 private:
  static int Prepare(lua_State* state);
  static int RunMap(lua_State* state);
  static int RunMapBatch(lua_State* state);
  static int RunReduce(lua_State* state);
  static int RunPartition(lua_State* state);
  static int RunFinish(lua_State* state);
  static int NextRecord(lua_State* state);
  static int NextValue(lua_State* state);
  // Raises an error if there is nobody to emit to: while the script is loaded, or in partition.
  static void CheckMayEmit(lua_State* state);
  static int Emit(lua_State* state);
  static int Count(lua_State* state);
  static int Print(lua_State* state);

  // Calls one of the above, protected.
  wire::Failure Call(lua_CFunction function);
  // Calls what is on top of the stack, protected.
  wire::Failure CallTop();
  // A reference to a global function, or LUA_NOREF.
  int Find(const std::string& name);

  std::unique_ptr<LuaState> lua_;
  const wire::Load* load_ = nullptr;
  GuestPort* port_ = nullptr;
  int function_ = LUA_NOREF;
  int finish_ = LUA_NOREF;
  bool by_batch_ = false;
  bool may_emit_ = false;
  // What the function that runs was given. An iterator that a script has kept gives nothing later:
  // it knows the number that it was made for.
  RecordStream* records_ = nullptr;
  GroupStream* groups_ = nullptr;
  lua_Integer iteration_ = 0;
  std::string_view partition_key_;
  uint32_t partitions_ = 0;
  lua_Integer partition_ = 0;
};

}  // namespace kvd::mapreduce
