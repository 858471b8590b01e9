// What a client takes from stores, and kvctl from files.
#include "client/kvctl/format.h"
#include "client/src/convert.h"
#include "client/src/session.h"
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
    session.Submit(std::move(item), loop.Now() + milliseconds(500), [&open, ended, asked](const auto& answer) {
      KVD_CHECK(!*ended);
      *ended = true;
      --open;
      if (answer.ok()) KVD_CHECK(!answer->has_error() && fuzz::Answers(asked, *answer));
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
    auto again = kvctl::ParseRawRecord(kvctl::Escape(raw->first) + "\t" + kvctl::Escape(raw->second));
    KVD_CHECK(again == raw);
  }
  auto json = kvctl::ParseJsonRecord(line);
  if (json) {
    std::string made = "{" + kvctl::JsonBytes("key", json->first) + ", " + kvctl::JsonBytes("value", json->second) + "}";
    KVD_CHECK(kvctl::ParseJsonRecord(made) == json);
  }
  std::string text = kvctl::Escape(input);
  KVD_CHECK(kvctl::Unescape(text) == line);
}

}  // namespace
}  // namespace kvd::client
