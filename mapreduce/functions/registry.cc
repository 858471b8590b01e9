#include "mapreduce/functions/registry.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "mapreduce/functions/builtin.h"
#include "proto/bytes.h"

namespace kvd::mapreduce {
namespace {

std::vector<Builtin> Gather() {
  std::vector<Builtin> all;
  for (auto some : {BasicBuiltins, TextBuiltins, FieldBuiltins, JoinBuiltins, ListBuiltins}) {
    std::vector<Builtin> more = some();
    std::move(more.begin(), more.end(), std::back_inserter(all));
  }
  std::sort(all.begin(), all.end(),
            [](const Builtin& a, const Builtin& b) { return std::strcmp(a.name, b.name) < 0; });
  return all;
}

const std::vector<Builtin>& All() {
  static const auto* all = new std::vector<Builtin>(Gather());
  return *all;
}

bool Has(const Builtin& builtin, Role role) {
  return role == Role::kMap ? builtin.map != nullptr : builtin.reduce != nullptr;
}

absl::StatusOr<const Builtin*> Find(Role role, std::string_view name) {
  std::string names;
  for (const Builtin& builtin : All()) {
    if (!Has(builtin, role)) continue;
    if (name == builtin.name) return &builtin;
    absl::StrAppend(&names, names.empty() ? "" : ", ", builtin.name);
  }
  return absl::NotFoundError(absl::StrCat("there is no built-in ",
                                          role == Role::kMap ? "map" : "reduce", " function ",
                                          Printable(name), ", there are: ", names));
}

FunctionInfo InfoOf(const Builtin& builtin, Role role) {
  return {builtin.name, role, builtin.help, builtin.parameters, builtin.keeps_order};
}

template <class Function, class Maker>
absl::StatusOr<std::unique_ptr<Function>> Make(Role role, Maker Builtin::*maker,
                                               std::string_view name,
                                               const Parameters& parameters) {
  auto builtin = Find(role, name);
  if (!builtin.ok()) return builtin.status();
  const Builtin& found = **builtin;
  absl::Status status = CheckParameters(found.name, found.parameters, parameters);
  if (!status.ok()) return status;
  ParameterReader reader(found.name, found.parameters, parameters);
  std::unique_ptr<Function> function = (found.*maker)(&reader);
  if (!reader.status().ok()) return reader.status();
  return function;
}

}  // namespace

std::vector<FunctionInfo> ListFunctions() {
  std::vector<FunctionInfo> list;
  for (const Builtin& builtin : All()) {
    for (Role role : {Role::kMap, Role::kReduce}) {
      if (Has(builtin, role)) list.push_back(InfoOf(builtin, role));
    }
  }
  return list;
}

absl::StatusOr<std::unique_ptr<MapFunction>> MakeMap(std::string_view name,
                                                     const Parameters& parameters) {
  return Make<MapFunction>(Role::kMap, &Builtin::map, name, parameters);
}

absl::StatusOr<std::unique_ptr<ReduceFunction>> MakeReduce(std::string_view name,
                                                           const Parameters& parameters) {
  return Make<ReduceFunction>(Role::kReduce, &Builtin::reduce, name, parameters);
}

absl::StatusOr<FunctionInfo> FindFunction(Role role, std::string_view name) {
  auto builtin = Find(role, name);
  if (!builtin.ok()) return builtin.status();
  return InfoOf(**builtin, role);
}

}  // namespace kvd::mapreduce
