#include "tests/fuzz/fuzz_store.h"

#include "proto/check.h"
#include "proto/crc32c.h"
#include "proto/limits.h"
#include "tests/first_shard.h"

namespace kvd::fuzz {
namespace {

sim::StoreOptions Options() {
  sim::StoreOptions options;
  // No fault, no chance: what happens follows from the input.
  options.disk.sync_max = options.disk.sync_min;
  options.host.log_entries_kept = 8;
  options.group.snapshot_chunk_bytes = 512;
  options.group.clients_max = 2;
  options.group.retention = milliseconds(2000);
  return options;
}

std::string TakeValue(Reader& r) {
  switch (r.Byte() % 6) {
    case 0: return "";
    case 1: return std::to_string(static_cast<int64_t>(TakeNumber(r)));
    case 2: return std::string(r.Byte(), 'v');
    case 3: return "not a number";
    case 4: return std::string(3000, 'w');
    default: return std::string(r.Bytes());
  }
}

void FillHeader(Reader& r, v1::RequestHeader* header) {
  uint8_t flags = r.Byte();
  if ((flags & 1) != 0) header->set_cluster_id(TakeNumber(r));
  header->set_forwarded((flags & 2) != 0);
  if ((flags & 4) == 0) return;
  header->mutable_writer()->set_client_id(1 + r.Byte() % 3);
  header->mutable_writer()->set_sequence(r.Byte() % 4);
  header->mutable_writer()->set_attempt(r.Byte() % 3);
  if ((flags & 8) != 0) header->mutable_writer()->set_token(TakeNumber(r));
}

template <class Request>
void FillConditions(Reader& r, Request* request) {
  for (int n = r.Byte() % 4; n > 0; --n) {
    v1::Condition* condition = request->add_conditions();
    condition->set_key(TakeKey(r));
    switch (r.Byte() % 5) {
      case 0: condition->set_value_equals(TakeValue(r)); break;
      case 1: condition->set_version_equals(TakeNumber(r)); break;
      case 2: condition->set_absent(true); break;
      case 3: condition->set_absent(false); break;
      default: break;
    }
  }
}

template <class Put>
void FillPut(Reader& r, const std::string& key, Put* put) {
  put->set_value(TakeValue(r));
  uint8_t flags = r.Byte();
  if ((flags & 1) != 0) put->set_ttl_ms((flags & 2) != 0 ? TakeNumber(r) : flags);
  put->set_has_crc32c((flags & 4) != 0);
  put->set_crc32c((flags & 8) != 0 ? flags : ValueChecksum(key, put->value()));
}

void FillOperation(Reader& r, v1::BatchOperation* op) {
  op->set_key(TakeKey(r));
  switch (r.Byte() % 5) {
    case 0: FillPut(r, op->key(), op->mutable_put()); break;
    case 1: op->mutable_append()->set_suffix(TakeValue(r)); break;
    case 2: op->mutable_delete_(); break;
    case 3: op->mutable_increment()->set_delta(static_cast<int64_t>(TakeNumber(r))); break;
    default: break;
  }
}

void FillRead(Reader& r, v1::ReadOptions* read) {
  read->set_consistency(static_cast<v1::ReadOptions::Consistency>(r.Byte() % 5));
  read->set_mode(static_cast<v1::ReadOptions::Mode>(r.Byte() % 4));
  uint8_t flags = r.Byte();
  if ((flags & 1) != 0) read->set_timestamp(TakeNumber(r));
  if ((flags & 2) != 0) read->set_staleness_ms_max(TakeNumber(r));
}

void FillBatch(Reader& r, v1::BatchRequest* batch) {
  FillHeader(r, batch->mutable_header());
  FillConditions(r, batch);
  for (int n = r.Byte() % 4; n > 0; --n) FillOperation(r, batch->add_operations());
  for (int n = r.Byte() % 3; n > 0; --n) FillOperation(r, batch->add_otherwise());
}

void FillWrite(Reader& r, uint8_t kind, service::RequestItem* item) {
  if (kind == 0) {
    v1::PutRequest* put = item->mutable_put();
    FillHeader(r, put->mutable_header());
    put->set_key(TakeKey(r));
    FillPut(r, put->key(), put);
    FillConditions(r, put);
  } else if (kind == 1) {
    v1::AppendRequest* append = item->mutable_append();
    FillHeader(r, append->mutable_header());
    append->set_key(TakeKey(r));
    append->set_suffix(TakeValue(r));
    FillConditions(r, append);
  } else if (kind == 2) {
    FillHeader(r, item->mutable_delete_()->mutable_header());
    item->mutable_delete_()->set_key(TakeKey(r));
    FillConditions(r, item->mutable_delete_());
  } else if (kind == 3) {
    FillHeader(r, item->mutable_increment()->mutable_header());
    item->mutable_increment()->set_key(TakeKey(r));
    item->mutable_increment()->set_delta(static_cast<int64_t>(TakeNumber(r)));
    FillConditions(r, item->mutable_increment());
  } else if (kind == 4) {
    FillHeader(r, item->mutable_delete_range()->mutable_header());
    item->mutable_delete_range()->mutable_range()->set_start(TakeKey(r));
    item->mutable_delete_range()->mutable_range()->set_end(TakeKey(r));
    item->mutable_delete_range()->set_limit(static_cast<uint32_t>(TakeNumber(r)));
  } else {
    FillBatch(r, item->mutable_batch());
  }
}

}  // namespace

FuzzStore::FuzzStore(uint64_t voters)
    : scheduler_(1), network_(&scheduler_), store_(&scheduler_, &network_, StoreId(1), Options()) {
  raft::Configuration configuration;
  for (uint64_t i = 1; i <= voters; ++i) configuration.voters.push_back({ReplicaId(i), StoreId(i)});
  store_.Format(ReplicaId(1), configuration);
  store_.Start();
  if (voters > 1) return;
  store_.process().host->Campaign(sim::kGroup);
  Elapse(milliseconds(100));
  shard::Command command = InstallFirstShard();
  bool done = false;
  store_.group().Submit(command, [&](const auto& result) { done = result.ok(); });
  Elapse(milliseconds(100));
  KVD_CHECK(done);
}

service::ResponseItem FuzzStore::Execute(const service::RequestItem& item) {
  int answers = 0;
  service::ResponseItem answer;
  dispatcher().Execute(item, [&](service::ResponseItem out) {
    ++answers;
    answer = std::move(out);
  });
  auto limit = now() + std::chrono::seconds(30);
  while (answers == 0 && now() < limit) KVD_CHECK(scheduler_.RunOne());
  Elapse(milliseconds(5));
  KVD_CHECK(answers == 1);
  KVD_CHECK(answer.id() == item.id());
  KVD_CHECK(answer.has_error() ? answer.error().code() != 0 && answer.response_case() == 0
                               : Answers(item, answer));
  (void)answer.SerializeAsString();
  return answer;
}

void FuzzStore::CheckServes() {
  std::string value = "probe " + std::to_string(++probes_);
  service::RequestItem put;
  put.mutable_put()->set_key("probe");
  put.mutable_put()->set_value(value);
  service::ResponseItem answer = Execute(put);
  KVD_CHECK_MSG(answer.write().applied(), answer.error().message());
  service::RequestItem get;
  get.mutable_get()->set_key("probe");
  answer = Execute(get);
  KVD_CHECK_MSG(answer.get().version().value() == value, answer.error().message());
}

bool Answers(const service::RequestItem& request, const service::ResponseItem& response) {
  using Request = service::RequestItem;
  switch (request.request_case()) {
    case Request::kGet: return response.has_get();
    case Request::kMultiGet: return response.has_multi_get();
    case Request::kScan: return response.has_scan();
    case Request::kDeleteRange: return response.has_delete_range();
    case Request::kBatch: return response.has_batch();
    case Request::kSealed:
    case Request::REQUEST_NOT_SET: return false;
    default: return response.has_write();
  }
}

uint64_t TakeNumber(Reader& r) {
  constexpr uint64_t kLimits[] = {0,
                                  1,
                                  2,
                                  77,
                                  1023,
                                  4096,
                                  4097,
                                  kKeyBytesMax,
                                  kDeleteRangeKeysMax,
                                  kTtlMillisMax,
                                  kStalenessMillisMax,
                                  uint64_t{1} << 31,
                                  uint64_t{1} << 32,
                                  uint64_t{1} << 62,
                                  uint64_t{1} << 63,
                                  ~uint64_t{0}};
  uint8_t kind = r.Byte();
  if (kind < 64) return kind;
  if (kind < 192)
    return kLimits[kind % std::size(kLimits)] +
           (kind < 128 ? 0 : static_cast<uint64_t>(r.Byte() % 3) - 1);
  // Timestamps about the simulated present.
  if (kind < 224)
    return (uint64_t{1'700'000'000'000} + uint64_t{3'600'000} + r.Varint() % 8'000'000)
           << kTimestampCounterBits;
  return r.Varint();
}

std::string TakeKey(Reader& r) {
  uint8_t kind = r.Byte();
  switch (kind % 8) {
    case 0: return "a";
    case 1: return "b";
    case 2: return std::string("a\0b", 3);
    case 3: return std::string(1, '\xff');
    case 4: return "key" + std::to_string(kind);
    case 5: return std::string(r.Bytes());
    case 6: return kind < 250 ? "a0" : "";
    default: return kind < 240 ? "c" : std::string(kKeyBytesMax + kind % 3, 'k');
  }
}

service::RequestItem TakeRequest(Reader& r) {
  service::RequestItem item;
  uint8_t kind = r.Byte();
  if (kind >= 200) {
    std::string_view bytes = r.Bytes();
    // Half a message is used as far as it goes.
    (void)item.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()));
    return item;
  }
  item.set_id(kind);
  if (kind % 8 == 6) {
    FillHeader(r, item.mutable_get()->mutable_header());
    item.mutable_get()->set_key(TakeKey(r));
    FillRead(r, item.mutable_get()->mutable_read());
  } else if (kind % 8 == 7) {
    FillHeader(r, item.mutable_multi_get()->mutable_header());
    for (int n = r.Byte() % 5; n > 0; --n) item.mutable_multi_get()->add_keys(TakeKey(r));
    FillRead(r, item.mutable_multi_get()->mutable_read());
  } else {
    FillWrite(r, kind % 8, &item);
  }
  return item;
}

v1::ScanRequest TakeScan(Reader& r) {
  v1::ScanRequest scan;
  uint8_t kind = r.Byte();
  if (kind >= 200) {
    std::string_view bytes = r.Bytes();
    (void)scan.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()));
    return scan;
  }
  FillHeader(r, scan.mutable_header());
  if ((kind & 1) != 0) scan.mutable_range()->set_start(TakeKey(r));
  if ((kind & 2) != 0) scan.mutable_range()->set_end(TakeKey(r));
  if ((kind & 4) != 0) scan.set_limit(TakeNumber(r));
  scan.set_reverse((kind & 8) != 0);
  scan.set_keys_only((kind & 16) != 0);
  scan.set_count_only((kind & 32) != 0);
  if ((kind & 64) != 0) scan.set_page_bytes(TakeNumber(r));
  if ((kind & 128) != 0) FillRead(r, scan.mutable_read());
  return scan;
}

}  // namespace kvd::fuzz
