// Bytes that wait: on their way out of a connection, or for room on the next one. A chain of chunks from the
// worker's pool; an empty queue holds none.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/l7/memory_ledger.h"

namespace sluice::l7 {

struct Chunk {
  static constexpr size_t kBytes = 16 * 1024 - 32;

  Chunk* next = nullptr;
  uint32_t begin = 0;  ///< the first byte not yet sent
  uint32_t end = 0;    ///< behind the last byte written
  std::array<uint8_t, kBytes> bytes;
};

/// Free chunks of one worker thread.
class ChunkPool {
 public:
  ChunkPool() = default;
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;
  ~ChunkPool();

  Chunk* take();
  void give_back(Chunk* chunk);
  /// Chunks that connections hold now.
  size_t in_use() const { return in_use_; }
  /// Bytes of free chunks that are kept for later.
  size_t kept_bytes() const { return free_count_ * sizeof(Chunk); }
  /// Gives back what is kept.
  void trim();
  /// Gives back what nobody has needed since the last call: what was left at the moment of most use.
  void trim_unneeded();

 private:
  void delete_free(size_t count);

  static constexpr size_t kKeptFree = 256;
  Chunk* free_ = nullptr;
  size_t free_count_ = 0;
  size_t least_free_ = 0;  // since trim_unneeded()
  size_t in_use_ = 0;
};

class ByteQueue {
 public:
  /// `account`, if any, is charged for its chunks and outlives them.
  explicit ByteQueue(ChunkPool& pool, MemoryAccount* account = nullptr) : pool_(&pool), account_(account) {}
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;
  ~ByteQueue() { clear(); }

  /// Who is charged from now on; only of an empty queue.
  void charge_to(MemoryAccount* account) { account_ = account; }

  /// Room for `size` bytes in one piece, size <= Chunk::kBytes; written ones are added by commit().
  uint8_t* reserve(size_t size) {
    if (last_ == nullptr || Chunk::kBytes - last_->end < size) add_chunk();
    return last_->bytes.data() + last_->end;
  }
  void commit(size_t size) {
    last_->end += static_cast<uint32_t>(size);
    size_ += size;
  }
  /// Room in the last chunk, in bytes.
  size_t room() const { return last_ == nullptr ? 0 : Chunk::kBytes - last_->end; }
  void append(std::span<const uint8_t> bytes);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// The first bytes, as pieces for writev(); returns how many pieces.
  int pieces(std::span<iovec> into) const;
  /// The first piece; empty if there is nothing.
  std::span<const uint8_t> front() const;
  /// Drops what was sent; size <= size().
  void consume(size_t size);
  void clear();

 private:
  void add_chunk();

  ChunkPool* pool_;
  MemoryAccount* account_;
  Chunk* first_ = nullptr;
  Chunk* last_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sluice::l7
