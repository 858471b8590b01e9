// Damage to the files of a store that does not run: what disks do to data at rest.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "raft/runtime/random.h"

namespace kvd {

// A kind of file in a data directory.
struct FileKind {
  const char* name;
  const char* folder;  // below the data directory; empty: itself
  const char* begins;  // how the file's name begins
  const char* ends;    // and ends
};

const std::vector<FileKind>& FileKinds();

// The non-empty files of a kind.
std::vector<std::string> FilesOf(const FileKind& kind, const std::string& data_dir);

enum class Damage { kFlippedBit, kCutShort, kZeroedBlock };

// Damages the file at a random place. Says what was done; none if nothing changed (a block that was
// zeroes already).
std::optional<std::string> DamageFile(const std::string& path, Damage damage, Random& random);

}  // namespace kvd
