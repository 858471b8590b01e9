#include "mapreduce/worker/lua_guest.h"

#include <signal.h>

#include <algorithm>
#include <charconv>

namespace kvd::mapreduce {
namespace {

// Lua's C functions find it here: a process has one. Between them and lua_pcall there is nothing
// with a destructor, since an error jumps over it.
LuaGuest* guest = nullptr;
lua_State* running = nullptr;
volatile sig_atomic_t stopped_at_line = 0;

void StopHere(lua_State* state, lua_Debug* at) {
  lua_getinfo(state, "Sl", at);
  if (at->currentline <= 0) return;  // in a C function; its caller will do
  stopped_at_line = at->currentline;
  lua_pushliteral(state, "stopped");
  lua_error(state);
}

// Setting a hook is what Lua allows in a signal handler.
void OnStop(int) {
  if (running != nullptr)
    lua_sethook(running, StopHere, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

std::string_view StringAt(lua_State* state, int index) {
  size_t size = 0;
  const char* text = luaL_checklstring(state, index, &size);
  return {text, size};
}

constexpr size_t kDigits = 24;

// Likewise, but an integer is written to `digits`: Lua would make a string of it first, which costs
// more than all else that emitting a small count does.
std::string_view TextAt(lua_State* state, int index, char* digits) {
  if (!lua_isinteger(state, index)) return StringAt(state, index);
  auto end = std::to_chars(digits, digits + kDigits, lua_tointeger(state, index)).ptr;
  return {digits, static_cast<size_t>(end - digits)};
}

void Push(lua_State* state, std::string_view bytes) {
  lua_pushlstring(state, bytes.data(), bytes.size());
}

}  // namespace

LuaGuest::LuaGuest() {
  guest = this;
  struct sigaction action = {};
  action.sa_handler = OnStop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
}

LuaGuest::~LuaGuest() {
  running = nullptr;
  guest = nullptr;
}

int LuaGuest::Prepare(lua_State* state) {
  OpenLibraries(state);
  lua_register(state, "emit", Emit);
  lua_register(state, "count", Count);
  lua_register(state, "print", Print);
  lua_createtable(state, 0, static_cast<int>(guest->load_->parameters.size()));
  for (const auto& [name, value] : guest->load_->parameters) {
    Push(state, name);
    Push(state, value);
    lua_rawset(state, -3);
  }
  lua_setglobal(state, "params");
  return 0;
}

wire::Failure LuaGuest::Start(const wire::Load& load, GuestPort* port) {
  load_ = &load;
  port_ = port;
  lua_ = std::make_unique<LuaState>(load.memory_bytes);
  running = lua_->get();
  if (running == nullptr) return {wire::FailureKind::kMemory, ""};
  if (auto failure = Call(Prepare); failure.failed()) return failure;
  if (auto failure = LoadScript(running, load.source); failure.failed()) return failure;
  if (auto failure = CallTop(); failure.failed()) {
    if (failure.kind == wire::FailureKind::kRecord) failure.kind = wire::FailureKind::kCode;
    return failure;
  }
  std::string role = wire::NameOf(load.role);
  function_ = Find(role);
  if (function_ == LUA_NOREF && load.role == wire::Role::kMap) {
    function_ = Find("map_batch");
    by_batch_ = true;
  }
  if (function_ == LUA_NOREF)
    return {wire::FailureKind::kCode, "the script defines no function " + role};
  finish_ = Find(role + "_finish");
  may_emit_ = load.role != wire::Role::kPartition;
  return {};
}

int LuaGuest::Find(const std::string& name) {
  // Raw: a script may have given its globals a metatable, whose functions must not run here.
  lua_pushglobaltable(running);
  lua_pushlstring(running, name.data(), name.size());
  lua_rawget(running, -2);
  lua_remove(running, -2);
  if (!lua_isfunction(running, -1)) {
    lua_pop(running, 1);
    return LUA_NOREF;
  }
  return luaL_ref(running, LUA_REGISTRYINDEX);
}

wire::Failure LuaGuest::Call(lua_CFunction function) {
  lua_pushcfunction(running, function);
  return CallTop();
}

wire::Failure LuaGuest::CallTop() {
  int status = lua_pcall(running, 0, 0, 0);
  if (status == LUA_OK) return {};
  wire::Failure failure = TakeError(running, status);
  if (stopped_at_line != 0)
    failure = {wire::FailureKind::kStopped, "at line " + std::to_string(stopped_at_line)};
  return failure;
}

wire::Failure LuaGuest::Map(RecordStream* records) {
  records_ = records;
  ++iteration_;
  return Call(by_batch_ ? RunMapBatch : RunMap);
}

int LuaGuest::RunMap(lua_State* state) {
  lua_rawgeti(state, LUA_REGISTRYINDEX, guest->function_);
  std::string_view key;
  std::string_view value;
  while (guest->records_->Next(&key, &value)) {
    lua_pushvalue(state, 1);
    Push(state, key);
    Push(state, value);
    lua_call(state, 2, 0);
  }
  return 0;
}

int LuaGuest::RunMapBatch(lua_State* state) {
  lua_rawgeti(state, LUA_REGISTRYINDEX, guest->function_);
  lua_pushinteger(state, guest->iteration_);
  lua_pushcclosure(state, NextRecord, 1);
  lua_call(state, 1, 0);
  return 0;
}

int LuaGuest::NextRecord(lua_State* state) {
  std::string_view key;
  std::string_view value;
  if (lua_tointeger(state, lua_upvalueindex(1)) != guest->iteration_ ||
      !guest->records_->Next(&key, &value))
    return 0;
  Push(state, key);
  Push(state, value);
  return 2;
}

wire::Failure LuaGuest::Reduce(GroupStream* groups) {
  groups_ = groups;
  return Call(RunReduce);
}

int LuaGuest::RunReduce(lua_State* state) {
  lua_rawgeti(state, LUA_REGISTRYINDEX, guest->function_);
  std::string_view key;
  while (guest->groups_->NextGroup(&key)) {
    lua_pushvalue(state, 1);
    Push(state, key);
    lua_pushinteger(state, ++guest->iteration_);
    lua_pushcclosure(state, NextValue, 1);
    lua_call(state, 2, 0);
  }
  return 0;
}

int LuaGuest::NextValue(lua_State* state) {
  std::string_view value;
  if (lua_tointeger(state, lua_upvalueindex(1)) != guest->iteration_ ||
      !guest->groups_->NextValue(&value))
    return 0;
  Push(state, value);
  return 1;
}

wire::Failure LuaGuest::PartitionOf(std::string_view key, uint32_t partitions, uint32_t* to) {
  partition_key_ = key;
  partitions_ = partitions;
  if (auto failure = Call(RunPartition); failure.failed()) return failure;
  *to = static_cast<uint32_t>(partition_);
  return {};
}

int LuaGuest::RunPartition(lua_State* state) {
  lua_rawgeti(state, LUA_REGISTRYINDEX, guest->function_);
  Push(state, guest->partition_key_);
  lua_pushinteger(state, guest->partitions_);
  lua_call(state, 2, 1);
  int is_integer = 0;
  guest->partition_ = lua_tointegerx(state, -1, &is_integer);
  if (is_integer == 0)
    return luaL_error(state, "partition gave a %s, not an integer", luaL_typename(state, -1));
  if (guest->partition_ < 0 || guest->partition_ >= static_cast<lua_Integer>(guest->partitions_))
    return luaL_error(state, "partition gave %I, it must be from 0 to %d", guest->partition_,
                      static_cast<int>(guest->partitions_ - 1));
  return 0;
}

wire::Failure LuaGuest::Finish() {
  ++iteration_;
  return finish_ == LUA_NOREF ? wire::Failure{} : Call(RunFinish);
}

int LuaGuest::RunFinish(lua_State* state) {
  lua_rawgeti(state, LUA_REGISTRYINDEX, guest->finish_);
  lua_call(state, 0, 0);
  return 0;
}

void LuaGuest::CheckMayEmit(lua_State* state) {
  if (!guest->may_emit_)
    luaL_error(state, "only functions that map, combine or reduce can emit or count");
}

int LuaGuest::Emit(lua_State* state) {
  CheckMayEmit(state);
  char key_digits[kDigits];
  char value_digits[kDigits];
  std::string_view key = TextAt(state, 1, key_digits);
  std::string_view value;
  if (!lua_isnoneornil(state, 2)) value = TextAt(state, 2, value_digits);
  if (const char* why = GuestPort::Refuses(key, value); why != nullptr)
    return luaL_error(state, "%s", why);
  guest->port_->Emit(key, value);
  return 0;
}

int LuaGuest::Count(lua_State* state) {
  CheckMayEmit(state);
  std::string_view name = StringAt(state, 1);
  if (!guest->port_->Count(name, luaL_optinteger(state, 2, 1)))
    return luaL_error(state, "a counter's name is 1 to 64 B long, and a task has at most 256");
  return 0;
}

int LuaGuest::Print(lua_State* state) {
  int count = lua_gettop(state);
  luaL_Buffer line;
  luaL_buffinit(state, &line);
  for (int i = 1; i <= count; ++i) {
    if (i > 1) luaL_addchar(&line, '\t');
    luaL_tolstring(state, i, nullptr);
    luaL_addvalue(&line);
  }
  luaL_pushresult(&line);
  guest->port_->Log(StringAt(state, -1));
  return 0;
}

}  // namespace kvd::mapreduce
