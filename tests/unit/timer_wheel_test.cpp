#include "dataplane/l7/timer_wheel.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "lb/l7/random.h"

namespace sluice::l7 {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using TimePoint = TimerWheel::Clock::time_point;

class TimerWheelTest : public testing::Test {
 protected:
  struct Alarm {
    Timer timer;
    std::function<void()> call;
    int rung = 0;
  };
  void start(Alarm& alarm, milliseconds after) {
    wheel_.start(
        alarm.timer, now_, after,
        [](void* context) {
          auto& rung = *static_cast<Alarm*>(context);
          ++rung.rung;
          if (rung.call) rung.call();
        },
        &alarm);
  }
  void pass(microseconds time) {
    now_ += time;
    wheel_.advance(now_);
  }

  TimePoint now_{hours(1)};
  TimerWheel wheel_{now_};
};

TEST_F(TimerWheelTest, RingsOnceNotBeforeItsTimeAndAtMostTwoTicksLater) {
  for (const int ms : {0, 1, 7, 8, 9, 100, 8191, 8192, 8193, 20'000}) {
    for (const int offset_us : {0, 1, 3999, 7999}) {
      pass(microseconds(offset_us));
      Alarm alarm;
      start(alarm, milliseconds(ms));
      EXPECT_TRUE(alarm.timer.running());
      const TimePoint from = now_;
      while (alarm.rung == 0) pass(milliseconds(1));
      EXPECT_GE(now_ - from, milliseconds(ms));
      EXPECT_LE(now_ - from, milliseconds(ms) + 2 * TimerWheel::kTick + milliseconds(1)) << ms;
      EXPECT_FALSE(alarm.timer.running());
      pass(milliseconds(20'000));
      EXPECT_EQ(alarm.rung, 1);
    }
  }
}

TEST_F(TimerWheelTest, AStoppedTimerDoesNotRing) {
  Alarm alarm;
  start(alarm, milliseconds(10));
  alarm.timer.stop();
  EXPECT_FALSE(alarm.timer.running());
  pass(milliseconds(100));
  EXPECT_EQ(alarm.rung, 0);
}

TEST_F(TimerWheelTest, StartingAgainReplaces) {
  Alarm alarm;
  start(alarm, milliseconds(10));
  start(alarm, milliseconds(1000));
  pass(milliseconds(500));
  EXPECT_EQ(alarm.rung, 0);
  pass(milliseconds(600));
  EXPECT_EQ(alarm.rung, 1);
}

TEST_F(TimerWheelTest, ADestroyedTimerDoesNotRing) {
  auto alarm = std::make_unique<Alarm>();
  start(*alarm, milliseconds(10));
  alarm.reset();
  pass(milliseconds(100));
}

TEST_F(TimerWheelTest, ALongPauseRingsWhatIsDueAndNothingElse) {
  Alarm soon, late, later;
  start(soon, milliseconds(10));
  start(late, milliseconds(60'000));
  start(later, milliseconds(200'000));
  pass(milliseconds(100'000));  // twelve turns of the wheel at once
  EXPECT_EQ(soon.rung, 1);
  EXPECT_EQ(late.rung, 1);
  EXPECT_EQ(later.rung, 0);
  pass(milliseconds(99'000));
  EXPECT_EQ(later.rung, 0);
  pass(milliseconds(1100));
  EXPECT_EQ(later.rung, 1);
}

TEST_F(TimerWheelTest, ALongPauseLooksAtEverySlot) {
  std::deque<Alarm> alarms(1200);
  for (size_t i = 0; i < alarms.size(); ++i) start(alarms[i], TimerWheel::kTick * static_cast<int>(i));
  pass(milliseconds(60'000));
  for (const Alarm& alarm : alarms) ASSERT_EQ(alarm.rung, 1);
}

TEST_F(TimerWheelTest, ACallbackMayStopAndStartOthersAndItself) {
  Alarm first, second, again;
  int rounds = 0;
  first.call = [&] { second.timer.stop(); };
  again.call = [&] {
    if (++rounds < 5) start(again, milliseconds(0));
  };
  // Due in the same tick, and therefore in the same ring.
  start(first, milliseconds(10));
  start(second, milliseconds(10));
  start(again, milliseconds(10));
  pass(milliseconds(18));
  EXPECT_EQ(first.rung, 1);
  EXPECT_EQ(second.rung, 0);
  EXPECT_EQ(rounds, 1) << "what a callback starts is for a later tick";
  pass(milliseconds(100));
  EXPECT_EQ(rounds, 2);
  for (int i = 0; i < 10; ++i) pass(milliseconds(16));
  EXPECT_EQ(rounds, 5);
}

TEST_F(TimerWheelTest, ACallbackMayDestroyOthersOfItsTick) {
  auto victim = std::make_unique<Alarm>();
  Alarm first, third;
  first.call = [&] { victim.reset(); };
  start(first, milliseconds(10));
  start(*victim, milliseconds(10));
  start(third, milliseconds(10));
  pass(milliseconds(100));
  EXPECT_EQ(first.rung + third.rung, 2);
}

TEST_F(TimerWheelTest, SleepEndsWithTheFirstTimer) {
  EXPECT_EQ(wheel_.sleep_ms(now_), -1);
  Alarm late, soon;
  start(late, milliseconds(3000));
  start(soon, milliseconds(50));
  const int sleep = wheel_.sleep_ms(now_);
  EXPECT_GE(sleep, 50);
  EXPECT_LE(sleep, 50 + 2 * TimerWheel::kTick.count());
  pass(milliseconds(sleep));
  EXPECT_EQ(soon.rung, 1) << "waking when told to is enough";
  // One that is overdue: no sleep.
  EXPECT_EQ(wheel_.sleep_ms(now_ + hours(1)), 0);
  late.timer.stop();
  EXPECT_EQ(wheel_.sleep_ms(now_), -1);
}

TEST_F(TimerWheelTest, SleepOfALaterTurnEndsOncePerTurn) {
  Alarm alarm;
  start(alarm, milliseconds(60'000));
  int wakes = 0;
  while (alarm.rung == 0) {
    const int sleep = wheel_.sleep_ms(now_);
    ASSERT_GE(sleep, 0);
    ASSERT_LE(sleep, 8200);
    pass(milliseconds(sleep));
    ASSERT_LT(++wakes, 10);
  }
}

TEST_F(TimerWheelTest, AWheelThatEndsStopsItsTimers) {
  Alarm alarm;
  {
    TimerWheel short_lived(now_);
    short_lived.start(
        alarm.timer, now_, milliseconds(1), [](void*) {}, nullptr);
    EXPECT_TRUE(alarm.timer.running());
  }
  EXPECT_FALSE(alarm.timer.running());
}

TEST_F(TimerWheelTest, AgreesWithAListForRandomTimers) {
  Random random(1);
  std::deque<Alarm> alarms(200);
  std::map<Alarm*, TimePoint> due;
  for (Alarm& alarm : alarms) {
    alarm.call = [this, &due, &alarm] {
      ASSERT_TRUE(due.contains(&alarm));
      ASSERT_GE(now_, due[&alarm]);
      due.erase(&alarm);
    };
  }
  for (int step = 0; step < 20'000; ++step) {
    Alarm& alarm = alarms[random.below(alarms.size())];
    if (random.below(4) == 0) {
      alarm.timer.stop();
      due.erase(&alarm);
    } else {
      const milliseconds after(random.below(random.below(10) == 0 ? 30'000 : 300));
      start(alarm, after);
      due[&alarm] = now_ + after;
    }
    pass(microseconds(random.below(random.below(1000) == 0 ? 20'000'000 : 5'000)));
    for (const auto& [overdue, at] : due) ASSERT_LT(now_, at + 2 * TimerWheel::kTick) << step;
  }
}

}  // namespace
}  // namespace sluice::l7
