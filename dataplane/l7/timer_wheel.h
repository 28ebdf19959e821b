// Timers of one thread: setting and stopping one is a few pointer writes, so that every request can have
// some. A wheel of slots of 8 ms, one turn in 8 s; what is due later goes round (Varghese and Lauck, 1987,
// scheme 6).
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace sluice::l7 {

/// A timer lives in the object that it is about. Destroying it stops it.
class Timer {
 public:
  using Callback = void (*)(void* context);

  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { stop(); }

  bool running() const { return next_ != nullptr; }
  void stop() {
    if (next_ == nullptr) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

 private:
  friend class TimerWheel;
  Timer* next_ = nullptr;
  Timer* previous_ = nullptr;
  int64_t due_tick_ = 0;
  Callback callback_ = nullptr;
  void* context_ = nullptr;
};

class TimerWheel {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kTick{8};

  explicit TimerWheel(Clock::time_point now);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel();

  /// Calls `callback(context)` once, `after` from `now` or up to two ticks later. A running timer is set
  /// anew.
  void start(Timer& timer, Clock::time_point now, std::chrono::milliseconds after, Timer::Callback callback,
             void* context);
  /// Calls what is due. Callbacks may start and stop any timer.
  void advance(Clock::time_point now);
  /// How long to sleep at most, in milliseconds; -1 without timers in sight. A long sleep ends once per turn.
  int sleep_ms(Clock::time_point now);

 private:
  static constexpr size_t kSlots = 1024;

  int64_t tick_of(Clock::time_point time) const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(time - start_) / kTick;
  }
  Timer& slot(int64_t tick) { return slots_[static_cast<size_t>(tick) % kSlots]; }

  Clock::time_point start_;
  int64_t tick_ = 0;                 // all before it are done
  std::array<Timer, kSlots> slots_;  // heads of rings
  // A bit for each slot, set where a timer was put: an empty wheel is 16 words to look at, not 1024 lines of
  // memory.
  std::array<uint64_t, kSlots / 64> used_{};
};

}  // namespace sluice::l7
