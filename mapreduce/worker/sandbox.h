// What a process puts on itself before it runs user code.
#pragma once

#include "mapreduce/worker/protocol.h"

namespace kvd::mapreduce {

// For good: no new privileges; the clock can't be read any more, on x86-64 not even by the
// instruction for it; only the system calls of UserCodeFilter (system_calls.h) pass, any other ends
// the process, and the slot then tells which it was. False: the kernel lacks something, and no user
// code may be run.
bool EnterSandbox(wire::Slot* slot);

// Ends the process; the store is told why by the slot. Safe in signal handlers.
[[noreturn]] void EndInTrap(wire::Trap trap, uint64_t detail);

}  // namespace kvd::mapreduce
