// Objects that are used again, with the memory that they have grown.
#pragma once

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
  void trim() { free_.clear(); }
  size_t in_use() const { return in_use_; }

 private:
  static constexpr size_t kKeptFree = 4096;
  Context* context_;
  std::vector<std::unique_ptr<Object>> free_;
  size_t in_use_ = 0;
};

}  // namespace sluice::l7
