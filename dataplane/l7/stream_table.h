// The open streams of one HTTP/2 connection by their number: open addressing with linear probing. Numbers of
// live streams lie close together, so that their low bits nearly never collide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::l7 {

/// `Stream` has a member `uint32_t id`. Holds pointers, owns nothing.
template <typename Stream>
class StreamTable {
 public:
  size_t size() const { return size_; }

  Stream* find(uint32_t id) const {
    if (slots_.empty()) return nullptr;
    for (size_t at = home(id);; at = next(at)) {
      Stream* stream = slots_[at];
      if (stream == nullptr || stream->id == id) return stream;
    }
  }

  /// `stream.id` is not in the table.
  void insert(Stream& stream) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    place(stream);
    ++size_;
  }

  /// The table goes on with another object for `stream.id`, which is in it.
  void replace(Stream& stream) {
    size_t at = home(stream.id);
    while (slots_[at]->id != stream.id) at = next(at);
    slots_[at] = &stream;
  }

  /// `id` is in the table.
  void erase(uint32_t id) {
    size_t hole = home(id);
    while (slots_[hole]->id != id) hole = next(hole);
    if (hole != home(id)) --displaced_;
    slots_[hole] = nullptr;
    --size_;
    // What follows without a gap may have been pushed behind its home by the one that goes: move it up. Live
    // numbers are nearly in sequence and fill one long run of slots, so that it pays to know that nobody was
    // pushed.
    for (size_t at = next(hole); displaced_ != 0 && slots_[at] != nullptr; at = next(at)) {
      const size_t from_home = (at - home(slots_[at]->id)) & mask();
      const size_t from_hole = (at - hole) & mask();
      if (from_home < from_hole) continue;
      if (from_home == from_hole) --displaced_;
      slots_[hole] = slots_[at];
      slots_[at] = nullptr;
      hole = at;
    }
    if (size_ == 0 && slots_.size() > kKeptSlots) std::vector<Stream*>().swap(slots_);
  }

  /// Calls `visit(Stream&)` for each; it must not insert or erase.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (Stream* stream : slots_) {
      if (stream != nullptr) visit(*stream);
    }
  }

  /// Memory held, in bytes.
  size_t capacity() const { return slots_.capacity() * sizeof(Stream*); }

 private:
  static constexpr size_t kFirstSlots = 16;
  static constexpr size_t kKeptSlots = 256;

  size_t mask() const { return slots_.size() - 1; }
  // Numbers of one side are all odd or all even: the lowest bit says nothing.
  size_t home(uint32_t id) const { return (id >> 1) & mask(); }
  size_t next(size_t at) const { return (at + 1) & mask(); }

  void place(Stream& stream) {
    size_t at = home(stream.id);
    while (slots_[at] != nullptr) at = next(at);
    if (at != home(stream.id)) ++displaced_;
    slots_[at] = &stream;
  }

  void grow() {
    std::vector<Stream*> old(slots_.empty() ? kFirstSlots : slots_.size() * 2, nullptr);
    old.swap(slots_);
    displaced_ = 0;
    for (Stream* stream : old) {
      if (stream != nullptr) place(*stream);
    }
  }

  std::vector<Stream*> slots_;
  size_t size_ = 0;
  size_t displaced_ = 0;  // streams that are not in their home slot
};

}  // namespace sluice::l7
