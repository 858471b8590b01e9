// A pipeline's item under a checksum, see Sealed in kv.proto. Pure and thread-safe.
#pragma once

#include <string>
#include <utility>

#include "proto/crc32c.h"

namespace kvd {

// Requires: it is not sealed.
template <class Item>
void Seal(Item* item) {
  std::string bytes = item->SerializeAsString();
  auto id = item->id();
  item->Clear();
  item->set_id(id);
  item->mutable_sealed()->set_crc32c(Crc32c(bytes));
  item->mutable_sealed()->set_item(std::move(bytes));
}

// Requires: it is sealed. False if it is damaged.
template <class Item>
bool Unseal(Item* item) {
  Item inner;
  const auto& sealed = item->sealed();
  bool intact = Crc32c(sealed.item()) == sealed.crc32c() && inner.ParseFromString(sealed.item()) &&
                inner.id() == item->id() && !inner.has_sealed();
  if (intact) *item = std::move(inner);
  return intact;
}

}  // namespace kvd
