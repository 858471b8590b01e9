// The vocabulary: the binary codec, typed errors.
#include "proto/check.h"
#include "proto/codec.h"
#include "proto/error.h"
#include "tests/fuzz/target.h"

namespace kvd {
namespace {

// The first bytes say which reads to make of the rest: none goes beyond the end, and after the
// first that fails all give nothing.
KVD_FUZZ_TARGET(codec) {
  size_t steps = input.empty() ? 0 : static_cast<uint8_t>(input[0]) % 32;
  if (input.size() < 1 + steps) return;
  std::string_view script = input.substr(1, steps);
  Reader r(input.substr(1 + steps));
  std::string again;
  Writer w(&again);
  for (char step : script) {
    bool was_ok = r.ok();
    uint64_t read = 0;
    switch (step & 7) {
      case 0: w.Byte(static_cast<uint8_t>(read = r.Byte())); break;
      case 1: w.Varint(read = r.Varint()); break;
      case 2:
        w.SignedVarint(static_cast<int64_t>(read = static_cast<uint64_t>(r.SignedVarint())));
        break;
      case 3: w.Fixed32(static_cast<uint32_t>(read = r.Fixed32())); break;
      case 4: w.Fixed64(read = r.Fixed64()); break;
      case 5: w.Bytes(r.Bytes()); break;
      case 6: w.Raw(r.Raw(static_cast<uint8_t>(step) >> 3)); break;
      default: KVD_CHECK(r.Count() <= input.size()); return;
    }
    if (!was_ok) KVD_CHECK(!r.ok() && read == 0 && r.rest().empty());
  }
  if (!r.ok()) return;
  // What was written from it reads back the same; only varints may have had a longer form.
  Reader back(again);
  std::string third;
  Writer w3(&third);
  for (char step : script) {
    switch (step & 7) {
      case 0: w3.Byte(back.Byte()); break;
      case 1: w3.Varint(back.Varint()); break;
      case 2: w3.SignedVarint(back.SignedVarint()); break;
      case 3: w3.Fixed32(back.Fixed32()); break;
      case 4: w3.Fixed64(back.Fixed64()); break;
      case 5: w3.Bytes(back.Bytes()); break;
      default: w3.Raw(back.Raw(static_cast<uint8_t>(step) >> 3)); break;
    }
  }
  KVD_CHECK(back.Done() && third == again);
}

// A status from the wire is a failure, and survives the way back.
KVD_FUZZ_TARGET(error_status) {
  absl::Status status = ParseStatus(input);
  KVD_CHECK(!status.ok());
  (void)InfoOf(status);
  (void)status.ToString();
  absl::Status again = ParseStatus(SerializeStatus(status));
  KVD_CHECK(again.code() == status.code() && InfoOf(again).kind == InfoOf(status).kind);
}

}  // namespace
}  // namespace kvd
