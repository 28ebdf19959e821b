// Whether a request's body comes fast enough to be waited for. A client that sends a byte now and then holds
// its stream, and one of an endpoint, for as long as it likes: no time-out without a byte ever ends it. So a
// body has a time as a whole, and more of it for what it brings.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace sluice {

/// Looked at now and then, not with each byte. Time in which the client was let send nothing is not its own
/// and does not count; what was the case when it is looked at is taken for all the time since the last look.
class BodyPace {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// Bytes that make up for a second. The slowest lines that people use carry several times that.
  static constexpr uint64_t kBytesPerSecond = 250;

  /// A body is to be whole within `time`, and a second for each kBytesPerSecond of it; 0: whenever it likes.
  void begin(Time now, std::chrono::milliseconds time) {
    allowed_ = time;
    taken_ = std::chrono::milliseconds(0);
    due_ = time.count() == 0 ? kNever : now + step();
  }
  /// The body is whole, or is to be waited for however long it takes.
  void stop() { due_ = kNever; }
  /// When to look next.
  Time due() const { return due_; }

  /// To be asked when it is due: whether the client has had its time, after `received` bytes in all.
  bool look(Time now, uint64_t received, bool may_send) {
    due_ = now + step();
    // No more than a step, however late the look is: that is not the client's fault.
    if (may_send) taken_ += step();
    const auto bought = std::min<uint64_t>(received, kMostBytes) * 1000 / kBytesPerSecond;
    return taken_ > allowed_ + std::chrono::milliseconds(bought);
  }

 private:
  static constexpr Time kNever = Time::max();
  static constexpr uint64_t kMostBytes = uint64_t{1} << 50;  // nothing overflows

  std::chrono::milliseconds step() const { return std::max(allowed_ / 4, std::chrono::milliseconds(10)); }

  Time due_ = kNever;
  std::chrono::milliseconds allowed_{0};
  std::chrono::milliseconds taken_{0};  // by the client
};

}  // namespace sluice
