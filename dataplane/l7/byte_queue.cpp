#include "dataplane/l7/byte_queue.h"

#include <algorithm>
#include <cstring>

namespace sluice::l7 {

ChunkPool::~ChunkPool() {
  trim();
}

void ChunkPool::delete_free(size_t count) {
  free_count_ -= count;
  for (; count > 0; --count) {
    Chunk* chunk = free_;
    free_ = chunk->next;
    delete chunk;
  }
}

void ChunkPool::trim() {
  delete_free(free_count_);
  least_free_ = 0;
}

void ChunkPool::trim_unneeded() {
  delete_free(least_free_);
  least_free_ = free_count_;
}

Chunk* ChunkPool::take() {
  ++in_use_;
  if (free_ == nullptr) return new Chunk;
  Chunk* chunk = free_;
  free_ = chunk->next;
  --free_count_;
  least_free_ = std::min(least_free_, free_count_);
  chunk->next = nullptr;
  chunk->begin = chunk->end = 0;
  return chunk;
}

void ChunkPool::give_back(Chunk* chunk) {
  --in_use_;
  if (free_count_ == kKeptFree) {
    delete chunk;
    return;
  }
  chunk->next = free_;
  free_ = chunk;
  ++free_count_;
}

void ByteQueue::add_chunk() {
  Chunk* chunk = pool_->take();
  if (account_ != nullptr) account_->add(sizeof(Chunk));
  (last_ == nullptr ? first_ : last_->next) = chunk;
  last_ = chunk;
}

void ByteQueue::append(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    if (room() == 0) add_chunk();
    const size_t size = std::min(bytes.size(), room());
    std::memcpy(last_->bytes.data() + last_->end, bytes.data(), size);
    commit(size);
    bytes = bytes.subspan(size);
  }
}

int ByteQueue::pieces(std::span<iovec> into) const {
  int count = 0;
  for (Chunk* chunk = first_; chunk != nullptr && count < static_cast<int>(into.size());
       chunk = chunk->next) {
    if (chunk->end == chunk->begin) continue;
    into[static_cast<size_t>(count++)] = {chunk->bytes.data() + chunk->begin, chunk->end - chunk->begin};
  }
  return count;
}

std::span<const uint8_t> ByteQueue::front() const {
  for (const Chunk* chunk = first_; chunk != nullptr; chunk = chunk->next) {
    if (chunk->end != chunk->begin) return {chunk->bytes.data() + chunk->begin, chunk->end - chunk->begin};
  }
  return {};
}

void ByteQueue::consume(size_t size) {
  size_ -= size;
  while (first_ != nullptr) {
    const size_t held = first_->end - first_->begin;
    if (size < held) {
      first_->begin += static_cast<uint32_t>(size);
      return;
    }
    size -= held;
    Chunk* sent = first_;
    first_ = sent->next;
    if (first_ == nullptr) last_ = nullptr;
    pool_->give_back(sent);
    if (account_ != nullptr) account_->subtract(sizeof(Chunk));
  }
}

void ByteQueue::clear() {
  consume(size_);
}

}  // namespace sluice::l7
