// Kills a store's storage again and again while it writes, and shows that what it acknowledged is
// there when it is opened again, with nothing missing before it: kill_loop [--loops N] [--seed K].
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "proto/check.h"
#include "raft/runtime/random.h"
#include "tests/cluster/process.h"
#include "tests/cluster/sequence_writer.h"
#include "tests/scratch_directory.h"

namespace {

using Clock = std::chrono::steady_clock;
using kvd::Random;

// What the child tells through its standard output.
enum class Word : uint64_t { kPid = 1, kOpened = 2, kAcknowledged = 3 };
struct Told {
  Word word;
  uint64_t value;
};

void Tell(Word word, uint64_t value) {
  Told told = {word, value};
  if (write(STDOUT_FILENO, &told, sizeof told) != sizeof told) _exit(1);
}

int Child(const std::string& directory, uint64_t seed) {
  Tell(Word::kPid, static_cast<uint64_t>(getpid()));
  auto writer = kvd::SequenceWriter::Open(directory);
  if (!writer.ok()) {
    std::fprintf(stderr, "%s\n", std::string(writer.status().message()).c_str());
    return 1;
  }
  Tell(Word::kOpened, (*writer)->last());
  (*writer)->Write(seed, [](uint64_t last) { Tell(Word::kAcknowledged, last); });
}

struct Plan {
  int at_sync = 0;             // by strace, at this sync of a thread; 0: at a moment
  bool while_opening = false;  // the moment counts from the start, else from when it is open
  std::chrono::microseconds after{0};
};

Plan NextPlan(Random& random) {
  Plan plan;
  if (random.Chance(0.15)) plan.at_sync = static_cast<int>(random.Between(1, 12));
  plan.while_opening = random.Chance(0.25);
  plan.after = std::chrono::microseconds(random.Below(plan.while_opening ? 60'000 : 30'000));
  return plan;
}

// One life of the writer.
struct Life {
  bool opened = false;
  uint64_t found = 0;         // last entry when it was opened
  uint64_t acknowledged = 0;  // last entry that it acknowledged; 0: none
  int exit_code = 0;
  std::string complaint;
};

class Runner {
 public:
  Runner(std::string program, std::string directory)
      : program_(std::move(program)), directory_(std::move(directory)) {}

  Life Live(const Plan& plan, uint64_t seed) {
    std::vector<std::string> words;
    if (plan.at_sync != 0) {
      words = {"/usr/bin/strace",
               "-f",
               "-o",
               "/dev/null",
               "-e",
               "trace=fdatasync",
               "-e",
               absl::StrCat("inject=fdatasync:signal=SIGKILL:when=", plan.at_sync)};
    }
    for (const std::string& word : {program_, std::string("--child"), directory_,
                                    std::string("--seed"), std::to_string(seed)}) {
      words.push_back(word);
    }
    Start(words);
    Life life;
    // A life that is to end by itself gets as long as strace may need.
    auto end = Clock::now() + (plan.while_opening && plan.at_sync == 0
                                   ? plan.after
                                   : std::chrono::microseconds(20'000'000));
    bool open = true;
    while (open && Clock::now() < end) {
      bool was_open = life.opened;
      open = Listen(&life, end);
      if (life.opened && !was_open)
        end = Clock::now() + (plan.at_sync == 0 ? plan.after : std::chrono::microseconds(300'000));
    }
    pid_t writer = plan.at_sync == 0 ? pid_ : traced_;
    if (writer != 0) kill(writer, SIGKILL);
    int status = 0;
    waitpid(pid_, &status, 0);
    while (Listen(&life, Clock::now() + std::chrono::seconds(20))) {
    }
    close(pipe_);
    life.exit_code = kvd::ExitCode(status);
    life.complaint = kvd::ReadAll(ErrorPath());
    return life;
  }

 private:
  std::string ErrorPath() const { return directory_ + ".err"; }

  void Start(const std::vector<std::string>& words) {
    int ends[2];
    KVD_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    truncate(ErrorPath().c_str(), 0);
    traced_ = 0;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      int errors = open(ErrorPath().c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
      dup2(ends[1], STDOUT_FILENO);
      dup2(errors, STDERR_FILENO);
      std::vector<char*> argv;
      argv.reserve(words.size() + 1);
      for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(ends[1]);
    pipe_ = ends[0];
  }

  // Takes in what the child tells until `end`; false once it has ended.
  bool Listen(Life* life, Clock::time_point end) {
    auto left = std::max<std::chrono::nanoseconds>(end - Clock::now(), std::chrono::nanoseconds(0));
    timespec wait = {left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    pollfd polled = {pipe_, POLLIN, 0};
    if (ppoll(&polled, 1, &wait, nullptr) <= 0) return true;
    Told told;
    ssize_t size = read(pipe_, &told, sizeof told);
    if (size != sizeof told) return false;  // records are written whole
    if (told.word == Word::kPid) traced_ = static_cast<pid_t>(told.value);
    if (told.word == Word::kOpened) {
      life->opened = true;
      life->found = told.value;
    }
    if (told.word == Word::kAcknowledged) life->acknowledged = told.value;
    return true;
  }

  const std::string program_;
  const std::string directory_;
  pid_t pid_ = 0;
  pid_t traced_ = 0;  // the writer itself, which is strace's child if there is one
  int pipe_ = -1;
};

struct Totals {
  int opened = 0;
  int at_sync = 0;
  uint64_t acknowledged = 0;
};

// Empty, or what a life shows to be wrong.
std::string Judge(const Life& life, const Totals& totals) {
  if (life.exit_code != -SIGKILL) {
    return absl::StrCat("it ended by itself with ", life.exit_code, ": ", life.complaint);
  }
  if (life.opened && life.found < totals.acknowledged) {
    return absl::StrCat("it ends at entry ", life.found, ", but entry ", totals.acknowledged,
                        " was acknowledged");
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  int loops = 1000;
  uint64_t seed = 1;
  std::string child;
  CLI::App app("Kills a store's storage while it writes, and checks what is left.", "kill_loop");
  app.add_option("--loops", loops, "How often")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  app.add_option("--seed", seed, "Of the moments")->capture_default_str();
  app.add_option("--child", child, "Be the writer on this directory")->group("");
  CLI11_PARSE(app, argc, argv);
  if (!child.empty()) return Child(child, seed);

  kvd::ScratchDirectory scratch;
  std::string directory = scratch.path() + "/store";
  Runner runner(argv[0], directory);
  Random random(seed);
  Totals totals;
  auto start = Clock::now();
  for (int loop = 1; loop <= loops; ++loop) {
    Plan plan = NextPlan(random);
    if (loop == loops) plan = Plan{};  // the last one opens, so that the one before is judged
    Life life = runner.Live(plan, random.Next());
    std::string wrong = Judge(life, totals);
    if (!wrong.empty()) {
      std::string kept = scratch.path() + "-kept";
      std::filesystem::rename(directory, kept);
      std::printf("loop %d of seed %lu: %s\nkept: %s\nagain: %s --loops %d --seed %lu\n", loop,
                  seed, wrong.c_str(), kept.c_str(), argv[0], loops, seed);
      return 1;
    }
    totals.opened += life.opened ? 1 : 0;
    totals.at_sync += plan.at_sync != 0 ? 1 : 0;
    totals.acknowledged = std::max({totals.acknowledged, life.acknowledged, life.found});
  }
  double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf("%d kills (%d at a sync, %d while opening), %lu entries, %.1f loops/s, no hole\n",
              loops, totals.at_sync, loops - totals.opened, totals.acknowledged, loops / seconds);
  return 0;
}
