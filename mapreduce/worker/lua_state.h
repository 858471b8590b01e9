// A Lua state for one task: the libraries that jobs have, within a memory limit. What each script
// sees, and why, is in README.md. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lua.hpp"
#include "mapreduce/worker/lua_memory.h"
#include "mapreduce/worker/protocol.h"

namespace kvd::mapreduce {

class LuaState {
 public:
  explicit LuaState(uint64_t memory_bytes);
  LuaState(const LuaState&) = delete;
  LuaState& operator=(const LuaState&) = delete;
  ~LuaState();

  // Null: not even an empty state fits into the limit.
  lua_State* get() const { return state_; }

 private:
  LuaMemory memory_;
  lua_State* state_ = nullptr;
};

// Gives the state base, string, table, math, utf8 and coroutine, less what is not pure. Calls for a
// protected call around it.
void OpenLibraries(lua_State* state);

// Compiles a script (source text only) and leaves it on the stack as a function. A syntax error has
// the line, and the column if the place can be told. Leaves nothing on the stack if it fails.
wire::Failure LoadScript(lua_State* state, std::string_view source);

// What the error on top of the stack says, which is popped: `status` is what lua_pcall gave.
wire::Failure TakeError(lua_State* state, int status);

}  // namespace kvd::mapreduce
