// The vocabulary: codec, ranges, checksums, typed errors.
#include "gtest/gtest.h"
#include "proto/bytes.h"
#include "proto/codec.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "proto/key_range.h"
#include "proto/timestamp.h"

namespace kvd {
namespace {

TEST(Codec, RoundTrips) {
  std::string bytes;
  Writer w(&bytes);
  for (uint64_t n : {uint64_t{0}, uint64_t{127}, uint64_t{128}, ~uint64_t{0}}) w.Varint(n);
  for (int64_t n : {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX}) w.SignedVarint(n);
  w.Fixed32(0xdeadbeef);
  w.Fixed64(0x0123456789abcdef);
  w.Bytes(std::string("a\0b", 3));
  Reader r(bytes);
  for (uint64_t n : {uint64_t{0}, uint64_t{127}, uint64_t{128}, ~uint64_t{0}})
    EXPECT_EQ(r.Varint(), n);
  for (int64_t n : {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX}) EXPECT_EQ(r.SignedVarint(), n);
  EXPECT_EQ(r.Fixed32(), 0xdeadbeef);
  EXPECT_EQ(r.Fixed64(), 0x0123456789abcdefu);
  EXPECT_EQ(r.Bytes(), std::string_view("a\0b", 3));
  EXPECT_TRUE(r.Done());
}

TEST(Codec, EveryTruncationFailsAndStaysFailed) {
  std::string bytes;
  Writer w(&bytes);
  w.Varint(uint64_t{300});
  w.Bytes("hello");
  w.Fixed64(7);
  for (size_t n = 0; n < bytes.size(); ++n) {
    Reader r(std::string_view(bytes).substr(0, n));
    r.Varint();
    r.Bytes();
    r.Fixed64();
    EXPECT_FALSE(r.ok()) << n;
    EXPECT_EQ(r.Byte(), 0);
  }
  EXPECT_FALSE(Reader(std::string(11, '\xff')).Varint());
  Reader huge(std::string_view("\xff\xff\xff\xff\x0f", 5));
  EXPECT_EQ(huge.Count(), 0u);
  EXPECT_FALSE(huge.ok());
}

TEST(KeyRange, ContainsAndOverlaps) {
  KeyRange all, ab{"a", "b"}, bc{"b", "c"}, from_b{"b", ""};
  EXPECT_TRUE(all.Contains("anything"));
  EXPECT_TRUE(ab.Contains("a") && !ab.Contains("b"));
  EXPECT_FALSE(ab.Overlaps(bc));
  EXPECT_TRUE(from_b.Overlaps(bc) && from_b.Contains(bc) && !bc.Contains(from_b));
  EXPECT_TRUE(all.Contains(from_b) && !from_b.Contains(all));
  EXPECT_EQ(PrefixEnd("ab"), "ac");
  EXPECT_EQ(PrefixEnd("a\xff"), "b");
  EXPECT_EQ(PrefixEnd("\xff\xff"), "");
}

TEST(Crc32c, KnownValues) {
  // RFC 3720, B.4.
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c("456789", Crc32c("123")), Crc32c("123456789"));
  EXPECT_NE(ValueChecksum("key", "value"), ValueChecksum("other", "value"));
}

TEST(Error, DetailsSurviveTheWire) {
  absl::Status status = NotLeaderError(GroupId(1), StoreId(3), "host:1");
  absl::Status back = ParseStatus(SerializeStatus(status));
  EXPECT_EQ(back.code(), absl::StatusCode::kUnavailable);
  ErrorInfo info = InfoOf(back);
  EXPECT_EQ(info.kind, ErrorKind::kNotLeader);
  EXPECT_EQ(info.leader, StoreId(3));
  EXPECT_EQ(info.leader_address, "host:1");
  EXPECT_EQ(InfoOf(ParseStatus(SerializeStatus(OutcomeUnknownError("x")))).kind,
            ErrorKind::kOutcomeUnknown);
  EXPECT_EQ(InfoOf(ParseStatus(SerializeStatus(BusyError("x", 7)))).retry_after_ms, 7u);
  EXPECT_EQ(ParseStatus("\xff\xff garbage").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ParseStatus("").code(), absl::StatusCode::kInternal) << "no failure has code 0";
  EXPECT_EQ(ParseStatus("\x08\x63").code(), absl::StatusCode::kInternal) << "99 is no code";
  EXPECT_EQ(InfoOf(absl::InternalError("plain")).kind, ErrorKind::kNone);
}

TEST(Error, LimitsNameFieldValueAndSide) {
  auto text = [](const absl::Status& status) { return std::string(status.message()); };
  EXPECT_EQ(text(LimitError("key", 4096, 5000, "bytes")), "key is 5000 bytes, the limit is 4096");
  EXPECT_EQ(text(LimitError("key", 1, 0, "bytes")), "key is 0 bytes, it must be at least 1");
  EXPECT_EQ(text(LimitError("read.consistency", 2, 7, "")),
            "read.consistency is 7, the limit is 2");
}

TEST(Printable, EscapesAndCuts) {
  EXPECT_EQ(Printable(std::string("a\"\0", 3)), R"("a\"\x00")");
  EXPECT_EQ(Printable(std::string(100, 'x'), 3), "\"xxx\"... (100 bytes)");
}

}  // namespace
}  // namespace kvd
