// What a client takes from stores, and kvctl from files.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "client/kvctl/cluster_text.h"
#include "client/kvctl/format.h"
#include "client/kvctl/verdict.h"
#include "client/kvctl/words.h"
#include "client/src/convert.h"
#include "client/src/session.h"
#include "proto/bytes.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "tests/fuzz/fuzz_store.h"
#include "tests/fuzz/target.h"

namespace kvd::client {
namespace {

// Answers every call from the input.
class FuzzNetwork : public Network {
 public:
  FuzzNetwork(Loop* loop, Reader* input) : loop_(loop), input_(input) {}

  void Call(const std::string&, RequestItem item, Duration,
            std::function<void(absl::StatusOr<ResponseItem>)> done) override {
    uint8_t kind = input_->Byte();
    std::string_view bytes = input_->Bytes();
    absl::StatusOr<ResponseItem> answer = absl::UnavailableError("gone");
    if (kind % 8 == 1) answer = absl::UnknownError("lost");
    if (kind % 8 >= 2) {
      answer = ResponseItem();
      (void)answer->ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()));
      answer->set_id(item.id());
    }
    loop_->Post([done = std::move(done), answer = std::move(answer)] { done(answer); });
  }

 private:
  Loop* const loop_;
  Reader* const input_;
};

// What the public client makes of an answer.
void Convert(const absl::StatusOr<ResponseItem>& answer) {
  (void)GetAnswer("key", answer);
  (void)MultiGetAnswer({"key", "other"}, answer);
  (void)WriteAnswer(answer);
  (void)BatchAnswer(answer);
}

// Whatever stores answer: every call ends once, by its deadline.
KVD_FUZZ_TARGET(client_response) {
  sim::Scheduler scheduler(1);
  sim::SimLoop loop(&scheduler, 1.0, 0);
  Reader r(input);
  FuzzNetwork network(&loop, &r);
  SessionOptions options;
  options.addresses = {"one:1", "two:1"};
  Session session(&loop, &network, options);
  int open = 0;
  for (int n = 0; n < 6 && r.ok() && !r.rest().empty(); ++n) {
    RequestItem item = fuzz::TakeRequest(r);
    if (item.request_case() == RequestItem::REQUEST_NOT_SET) continue;
    ++open;
    auto ended = std::make_shared<bool>(false);
    RequestItem asked = item;
    session.Submit(std::move(item), loop.Now() + milliseconds(500),
                   [&open, ended, asked](const auto& answer) {
                     KVD_CHECK(!*ended);
                     *ended = true;
                     --open;
                     if (answer.ok())
                       KVD_CHECK(!answer->has_error() && fuzz::Answers(asked, *answer));
                     Convert(answer);
                   });
    scheduler.RunUntil(scheduler.now() + milliseconds(5));
  }
  scheduler.RunUntil(scheduler.now() + std::chrono::seconds(1));
  KVD_CHECK(open == 0);
}

// A line of an import, in either form.
KVD_FUZZ_TARGET(import_record) {
  std::string line(input);
  auto raw = kvctl::ParseRawRecord(line);
  if (raw) {
    auto again =
        kvctl::ParseRawRecord(kvctl::Escape(raw->first) + "\t" + kvctl::Escape(raw->second));
    KVD_CHECK(again == raw);
  }
  auto json = kvctl::ParseJsonRecord(line);
  if (json) {
    std::string made = "{" + kvctl::JsonBytes("key", json->first) + ", " +
                       kvctl::JsonBytes("value", json->second) + "}";
    KVD_CHECK(kvctl::ParseJsonRecord(made) == json);
  }
  std::string text = kvctl::Escape(input);
  KVD_CHECK(kvctl::Unescape(text) == line);
}

// A line of the shell: no character that is not of the line, and quoted words come back.
KVD_FUZZ_TARGET(kvctl_words) {
  std::vector<std::string> words;
  bool closed = kvctl::SplitWords(input, &words);
  size_t bytes = 0;
  std::string line;
  for (const std::string& word : words) {
    bytes += word.size();
    line += '"';
    for (char c : word) {
      if (c == '"' || c == '\\') line += '\\';
      line += c;
    }
    line += "\" ";
  }
  KVD_CHECK(bytes <= input.size());
  std::vector<std::string> again;
  KVD_CHECK(kvctl::SplitWords(line, &again));
  if (closed) KVD_CHECK(again == words);
}

// JSON that others can read, and text without a control character but for the ends of lines.
void CheckText(const std::string& text, bool json) {
  google::protobuf::Value value;
  if (json) KVD_CHECK(google::protobuf::util::JsonStringToMessage(text, &value).ok());
  for (unsigned char c : text) KVD_CHECK(c >= ' ' || c == '\n');
}

template <class Message>
Message TakeWire(Reader& r) {
  Message message;
  std::string_view bytes = r.Bytes();
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) message.Clear();
  return message;
}

void ShowCluster(Reader& r, bool json) {
  auto members = TakeWire<v1::MembersResponse>(r);
  for (const auto& group : members.groups()) CheckText(kvctl::GroupText(group, json), json);
  kvctl::StoreAnswers answers;
  for (const auto& store : members.stores()) {
    auto status = TakeWire<v1::StatusResponse>(r);
    // As ClusterClient has it: without a group it is no answer.
    if (status.groups().empty()) {
      answers.emplace(store.store_id(), absl::UnavailableError(ToAbsl(r.Bytes())));
    } else {
      answers.emplace(store.store_id(), status);
    }
  }
  CheckText(kvctl::StatusText(members, answers, json), json);
}

void ShowVerdicts(Reader& r, bool json) {
  std::vector<kvctl::VerifiedReplica> replicas;
  for (int n = r.Byte() % 6; n > 0; --n) {
    kvctl::VerifiedReplica& replica = replicas.emplace_back();
    replica.store = r.Byte();
    replica.address = r.Bytes();
    if (r.Byte() % 4 == 0) replica.silent = r.Bytes();
    replica.answer = TakeWire<v1::GetVerificationResponse>(r);
  }
  kvctl::Judge(&replicas, 7);
  for (const auto& replica : replicas) {
    KVD_CHECK(!replica.verdict.empty());
    KVD_CHECK(replica.verdict != "ok" || (replica.Counts() && replica.answer.damaged() == 0));
    CheckText(replica.verdict, false);
  }
  CheckText(
      json ? kvctl::VerifiedJson(replicas, {2, 7}, false) : kvctl::VerifiedTable(replicas, {2, 7}),
      json);
}

// What kvctl shows of whatever stores answer.
KVD_FUZZ_TARGET(kvctl_text) {
  Reader r(input);
  uint8_t kind = r.Byte();
  if (kind % 4 < 2) {
    ShowCluster(r, kind % 2 == 0);
  } else {
    ShowVerdicts(r, kind % 2 == 0);
  }
}

}  // namespace
}  // namespace kvd::client
