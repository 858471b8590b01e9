#include "mapreduce/worker/lua_state.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <ctime>

namespace kvd::mapreduce {
namespace {

// Error messages begin with it: script:LINE: MESSAGE.
constexpr char kChunkName[] = "=script";
constexpr std::string_view kPrefix = "script:";
constexpr uintptr_t kStack = 0x6b75f0000000;
constexpr size_t kStackBytes = 256 << 10;

void* Resize(void* memory, void* block, size_t old_bytes, size_t new_bytes) {
  return static_cast<LuaMemory*>(memory)->Resize(block, old_bytes, new_bytes);
}

struct Birth {
  LuaMemory* memory;
  lua_State* state;
  ucontext_t back;
};
Birth* birth = nullptr;

void NewState() { birth->state = lua_newstate(Resize, birth->memory); }

// Lua seeds its hashes with the time (see __wrap_time) and with three addresses: of the state, of a
// function, and of something on the stack. The first is LuaMemory's, the second fixed when the
// program was linked; for the third this is done on a stack that is always at the same place.
lua_State* NewStateWithFixedSeed(LuaMemory* memory) {
  Birth now{memory, nullptr, {}};
  birth = &now;
  void* wanted = reinterpret_cast<void*>(kStack);  // NOLINT(performance-no-int-to-ptr)
  void* stack = mmap(wanted, kStackBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (stack != wanted) {
    if (stack != MAP_FAILED) munmap(stack, kStackBytes);
    NewState();
    birth = nullptr;
    return now.state;
  }
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = kStackBytes;
  context.uc_link = &now.back;
  makecontext(&context, NewState, 0);
  swapcontext(&now.back, &context);
  munmap(stack, kStackBytes);
  birth = nullptr;
  return now.state;
}

void Remove(lua_State* state, const char* table, std::initializer_list<const char*> names) {
  lua_getglobal(state, table);
  for (const char* name : names) {
    lua_pushnil(state);
    lua_setfield(state, -2, name);
  }
  lua_pop(state, 1);
}

// The token that a syntax error is at: near 'token', near <eof>.
std::string_view TokenIn(std::string_view message) {
  size_t at = message.rfind(" near '");
  if (at == std::string_view::npos || !message.ends_with('\'')) return {};
  at += 7;
  return message.substr(at, message.size() - 1 - at);
}

// Where line `number`, from 1, begins.
size_t BeginOfLine(std::string_view source, int number) {
  size_t at = 0;
  for (int line = 1; line < number; ++line) {
    size_t end = source.find('\n', at);
    if (end == std::string_view::npos) return source.size();
    at = end + 1;
  }
  return at;
}

// Whether the script up to `end` is wrong by itself, rather than only at its end.
bool IsWrongBefore(lua_State* state, std::string_view source, size_t end) {
  int status = luaL_loadbufferx(state, source.data(), end, kChunkName, "t");
  size_t size = 0;
  const char* message = lua_tolstring(state, -1, &size);
  bool wrong = status == LUA_ERRSYNTAX && message != nullptr &&
               !std::string_view(message, size).ends_with("near <eof>");
  lua_pop(state, 1);
  return wrong;
}

// The column, from 1, of a token in a line: of several that read the same, the first one after
// which nothing can set it right. 0: it can't be told.
int ColumnOf(lua_State* state, std::string_view source, int line, std::string_view token) {
  if (token.empty()) return 0;
  size_t begin = BeginOfLine(source, line);
  size_t end = std::min(source.find('\n', begin), source.size());
  constexpr int kTriesMax = 64;
  int seen = 0;
  size_t last = 0;
  for (size_t at = source.find(token, begin); at < end; at = source.find(token, at + 1)) {
    if (++seen > kTriesMax) return 0;
    last = at;
    if (IsWrongBefore(state, source, at + token.size())) return static_cast<int>(at - begin + 1);
  }
  // An unfinished string is wrong only where its line ends.
  return seen == 1 ? static_cast<int>(last - begin + 1) : 0;
}

// "script:3: text" as (3, "text"); (0, all of it) if it is not so.
std::pair<int, std::string_view> SplitMessage(std::string_view message) {
  if (!message.starts_with(kPrefix)) return {0, message};
  std::string_view rest = message.substr(kPrefix.size());
  int line = 0;
  while (!rest.empty() && std::isdigit(static_cast<unsigned char>(rest[0])) && line < 100'000'000) {
    line = line * 10 + (rest[0] - '0');
    rest.remove_prefix(1);
  }
  if (!rest.starts_with(": ")) return {0, message};
  return {line, rest.substr(2)};
}

}  // namespace

LuaState::LuaState(uint64_t memory_bytes)
    : memory_(memory_bytes), state_(NewStateWithFixedSeed(&memory_)) {}

LuaState::~LuaState() {
  if (state_ != nullptr) lua_close(state_);
}

void OpenLibraries(lua_State* state) {
  constexpr luaL_Reg kLibraries[] = {
      {LUA_GNAME, luaopen_base},       {LUA_STRLIBNAME, luaopen_string},
      {LUA_TABLIBNAME, luaopen_table}, {LUA_MATHLIBNAME, luaopen_math},
      {LUA_UTF8LIBNAME, luaopen_utf8}, {LUA_COLIBNAME, luaopen_coroutine},
  };
  for (const luaL_Reg& library : kLibraries) {
    luaL_requiref(state, library.name, library.func, 1);
    lua_pop(state, 1);
  }
  // Files, and source or bytecode made at run time.
  Remove(state, LUA_GNAME, {"dofile", "load", "loadfile", "collectgarbage", "warn"});
  Remove(state, LUA_STRLIBNAME, {"dump"});
  Remove(state, LUA_MATHLIBNAME, {"random", "randomseed"});
}

wire::Failure LoadScript(lua_State* state, std::string_view source) {
  int status = luaL_loadbufferx(state, source.data(), source.size(), kChunkName, "t");
  if (status == LUA_OK) return {};
  if (status != LUA_ERRSYNTAX) return TakeError(state, status);
  size_t size = 0;
  const char* text = lua_tolstring(state, -1, &size);
  std::string message(text, size);
  lua_pop(state, 1);
  auto [line, what] = SplitMessage(message);
  wire::Failure failure{wire::FailureKind::kCode, "syntax error"};
  if (line > 0) failure.reason += " at line " + std::to_string(line);
  if (int column = ColumnOf(state, source, line, TokenIn(what)); column > 0)
    failure.reason += ", column " + std::to_string(column);
  failure.reason.append(": ").append(what);
  return failure;
}

wire::Failure TakeError(lua_State* state, int status) {
  if (status == LUA_ERRMEM) {
    lua_pop(state, 1);
    return {wire::FailureKind::kMemory, ""};
  }
  wire::Failure failure{wire::FailureKind::kRecord, "script error"};
  size_t size = 0;
  if (lua_type(state, -1) == LUA_TSTRING || lua_type(state, -1) == LUA_TNUMBER) {
    const char* text = lua_tolstring(state, -1, &size);
    auto [line, what] = SplitMessage(std::string_view(text, size));
    if (line > 0) failure.reason += " at line " + std::to_string(line);
    failure.reason.append(": ").append(what.substr(0, wire::kReasonBytesMax));
  } else {
    failure.reason.append(": error called with a ").append(luaL_typename(state, -1));
  }
  lua_pop(state, 1);
  return failure;
}

}  // namespace kvd::mapreduce

// The linker gives Lua this for time(): it is asked once, for the seed of its hashes.
extern "C" time_t __wrap_time(time_t* at) {  // NOLINT
  if (at != nullptr) *at = 0;
  return 0;
}
