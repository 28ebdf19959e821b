// Messages of any size from one thread to another through a fixed piece of memory: what a worker has to tell
// and must not wait to be rid of (a line of a log, a span). A full ring drops the message and counts it.
//
//   | size | message ... | size | message | free ... | size | message | "on at 0" |
//                                          ^ head_      ^ tail_
//
// A message lies in one piece, so that the consumer can give it to writev() where it is: one that does not
// fit before the end of the memory begins at its start again. Positions count on for ever; each side keeps
// what it last saw of the other's and looks again only when that is not enough, so that the two cores
// exchange few cache lines.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>

#include "lb/counter.h"

namespace sluice::l7 {

class ByteRing {
 public:
  static constexpr size_t kMinBytes = 4096;

  /// `bytes` of memory, rounded up to a power of two of at least kMinBytes. Pages that were never reached
  /// take no memory.
  explicit ByteRing(size_t bytes)
      : mask_(std::bit_ceil(bytes < kMinBytes ? kMinBytes : bytes) - 1),
        memory_(std::make_unique_for_overwrite<uint64_t[]>((mask_ + 1) / kUnit)) {}
  ByteRing(const ByteRing&) = delete;
  ByteRing& operator=(const ByteRing&) = delete;

  size_t capacity() const { return mask_ + 1; }
  /// The largest message that always fits into an empty ring, in bytes.
  size_t max_message() const { return capacity() / 2 - kUnit; }

  // --- the producer's
  /// Memory for a message of up to `bytes`, at least 1, to be filled and then published by commit(). Empty:
  /// there is no room, or it could never fit; the message counts as dropped. It may be asked for again
  /// instead of committed.
  std::span<uint8_t> reserve(size_t bytes) {
    if (bytes > max_message() || !make_room(bytes)) {
      dropped_.add(1);
      return {};
    }
    return {at(reserved_) + kUnit, bytes};
  }
  /// Publishes the first `bytes`, at least 1, of what reserve() has given last.
  void commit(size_t bytes) {
    write_size(reserved_, bytes);
    head_.store(reserved_ + padded(bytes), std::memory_order_release);
  }
  /// Copies a message of at least one byte; false if it was dropped.
  bool push(std::span<const uint8_t> message) {
    const auto room = reserve(message.size());
    if (room.empty()) return false;
    std::memcpy(room.data(), message.data(), message.size());
    commit(message.size());
    return true;
  }

  // --- the consumer's
  /// The next message, or nothing. It stays where it is until release().
  std::optional<std::span<const uint8_t>> next() {
    while (true) {
      if (read_ == seen_head_) {
        seen_head_ = head_.load(std::memory_order_acquire);
        if (read_ == seen_head_) return std::nullopt;
      }
      const size_t size = read_size(read_);
      if (size != kOnAtStart) {
        const uint8_t* message = at(read_) + kUnit;
        read_ += padded(size);
        return std::span{message, size};
      }
      read_ += capacity() - (read_ & mask_);
    }
  }
  /// Gives back the memory of all that next() has returned.
  void release() { tail_.store(read_, std::memory_order_release); }

  // --- anybody's
  /// Messages that found no room.
  uint64_t dropped() const { return dropped_.read(); }
  /// Whether there is nothing that was not released; exact for the consumer.
  bool empty() const {
    return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire);
  }

 private:
  static constexpr size_t kUnit = sizeof(uint64_t);
  static constexpr uint64_t kOnAtStart = ~uint64_t{0};

  static size_t padded(size_t bytes) { return kUnit + (bytes + kUnit - 1) / kUnit * kUnit; }
  uint8_t* at(uint64_t position) const {
    return reinterpret_cast<uint8_t*>(memory_.get()) + (position & mask_);
  }
  void write_size(uint64_t position, uint64_t size) { std::memcpy(at(position), &size, kUnit); }
  uint64_t read_size(uint64_t position) const {
    uint64_t size;
    std::memcpy(&size, at(position), kUnit);
    return size;
  }

  // Sets reserved_ to where a message of `bytes` can lie in one piece.
  bool make_room(size_t bytes) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    const uint64_t to_end = capacity() - (head & mask_);
    const bool wraps = padded(bytes) > to_end;
    const uint64_t begin = wraps ? head + to_end : head;
    const uint64_t end = begin + padded(bytes);
    if (end - seen_tail_ > capacity()) {
      seen_tail_ = tail_.load(std::memory_order_acquire);
      if (end - seen_tail_ > capacity()) return false;
    }
    if (wraps) write_size(head, kOnAtStart);
    reserved_ = begin;
    return true;
  }

  static constexpr size_t kCacheLine = 64;

  const uint64_t mask_;
  const std::unique_ptr<uint64_t[]> memory_;
  // The producer's line.
  alignas(kCacheLine) std::atomic<uint64_t> head_{0};
  uint64_t seen_tail_ = 0;
  uint64_t reserved_ = 0;
  Counter dropped_;
  // The consumer's line.
  alignas(kCacheLine) std::atomic<uint64_t> tail_{0};
  uint64_t seen_head_ = 0;
  uint64_t read_ = 0;
};
static_assert(sizeof(ByteRing) == 192, "what one side writes is on no cache line of the other");

}  // namespace sluice::l7
