// One sluiced per state_dir: two would overwrite each other's services.
#pragma once

#include <string>
#include <utility>

#include "lb/result.h"

namespace sluice {

/// Held by a descriptor, so the kernel gives it up however the process ends; the file stays.
class StateLock {
 public:
  /// Locks `state_dir`/lock, which holds the pid; makes the directory if it is missing. Errors: another
  /// process has it, by its pid. Where nothing can be written at all there is nothing to protect either: the
  /// lock is then not held(), and why_not() says why.
  static Result<StateLock> take(const std::string& state_dir);
  ~StateLock();
  StateLock(StateLock&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), why_not_(std::move(other.why_not_)) {}
  StateLock& operator=(StateLock&&) = delete;

  bool held() const { return descriptor_ >= 0; }
  const std::string& why_not() const { return why_not_; }

 private:
  StateLock(int descriptor, std::string why_not) : descriptor_(descriptor), why_not_(std::move(why_not)) {}

  int descriptor_;
  std::string why_not_;
};

}  // namespace sluice
