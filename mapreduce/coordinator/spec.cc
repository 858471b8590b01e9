#include "mapreduce/coordinator/spec.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include "proto/limits.h"

namespace kvd::jobs {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;

absl::Status CheckSize(std::string_view field, size_t min, size_t max, size_t seen) {
  if (seen >= min && seen <= max) return absl::OkStatus();
  return LimitError(field, seen < min ? min : max, seen, "bytes");
}

absl::Status CheckAtMost(std::string_view field, uint64_t max, uint64_t seen,
                         std::string_view unit) {
  return seen <= max ? absl::OkStatus() : LimitError(field, max, seen, unit);
}

absl::Status Invalid(std::string_view field, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(ToAbsl(field), " ", ToAbsl(why)));
}

absl::Status CheckCode(std::string_view field, Role role, const Code& code,
                       const FunctionCatalog* catalog) {
  std::string name(field);
  size_t most = code.kind == CodeKind::kLua ? kScriptBytesMax : kFunctionNameBytesMax;
  absl::Status status = CheckSize(name, 1, most, code.text.size());
  status.Update(
      CheckAtMost(name + ".parameters", kParametersMax, code.parameters.size(), "parameters"));
  for (const auto& [key, value] : code.parameters) {
    status.Update(CheckSize(name + ".parameters' name", 1, kParameterNameBytesMax, key.size()));
    status.Update(CheckSize(absl::StrCat(name, ".parameters[", Printable(key), "]"), 0,
                            kParameterBytesMax, value.size()));
  }
  if (!status.ok() || catalog == nullptr) return status;
  return catalog->Check(role, code);
}

absl::Status CheckCodes(const JobSpec& spec, const FunctionCatalog* catalog) {
  if (!spec.map) return Invalid("map", "is missing");
  absl::Status status = CheckCode("map", Role::kMap, spec.map, catalog);
  if (spec.combine) status.Update(CheckCode("combine", Role::kCombine, spec.combine, catalog));
  if (spec.reduce) status.Update(CheckCode("reduce", Role::kReduce, spec.reduce, catalog));
  if (spec.partition) {
    status.Update(CheckCode("partition", Role::kPartition, spec.partition, catalog));
  }
  size_t scripts = 0;
  for (const Code* code : {&spec.map, &spec.combine, &spec.reduce, &spec.partition}) {
    if (code->kind == CodeKind::kLua) scripts += code->text.size();
  }
  status.Update(CheckAtMost("the job's scripts", kScriptBytesMax, scripts, "bytes"));
  return status;
}

absl::Status CheckInputs(const JobSpec& spec) {
  if (spec.inputs.empty()) return LimitError("inputs", 1, 0, "ranges");
  absl::Status status = CheckAtMost("inputs", kInputsMax, spec.inputs.size(), "ranges");
  if (!status.ok()) return status;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const KeyRange& input = spec.inputs[i];
    std::string field = absl::StrCat("inputs[", i, "]");
    status = CheckSize(field, 0, kKeyBytesMax, std::max(input.start.size(), input.end.size()));
    if (!status.ok()) return status;
    if (!input.Empty()) continue;
    return Invalid(field, absl::StrCat("holds no key: it ends at ", Printable(input.end),
                                       " and begins at ", Printable(input.start)));
  }
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (!spec.inputs[i].Overlaps(spec.inputs[k])) continue;
      return Invalid(
          absl::StrCat("inputs[", i, "]"),
          absl::StrCat("overlaps inputs[", k, "]: it begins at ", Printable(spec.inputs[i].start),
                       ", the other one at ", Printable(spec.inputs[k].start)));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOutput(const JobSpec& spec) {
  const Destination& output = spec.output;
  if (!output.IsKeys()) {
    return output.prefix.empty() ? absl::OkStatus()
                                 : Invalid("output.prefix", "is given, but output is not KEYS");
  }
  absl::Status status = CheckSize("output.prefix", 1, kKeyBytesMax, output.prefix.size());
  if (!status.ok()) return status;
  KeyRange under{output.prefix, PrefixEnd(output.prefix)};
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (!under.Overlaps(spec.inputs[i])) continue;
    return Invalid("output.prefix",
                   absl::StrCat(Printable(output.prefix), " overlaps inputs[", i,
                                "], which begins at ", Printable(spec.inputs[i].start)));
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const JobSpec& spec) {
  bool aggregates = spec.aggregator != Aggregator::kNone;
  if (aggregates && spec.combine) return Invalid("combine", "is given beside an aggregator");
  if (spec.combine && IsDirect(spec)) {
    return Invalid("combine", "is given, but nothing is grouped: there is no reduce and no order");
  }
  bool top = spec.aggregator == Aggregator::kTopK;
  if (!top && spec.top != 0) return Invalid("top", "is given, but aggregator is not TOPK");
  if (top && (spec.top == 0 || spec.top > kTopMax)) {
    return LimitError("top", spec.top == 0 ? 1 : kTopMax, spec.top, "values");
  }
  if (spec.order == Order::kTotal && spec.partition) {
    return Invalid("partition", "is given, but with order TOTAL samples decide");
  }
  absl::Status status = CheckAtMost("reducers", kReducersMax, spec.reducers, "reducers");
  status.Update(CheckAtMost("priority", kPriorityMax, spec.priority, ""));
  if (spec.incremental) return Invalid("incremental", "is true, which is not possible yet");
  if (spec.slice_bytes != 0 && spec.slice_bytes < kSliceBytesMin) {
    return LimitError("slice_bytes", kSliceBytesMin, spec.slice_bytes, "bytes");
  }
  status.Update(CheckAtMost("slice_bytes", kSliceBytesMax, spec.slice_bytes, "bytes"));
  return status;
}

