#include "mapreduce/coordinator/settings.h"

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"

namespace kvd::jobs {

const SettingInfo* FindSetting(std::string_view name) {
  for (const SettingInfo& info : kSettings) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

uint64_t Settings::operator[](Setting setting) const {
  const SettingInfo& info = kSettings[static_cast<size_t>(setting)];
  auto it = changed_.find(info.name);
  return it == changed_.end() ? info.initial : it->second;
}

absl::Status Settings::Check(std::string_view name, uint64_t value) {
  const SettingInfo* info = FindSetting(name);
  if (info == nullptr) {
    std::string known;
    for (const SettingInfo& i : kSettings) {
      absl::StrAppend(&known, known.empty() ? "" : ", ", ToAbsl(i.name));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("there is no setting of jobs ", Printable(name), "; there are: ", known));
  }
  if (value >= info->min && value <= info->max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "setting ", ToAbsl(name), " ", value, " is out of range: ", info->min, " to ", info->max));
}

namespace {
constexpr bool InOrder() {
  for (size_t i = 0; i < kSettings.size(); ++i) {
    if (static_cast<size_t>(kSettings[i].setting) != i) return false;
  }
  return true;
}
static_assert(InOrder());
}  // namespace

}  // namespace kvd::jobs
