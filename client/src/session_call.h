// A call of a session's that is under way. Private to the session.
#pragma once

#include <memory>
#include <string>

#include "client/src/session.h"

namespace kvd::client {

struct Session::Call {
  RequestItem item;
  bool read = false;
  MonotonicTime deadline;
  Callback callback;
  uint32_t attempt = 0;
  std::string address;  // of the attempt under way
  GroupId group;        // that it was meant for; 0: whichever has the key
  std::string hint;     // where the next attempt should go
  bool waiting_answer = false;
  // An attempt was sent whose fate is not known: it may be, or still become, applied.
  bool maybe_applied = false;
  bool followed_hint = false;
  std::string last_error;
  std::unique_ptr<Timer> deadline_timer;
  std::unique_ptr<Timer> retry_timer;
};

// Whether the answer's token is as new as the call.
bool IsLinearizable(const RequestItem& item);

}  // namespace kvd::client
