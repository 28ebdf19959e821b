// Objects that are used again, with the memory that they have grown.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

namespace sluice::l7 {

/// `Object` is made from `Context&` and has `void recycle()`, called when it is given back.
template <typename Object, typename Context>
class ObjectPool {
 public:
  explicit ObjectPool(Context& context) : context_(&context) {}

  Object& take() {
    ++in_use_;
    if (free_.empty()) return *new Object(*context_);
    Object* object = free_.back().release();
    free_.pop_back();
    least_free_ = std::min(least_free_, free_.size());
    return *object;
  }
  void give_back(Object& object) {
    --in_use_;
    std::unique_ptr<Object> owned(&object);
    if (free_.size() >= kKeptFree) return;
    owned->recycle();
    free_.push_back(std::move(owned));
  }
  /// Deletes those that wait for their next use.
  void trim() {
    free_.clear();
    least_free_ = 0;
  }
  /// Deletes those that nobody has needed since the last call: what was left at the moment of most use.
  void trim_unneeded() {
    // The last in is the first out, so those at the front have lain longest.
    free_.erase(free_.begin(), free_.begin() + static_cast<std::ptrdiff_t>(least_free_));
    least_free_ = free_.size();
  }
  size_t in_use() const { return in_use_; }

 private:
  static constexpr size_t kKeptFree = 4096;
  Context* context_;
  std::vector<std::unique_ptr<Object>> free_;
  size_t least_free_ = 0;  // since trim_unneeded()
  size_t in_use_ = 0;
};

}  // namespace sluice::l7