absl::Status CheckLimits(const JobLimits& limits, const Settings& s) {
  if (limits.memory_bytes != 0 && limits.memory_bytes < kTaskMemoryMin) {
    return LimitError("limits.memory_bytes", kTaskMemoryMin, limits.memory_bytes, "bytes");
  }
  absl::Status status =
      CheckAtMost("limits.memory_bytes", s[Setting::kTaskMemoryMegabytesMax] * kMebibyte,
                  limits.memory_bytes, "bytes");
  status.Update(CheckAtMost("limits.cpu_ms", s[Setting::kTaskCpuSecondsMax] * 1'000, limits.cpu_ms,
                            "milliseconds"));
  status.Update(CheckAtMost("limits.spill_bytes", s[Setting::kTaskSpillMegabytesMax] * kMebibyte,
                            limits.spill_bytes, "bytes"));
  status.Update(
      CheckAtMost("limits.attempts", s[Setting::kTaskAttemptsMax], limits.attempts, "attempts"));
  status.Update(
      CheckAtMost("limits.bad_records", s[Setting::kBadRecordsMax], limits.bad_records, "records"));
  status.Update(CheckAtMost("limits.deadline_ms", s[Setting::kDeadlineSecondsMax] * 1'000,
                            limits.deadline_ms, "milliseconds"));
  status.Update(CheckAtMost("limits.output_bytes", s[Setting::kTaskOutputMegabytesMax] * kMebibyte,
                            limits.output_bytes, "bytes"));
  return status;
}

}  // namespace

absl::Status Validate(const JobSpec& spec, const Settings& settings,
                      const FunctionCatalog* catalog) {
  absl::Status status = CheckSize("name", 1, kNameBytesMax, spec.name.size());
  if (status.ok()) status = CheckInputs(spec);
  if (status.ok()) status = CheckOutput(spec);
  if (status.ok()) status = CheckShape(spec);
  if (status.ok()) status = CheckLimits(spec.limits, settings);
  if (status.ok()) status = CheckCodes(spec, catalog);
  return status;
}

JobLimits Effective(const JobLimits& limits, const Settings& s) {
  auto pick = [](uint64_t asked, uint64_t initial, uint64_t most) {
    return asked != 0 ? asked : std::min(initial, most);
  };
  JobLimits out = limits;
  out.memory_bytes =
      pick(limits.memory_bytes, 64 * kMebibyte, s[Setting::kTaskMemoryMegabytesMax] * kMebibyte);
  out.cpu_ms = pick(limits.cpu_ms, 600'000, s[Setting::kTaskCpuSecondsMax] * 1'000);
  out.spill_bytes =
      pick(limits.spill_bytes, 4'096 * kMebibyte, s[Setting::kTaskSpillMegabytesMax] * kMebibyte);
  out.attempts = static_cast<uint32_t>(pick(limits.attempts, 4, s[Setting::kTaskAttemptsMax]));
  out.output_bytes = pick(limits.output_bytes, 16'384 * kMebibyte,
                          s[Setting::kTaskOutputMegabytesMax] * kMebibyte);
  return out;
}

bool IsDirect(const JobSpec& spec) {
  return !spec.reduce && !spec.partition && spec.aggregator == Aggregator::kNone &&
         spec.order == Order::kNone && spec.reducers == 0;
}

std::vector<KeyRange> SortedInputs(const JobSpec& spec) {
  std::vector<KeyRange> sorted = spec.inputs;
  std::sort(sorted.begin(), sorted.end(),
            [](const KeyRange& a, const KeyRange& b) { return a.start < b.start; });
  return sorted;
}

bool PrefixesOverlap(std::string_view a, std::string_view b) {
  return a.substr(0, b.size()) == b || b.substr(0, a.size()) == a;
}

}  // namespace kvd::jobs
