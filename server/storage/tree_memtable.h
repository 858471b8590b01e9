// RocksDB's memtable as a B+-tree. Its skip list reads a node from memory, most often past all
// caches, for every comparison of a search; here a search compares digests that lie side by side,
// and reads rows only where those are equal.
//
//   node  = prefix that its keys share (its first 48 bytes) | slots in order of their keys
//   slot  = digest: the 8 bytes behind the prefix | row, of an inner node the least one below |
//   child, likewise
//
// One writer at a time (allow_concurrent_memtable_write = false) beside any number of readers,
// which take no lock: a number counts changes and is odd during one (a sequence lock), and who read
// meanwhile reads again. Rows and nodes stay where they are until the memtable goes. For keys in
// the order of their bytes, without timestamps of RocksDB's own.
//
// Source: D. Comer, "The Ubiquitous B-Tree", 1979; digests: D. Lomet, "The Evolution of Effective
// B-tree", 2001.
#pragma once

#include <memory>

namespace rocksdb {
class MemTableRepFactory;
}  // namespace rocksdb

namespace kvd::storage {

std::shared_ptr<rocksdb::MemTableRepFactory> NewTreeMemtableFactory();

}  // namespace kvd::storage
