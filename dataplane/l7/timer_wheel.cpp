#include "dataplane/l7/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace sluice::l7 {

TimerWheel::TimerWheel(Clock::time_point now) : start_(now) {
  for (Timer& head : slots_) head.next_ = head.previous_ = &head;
}

TimerWheel::~TimerWheel() {
  for (Timer& head : slots_) {
    while (head.next_ != &head) head.next_->stop();
    head.next_ = head.previous_ = nullptr;
  }
}

void TimerWheel::start(Timer& timer, Clock::time_point now, std::chrono::milliseconds after,
                       Timer::Callback callback, void* context) {
  timer.stop();
  timer.callback_ = callback;
  timer.context_ = context;
  // One tick more, for the part of the current one that is over already.
  timer.due_tick_ = std::max(tick_of(now + std::max(after, std::chrono::milliseconds(0))) + 1, tick_ + 1);
  Timer& head = slot(timer.due_tick_);
  const size_t number = static_cast<size_t>(timer.due_tick_) % kSlots;
  used_[number / 64] |= uint64_t{1} << (number % 64);
  timer.previous_ = head.previous_;
  timer.next_ = &head;
  head.previous_->next_ = &timer;
  head.previous_ = &timer;
}

void TimerWheel::advance(Clock::time_point now) {
  const int64_t until = tick_of(now);
  // After a sleep of more than a turn each slot is looked at once.
  if (until - tick_ > static_cast<int64_t>(kSlots)) tick_ = until - static_cast<int64_t>(kSlots);
  while (tick_ < until) {
    ++tick_;
    // The ring is moved to a head of its own: callbacks may put timers into the slot or take others out.
    Timer due;
    Timer& head = slot(tick_);
    if (head.next_ == &head) continue;
    due.next_ = head.next_;
    due.previous_ = head.previous_;
    due.next_->previous_ = &due;
    due.previous_->next_ = &due;
    head.next_ = head.previous_ = &head;
    while (due.next_ != &due) {
      Timer& timer = *due.next_;
      timer.stop();
      if (timer.due_tick_ <= until) {
        timer.callback_(timer.context_);
        continue;
      }
      timer.previous_ = head.previous_;
      timer.next_ = &head;
      head.previous_->next_ = &timer;
      head.previous_ = &timer;
    }
    due.next_ = due.previous_ = nullptr;
  }
}

int TimerWheel::sleep_ms(Clock::time_point now) {
  const auto first = static_cast<size_t>(tick_ + 1);
  for (size_t ahead = 0; ahead < kSlots;) {
    const size_t at = (first + ahead) % kSlots;
    const uint64_t from_here = used_[at / 64] >> (at % 64);
    if (from_here == 0) {
      ahead += 64 - at % 64;
      continue;
    }
    ahead += static_cast<size_t>(std::countr_zero(from_here));
    const size_t found = (first + ahead) % kSlots;
    const Timer& head = slots_[found];
    if (head.next_ == &head) {
      used_[found / 64] &= ~(uint64_t{1} << (found % 64));  // its timers have been stopped
      continue;
    }
    // Timers of a later turn look due here too; waking once per turn for them costs nothing.
    const auto due = start_ + static_cast<int64_t>(first + ahead) * kTick;
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(due - now).count();
    return static_cast<int>(std::max<int64_t>(wait, 0));
  }
  return -1;
}

}  // namespace sluice::l7
