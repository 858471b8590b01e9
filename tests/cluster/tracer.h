// strace on a running process, as the means to make its system calls fail, wait or kill. Detaches
// when destroyed; the process goes on.
#pragma once

#include <sys/types.h>

#include <string>

namespace kvd {

class Tracer {
 public:
  // `injection` is what strace's -e inject takes for the call: "error=EIO:when=3" and the like;
  // `when` counts per thread. Returns once attached. Its log is appended to `log_path`.
  Tracer(pid_t pid, const std::string& call, const std::string& injection, std::string log_path);
  ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  // False if it could not be attached, since the process had ended.
  bool attached() const { return attached_; }
  // Whether some call was tampered with so far.
  bool Injected() const;

 private:
  const std::string log_path_;
  size_t log_begin_;
  pid_t strace_ = 0;
  bool attached_ = false;
};

}  // namespace kvd
