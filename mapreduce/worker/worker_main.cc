// kvd-worker: runs Lua scripts of jobs. Started by a store, with a socket and nothing else.
#include "mapreduce/worker/guest.h"
#include "mapreduce/worker/lua_guest.h"

int main() {
  kvd::mapreduce::LuaGuest guest;
  return kvd::mapreduce::Serve(&guest);
}
