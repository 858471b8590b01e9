// Golden scenarios: text files of commands with the output that they must give. To accept new
// output, run with KVD_REWRITE=1 and read the difference.
//
// A file is blocks "command lines, ----, output, blank line". Commands are in Run() below.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "tests/raft/core/harness.h"

namespace kvd::raft {
namespace {

class Scenario {
 public:
  std::string Run(const std::string& line) {
    std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    size_t seen = harness_ ? harness_->trace.size() : 0;
    std::string said = Execute(words);
    std::string out;
    if (harness_ && words[0] != "nodes") {
      for (size_t i = seen; i < harness_->trace.size(); ++i) out += harness_->trace[i] + "\n";
    }
    return out + said;
  }

 private:
  static uint64_t Number(const std::string& word) {
    uint64_t n = 0;
    EXPECT_TRUE(absl::SimpleAtoi(word, &n)) << word;
    return n;
  }

  static std::string Said(const absl::Status& status) {
    return status.ok() ? "" : absl::StrCat("error: ", std::string(status.message()), "\n");
  }

  std::string Execute(const std::vector<std::string>& w) {
    const std::string& verb = w[0];
    if (verb == "nodes") {  // nodes N: a cluster of N voters
      harness_ = std::make_unique<Harness>(static_cast<int>(Number(w[1])));
      return "";
    }
    Harness& h = *harness_;
    if (verb == "stabilize")
      h.Stabilize();
    else if (verb == "deliver")
      for (uint64_t i = 0; i < Number(w[1]); ++i) h.DeliverNext();
    else if (verb == "elapse")
      h.Elapse(milliseconds(Number(w[1])));
    else if (verb == "elapse-quietly")
      Quietly(milliseconds(Number(w[1])));
    else if (verb == "campaign")
      h.Campaign(Number(w[1]));
    else if (verb == "isolate")
      h.Isolate(Number(w[1]));
    else if (verb == "cut")
      h.Cut(Number(w[1]), Number(w[2]));
    else if (verb == "heal")
      h.Heal();
    else if (verb == "lose-messages")
      h.network().clear();
    else if (verb == "stop")
      h.Stop(Number(w[1]));
    else if (verb == "restart")
      h.Restart(Number(w[1]));
    else if (verb == "add-node")
      h.AddNode(Number(w[1]));
    else if (verb == "log")
      return LogOf(Number(w[1]));
    else if (verb == "set-log")
      return SetLog(w);
    else if (verb == "compact")
      return Compact(Number(w[1]));
    else if (verb == "snapshot")
      h.SendSnapshot(Number(w[1]), Number(w[2]));
    else if (verb == "propose")
      return Said(h.Propose(Number(w[1]), w[2]).status());
    else if (verb == "transfer")
      return Transfer(w);
    else if (verb == "read-index")
      return ReadIndex(w);
    else if (verb == "reads")
      return Reads(Number(w[1]));
    else if (verb == "lease")
      return h.core(Number(w[1])).HoldsLease(h.now()) ? "held\n" : "not held\n";
    else if (verb == "change")
      return Change(w);
    else if (verb == "status")
      return Status();
    else
      ADD_FAILURE() << "unknown command " << verb;
    return "";
  }

  void Quietly(Duration duration) {
    size_t seen = harness_->trace.size();
    harness_->Elapse(duration);
    harness_->trace.resize(seen);
  }

  std::string Transfer(const std::vector<std::string>& w) {
    auto status =
        harness_->core(Number(w[1])).TransferLeadership(harness_->now(), ReplicaId(Number(w[2])));
    harness_->Drain();
    return Said(status);
  }

  std::string ReadIndex(const std::vector<std::string>& w) {
    auto status = harness_->core(Number(w[1])).ReadIndex(harness_->now(), Number(w[2]));
    harness_->Drain();
    return Said(status);
  }

  std::string Reads(uint64_t id) {
    std::string out;
    auto& node = harness_->node(id);
    for (const ReadState& r : node.reads)
      absl::StrAppend(&out, r.id, " at ", r.index.value(), "\n");
    for (uint64_t r : node.failed_reads) absl::StrAppend(&out, r, " failed\n");
    node.reads.clear();
    node.failed_reads.clear();
    return out;
  }

