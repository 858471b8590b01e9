#include "mapreduce/dataflow/shuffle_file.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/bytes.h"
#include "proto/check.h"

namespace kvd::mapreduce {
namespace {

// Of an index that is read: a hundred thousand blocks are 30 GB.
constexpr uint64_t kIndexBytesMax = 64 << 20;

class LazyPartition final : public BlockSource {
 public:
  LazyPartition(std::string path, uint32_t partition, uint64_t block_bytes_max)
      : path_(std::move(path)), partition_(partition), block_bytes_max_(block_bytes_max) {}

  absl::StatusOr<RawBlock> Next() override {
    if (done_) return RawBlock{};
    if (source_ == nullptr) {
      auto reader = ShuffleFileReader::Open(path_);
      if (!reader.ok()) return reader.status();
      if (partition_ >= (*reader)->info().partitions.size()) {
        return absl::DataLossError(absl::StrCat(path_, " has ", (*reader)->info().partitions.size(),
                                                " partitions, ", partition_, " is asked for"));
      }
      source_ = (*reader)->Partition(partition_);
    }
    auto block = source_->Next();
    if (block.ok() && block->records == 0) {
      done_ = true;
      source_.reset();
    }
    return block;
  }
  uint64_t block_bytes_max() const override { return block_bytes_max_; }
  std::string Where() const override { return source_ == nullptr ? path_ : source_->Where(); }

 private:
  const std::string path_;
  const uint32_t partition_;
  const uint64_t block_bytes_max_;
  std::unique_ptr<BlockSource> source_;
  bool done_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ShuffleFileWriter>> ShuffleFileWriter::Create(
    const std::string& path, uint32_t partitions, WriteBudget* budget) {
  auto file = OutputFile::Create(path + ".data.tmp");
  if (!file.ok()) return file.status();
  return std::unique_ptr<ShuffleFileWriter>(
      new ShuffleFileWriter(path, *std::move(file), partitions, budget));
}

ShuffleFileWriter::~ShuffleFileWriter() {
  if (half_published_) unlink((path_ + ".data").c_str());
}

absl::Status ShuffleFileWriter::Publish(const BlockFileInfo& info, bool sync) {
  auto index = OutputFile::Create(path_ + ".index.tmp");
  if (!index.ok()) return index.status();
  absl::Status status = (*index)->Append(EncodeIndex(info));
  // An index of an attempt before would be taken for that of the new data.
  if (status.ok()) unlink((path_ + ".index").c_str());
  if (status.ok()) status = file_->MoveTo(path_ + ".data", sync);
  half_published_ = status.ok();
  if (status.ok()) status = (*index)->MoveTo(path_ + ".index", sync);
  if (status.ok()) half_published_ = false;
  return status.ok() && sync ? SyncDirectoryOf(path_) : status;
}

absl::StatusOr<BlockFileInfo> ShuffleFileWriter::Finish(bool sync) {
  auto info = writer_.Finish();
  if (!info.ok()) return info.status();
  absl::Status status = Publish(*info, sync);
  if (!status.ok()) return status;
  return info;
}

absl::StatusOr<std::shared_ptr<const ShuffleFileReader>> ShuffleFileReader::Open(
    const std::string& path) {
  auto index = InputFile::Open(path + ".index");
  if (!index.ok()) return index.status();
  const InputFile& file = **index;
  if (file.size() > kIndexBytesMax) {
    return absl::DataLossError(
        absl::StrCat(file.path(), " has ", file.size(), " B, more than an index can have"));
  }
  std::string bytes(file.size(), '\0');
  absl::Status status = file.Read(0, bytes.size(), bytes.data());
  if (!status.ok()) return status;
  auto info = DecodeIndex(bytes);
  if (!info.ok()) {
    return absl::DataLossError(
        absl::StrCat(file.path(), " at offset 0: ", info.status().message()));
  }
  auto data = InputFile::Open(path + ".data");
  if (!data.ok()) return data.status();
  if ((*data)->size() != info->bytes) {
    return absl::DataLossError(absl::StrCat((*data)->path(), " at offset ",
                                            std::min((*data)->size(), info->bytes), ": it has ",
                                            (*data)->size(), " B, the index says ", info->bytes));
  }
  return std::shared_ptr<const ShuffleFileReader>(
      new ShuffleFileReader(*std::move(data), *std::move(info)));
}

std::unique_ptr<BlockSource> ShuffleFileReader::Partition(uint32_t partition) const {
  KVD_CHECK(partition < info_.partitions.size());
  return std::make_unique<FileBlockSource>(data_, info_.partitions[partition]);
}

std::unique_ptr<BlockSource> LocalPartition(std::string path, uint32_t partition,
                                            uint64_t block_bytes_max) {
  return std::make_unique<LazyPartition>(std::move(path), partition, block_bytes_max);
}

void RemoveShuffleFile(const std::string& path) {
  // The index first: see ShuffleFileWriter::Publish.
  for (const char* suffix : {".index", ".data", ".index.tmp", ".data.tmp"}) {
    unlink((path + suffix).c_str());
  }
}

}  // namespace kvd::mapreduce
