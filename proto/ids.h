// The numbers that name things, each a type of its own: swapping two does not compile.
// All are 64-bit, ordered and hashable; 0 means "none" unless said otherwise.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace kvd {

// A 64-bit number that converts to and from uint64_t only explicitly.
template <class Tag>
class Number {
 public:
  constexpr Number() = default;
  constexpr explicit Number(uint64_t value) : value_(value) {}

  constexpr uint64_t value() const { return value_; }
  constexpr explicit operator bool() const { return value_ != 0; }
  std::string ToString() const { return std::to_string(value_); }

  constexpr auto operator<=>(const Number&) const = default;

  // Arithmetic wraps like uint64_t; callers keep within range.
  constexpr Number operator+(uint64_t n) const { return Number(value_ + n); }
  constexpr Number operator-(uint64_t n) const { return Number(value_ - n); }
  constexpr uint64_t operator-(Number other) const { return value_ - other.value_; }
  constexpr Number& operator++() {
    ++value_;
    return *this;
  }

  template <class H>
  friend H AbslHashValue(H h, const Number& n) {
    return H::combine(std::move(h), n.value_);
  }

 private:
  uint64_t value_ = 0;
};

using ClusterId = Number<struct ClusterIdTag>;
using StoreId = Number<struct StoreIdTag>;      // one kvd process and its data directory
using GroupId = Number<struct GroupIdTag>;      // one Raft group, 1 to 2^32 - 1
using ReplicaId = Number<struct ReplicaIdTag>;  // one store's copy of a group; never reused in it
using ShardId = Number<struct ShardIdTag>;      // a key range as the unit of placement
using Epoch = Number<struct EpochTag>;          // version of a shard descriptor
using ConfigNumber = Number<struct ConfigTag>;  // version of the shard map
using OperationId = Number<struct OpTag>;       // its index in the controller's log
using Term = Number<struct TermTag>;            // Raft term
using Index = Number<struct IndexTag>;          // position in a Raft log, from 1
using ClientId = Number<struct ClientIdTag>;    // chosen at random by a client
using Sequence = Number<struct SequenceTag>;    // a client's writes, from 1

inline constexpr uint64_t kGroupIdMax = 0xffffffff;

}  // namespace kvd

template <class Tag>
struct std::hash<kvd::Number<Tag>> {
  size_t operator()(const kvd::Number<Tag>& n) const noexcept {
    return std::hash<uint64_t>()(n.value());
  }
};