  // change LEADER [learner=N|promote=N|remove=N]...
  std::string Change(const std::vector<std::string>& w) {
    MembershipChange change;
    for (size_t i = 2; i < w.size(); ++i) {
      std::vector<std::string> parts = absl::StrSplit(w[i], '=');
      uint64_t id = Number(parts[1]);
      if (parts[0] == "learner") change.add_learners.push_back({ReplicaId(id), StoreId(id)});
      if (parts[0] == "promote") change.promote.push_back(ReplicaId(id));
      if (parts[0] == "remove") change.remove.push_back(ReplicaId(id));
    }
    auto index = harness_->core(Number(w[1])).ChangeMembership(harness_->now(), change);
    harness_->Drain();
    return Said(index.status());
  }

  // set-log N term term ...: gives replica N a log of these terms, as after a restart.
  std::string SetLog(const std::vector<std::string>& w) {
    auto& node = harness_->node(Number(w[1]));
    Output output;
    for (size_t i = 2; i < w.size(); ++i) {
      auto entry = std::make_shared<Entry>();
      entry->index = Index(i - 1);
      entry->term = Term(Number(w[i]));
      entry->type = EntryType::kCommand;
      entry->data = absl::StrCat("t", w[i], "i", i - 1);
      output.entries.push_back(entry);
    }
    output.hard_state = HardState{output.entries.back()->term, ReplicaId(), Index()};
    node.disk->Write(output);
    harness_->Restart(Number(w[1]));
    return "";
  }

  std::string LogOf(uint64_t id) {
    const Log& log = harness_->core(id).log();
    std::string out =
        absl::StrCat("start=", log.start().value(), "/", log.start_term().value(), " [");
    for (Index i = log.first_index(); i <= log.last_index(); ++i) {
      absl::StrAppend(&out, i == log.first_index() ? "" : " ", i.value(), "/",
                      log.TermAt(i)->value());
    }
    return out + "]\n";
  }

  std::string Compact(uint64_t id) {
    auto& node = harness_->node(id);
    Configuration configuration = node.core->ConfigurationAt(node.applied_index);
    node.disk->Compact(node.applied_index);
    node.disk->start.configuration = configuration;
    node.core->Compact(node.applied_index);
    return "";
  }

  std::string Status() {
    std::string out;
    for (auto& [id, node] : harness_->nodes()) {
      if (!node.core) {
        absl::StrAppend(&out, id.value(), " stopped\n");
        continue;
      }
      const Core& c = *node.core;
      absl::StrAppend(&out, id.value(), " ", ToString(c.role()), " term=", c.term().value(),
                      " leader=", c.leader().value(), " commit=", c.commit_index().value(),
                      " last=", c.log().last_index().value(), "/", c.log().last_term().value(), " ",
                      c.configuration().ToString(), c.removed() ? " removed" : "", "\n");
    }
    return out;
  }

  std::unique_ptr<Harness> harness_;
};

class GoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, Scenario) {
  std::ifstream in(GetParam());
  std::string line, commands, expected, produced;
  Scenario scenario;
  std::stringstream whole;
  whole << in.rdbuf();
  for (absl::string_view block : absl::StrSplit(whole.str(), "\n\n", absl::SkipWhitespace())) {
    std::vector<std::string> output;
    std::string out;
    for (absl::string_view text : absl::StrSplit(block, '\n')) {
      if (text == "----") break;
      if (text.empty()) continue;
      absl::StrAppend(&produced, text, "\n");
      if (text[0] != '#') out += scenario.Run(std::string(text));
    }
    if (!out.empty()) absl::StrAppend(&produced, "----\n", out);
    produced += "\n";
  }
  produced.pop_back();
  if (std::getenv("KVD_REWRITE") != nullptr) {
    std::ofstream(GetParam()) << produced;
    return;
  }
  EXPECT_EQ(whole.str(), produced);
}

std::vector<std::string> Files() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(TESTDATA)) {
    files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest, testing::ValuesIn(Files()), [](const auto& info) {
  std::string name = std::filesystem::path(info.param).stem().string();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace kvd::raft
