// Several record machines in one group: each has commands and records of its own, told apart by
// their first bytes, and knows nothing of the others. Lives on the group's loop; deterministic.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/storage/record_machine.h"

namespace kvd::storage {

class MachineSet : public RecordMachine {
 public:
  // Commands that begin with `command_byte` are the machine's, which outlives the set, and so are
  // records whose keys begin with one of `record_bytes`. No two machines share one of them.
  void Add(char command_byte, std::string_view record_bytes, RecordMachine* machine);

  // Each reads its own records and leaves others' alone. The first error ends it.
  absl::Status Load(const MvccReader& reader, Timestamp at) override;
  // INVALID_ARGUMENT if it is nobody's command. A machine that writes others' records is broken.
  absl::StatusOr<std::string> Apply(std::string_view command, const Position& position,
                                    RecordSink* records) override;

 private:
  struct Member {
    char command_byte;
    std::string record_bytes;
    RecordMachine* machine;
  };
  std::vector<Member> members_;
};

}  // namespace kvd::storage
