#include "absl/strings/str_cat.h"
#include "tests/mapreduce/coordinator/jobs_world.h"

namespace kvd::jobs {
namespace {

struct Field {
  const char* name;
  uint64_t JobsReport::*value;
};

constexpr Field kFields[] = {
    {"done", &JobsReport::done},
    {"failed", &JobsReport::failed},
    {"cancelled", &JobsReport::cancelled},
    {"deadlines", &JobsReport::deadlines},
    {"too many bad records", &JobsReport::bad_jobs},
    {"tasks given up", &JobsReport::given_up},
    {"submitted again", &JobsReport::resubmitted},
    {"leaders", &JobsReport::leaders},
    {"stale leaders", &JobsReport::stale_leaders},
    {"states loaded", &JobsReport::restarts},
    {"polls", &JobsReport::polls},
    {"messages lost", &JobsReport::lost},
    {"doubled", &JobsReport::doubled},
    {"proposals unheard of", &JobsReport::unheard},
    {"proposals dropped", &JobsReport::dropped_proposals},
    {"stores killed", &JobsReport::kills},
    {"with their files", &JobsReport::disks_lost},
    {"cut off", &JobsReport::cuts},
    {"slow", &JobsReport::slow},
    {"files damaged", &JobsReport::damaged},
    {"failures injected", &JobsReport::injected},
    {"moves", &JobsReport::moves},
    {"attempts", &JobsReport::attempts},
    {"outputs lost", &JobsReport::losses},
    {"backups seen", &JobsReport::backups},
    {"adopted seen", &JobsReport::adopted},
    {"fetches failed", &JobsReport::fetch_failures},
    {"records skipped", &JobsReport::skipped},
};

}  // namespace

JobsReport& JobsReport::operator+=(const JobsReport& other) {
  for (const Field& field : kFields) this->*field.value += other.*field.value;
  return *this;
}

std::string JobsReport::ToString() const {
  std::string out;
  for (const Field& field : kFields) {
    absl::StrAppend(&out, out.empty() ? "" : ", ", field.name, " ", this->*field.value);
  }
  return out;
}

std::string JobsReport::Missing() const {
  std::string out;
  for (const Field& field : kFields) {
    if (this->*field.value == 0) absl::StrAppend(&out, out.empty() ? "" : ", ", field.name);
  }
  return out;
}

}  // namespace kvd::jobs
