// A disk of its own for one store: an ext4 file system in a file, mounted by way of a loop device.
// Its power can be cut, so that what the file system has not written is lost; a process that ends,
// however it ends, leaves that in the kernel's memory and loses nothing. Linux, root, in a sandbox.
#pragma once

#include <cstdint>
#include <string>

namespace kvd {

class DiskImage {
 public:
  // Makes the file at `path` and mounts it at `directory`, which is made too.
  DiskImage(std::string path, std::string directory, uint64_t bytes);
  DiskImage(const DiskImage&) = delete;
  DiskImage& operator=(const DiskImage&) = delete;

  // From now on nothing reaches the disk, and calls that would write fail.
  void CutPower();
  // What the disk had when the power went is mounted: the file system recovers from its journal.
  // Requires: CutPower, and that no process has a file open there.
  void RestorePower();

 private:
  void Mount() const;

  const std::string path_;
  const std::string directory_;
};

}  // namespace kvd
