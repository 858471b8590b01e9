// A worker program: counts words, and spreads them over the reducers by their first letter, so that
// the output's partitions are in the order of the alphabet.
//
// Parameter min_letters: shorter words are not counted; 1 if it is missing.
#include <kvd/mapreduce.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

uint64_t NumberIn(std::string_view text) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  // What is thrown ends the attempt; with it the job's error names the record.
  if (error != std::errc() || end != text.data() + text.size())
    throw std::invalid_argument("not a number: " + std::string(text));
  return number;
}

class Words : public kvd::worker::Mapper {
 public:
  explicit Words(const kvd::worker::Parameters& parameters) {
    if (auto at = parameters.find("min_letters"); at != parameters.end())
      min_letters_ = NumberIn(at->second);
  }

  void Map(std::string_view /*key*/, std::string_view value, kvd::worker::Output& out) override {
    lines_.Add(out);
    for (size_t at = 0; at < value.size();) {
      at = static_cast<size_t>(std::find_if(value.begin() + at, value.end(), IsLetter) -
                               value.begin());
      size_t end = at;
      while (end < value.size() && IsLetter(value[end])) ++end;
      if (end > at && end - at >= min_letters_) out.Emit(value.substr(at, end - at), "1");
      at = end;
    }
  }

 private:
  uint64_t min_letters_ = 1;
  kvd::worker::Counter lines_{"lines"};
};

// Combines too: sums of sums are sums.
class Sum : public kvd::worker::Reducer {
 public:
  void Reduce(std::string_view word, kvd::worker::Values& values,
              kvd::worker::Output& out) override {
    uint64_t sum = 0;
    for (std::string_view value; values.Next(&value);) sum += NumberIn(value);
    out.Emit(word, std::to_string(sum));
  }
};

class ByLetter : public kvd::worker::Partitioner {
 public:
  uint32_t PartitionOf(std::string_view word, uint32_t partitions) override {
    auto letter = static_cast<uint32_t>(word.empty() ? 0 : (word[0] | 0x20) - 'a');
    return std::min(letter, 25u) * partitions / 26;
  }
};

}  // namespace

KVD_WORKER(.mapper = kvd::worker::Make<Words>(), .combiner = kvd::worker::Make<Sum>(),
           .reducer = kvd::worker::Make<Sum>(), .partitioner = kvd::worker::Make<ByLetter>())
