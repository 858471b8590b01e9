// Word count with the SDK, for worker_bench.
#include "kvd/mapreduce.h"

namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Words : public kvd::worker::Mapper {
 public:
  void Map(std::string_view, std::string_view value, kvd::worker::Output& out) override {
    size_t at = 0;
    while (at < value.size()) {
      while (at < value.size() && !IsLetter(value[at])) ++at;
      size_t begin = at;
      while (at < value.size() && IsLetter(value[at])) ++at;
      if (at > begin) out.Emit(value.substr(begin, at - begin), "1");
    }
  }
};

}  // namespace

KVD_WORKER(.mapper = kvd::worker::Make<Words>())
