// Where machines put their records: in memory.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "server/storage/record_machine.h"

namespace kvd::fuzz {

class Records : public storage::RecordSink {
 public:
  void Put(std::string_view key, std::string_view value) override {
    records[std::string(key)] = value;
  }
  void Delete(std::string_view key) override { records.erase(std::string(key)); }

  std::map<std::string, std::string> records;
};

}  // namespace kvd::fuzz
