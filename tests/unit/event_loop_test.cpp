#include "dataplane/l7/event_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <thread>

namespace sluice::l7 {
namespace {

class Handler final : public IoHandler {
 public:
  std::function<void(uint32_t)> call;
  int called = 0;
  uint32_t events = 0;
  void on_ready(uint32_t ready) override {
    ++called;
    events = ready;
    if (call) call(ready);
  }
};

struct Pipe {
  Pipe() {
    if (pipe(ends.data()) != 0) std::abort();
  }
  ~Pipe() {
    close(ends[0]);
    close(ends[1]);
  }
  void fill() { EXPECT_EQ(write(ends[1], "x", 1), 1); }
  std::array<int, 2> ends{};
};

class EventLoopTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = EventLoop::make();
    ASSERT_TRUE(made);
    loop = *std::move(made);
  }
  /// A wake-up that does not wait.
  void turn() {
    loop->post([] {});
    loop->run_once();
  }
  std::unique_ptr<EventLoop> loop;
};

TEST_F(EventLoopTest, TellsOfWhatIsReadyAsLongAsItIs) {
  Pipe pipe;
  Handler handler;
  ASSERT_TRUE(loop->add(pipe.ends[0], EPOLLIN, handler));
  turn();
  EXPECT_EQ(handler.called, 0);
  pipe.fill();
  turn();
  turn();
  EXPECT_EQ(handler.called, 2);
  EXPECT_EQ(handler.events, uint32_t{EPOLLIN});
}

TEST_F(EventLoopTest, WithoutInterestNothingIsTold) {
  Pipe pipe;
  Handler handler;
  ASSERT_TRUE(loop->add(pipe.ends[0], 0, handler));
  pipe.fill();
  turn();
  EXPECT_EQ(handler.called, 0);
  loop->change(pipe.ends[0], EPOLLIN, handler);
  turn();
  EXPECT_EQ(handler.called, 1);
}

TEST_F(EventLoopTest, WhatIsRemovedIsNotCalledInTheSameWakeUp) {
  Pipe first;
  Pipe second;
  Handler one;
  Handler other;
  // Whichever comes first takes the other one away.
  one.call = [&](uint32_t) { loop->remove(second.ends[0], other); };
  other.call = [&](uint32_t) { loop->remove(first.ends[0], one); };
  ASSERT_TRUE(loop->add(first.ends[0], EPOLLIN, one));
  ASSERT_TRUE(loop->add(second.ends[0], EPOLLIN, other));
  first.fill();
  second.fill();
  turn();
  EXPECT_EQ(one.called + other.called, 1);
}

TEST_F(EventLoopTest, AnErrorOfTheKernelHasWords) {
  Handler handler;
  const auto added = loop->add(-1, EPOLLIN, handler);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().message, "cannot watch a connection: Bad file descriptor");
}

TEST_F(EventLoopTest, CallsOfOtherThreadsWakeItAndRunInTheirOrder) {
  std::vector<int> ran;
  std::thread::id where;
  std::thread other([&] {
    for (int i = 0; i < 3; ++i) {
      loop->post([&ran, &where, i] {
        ran.push_back(i);
        where = std::this_thread::get_id();
      });
    }
  });
  while (ran.size() < 3) loop->run_once();
  other.join();
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST_F(EventLoopTest, ACallMayPostAnother) {
  int ran = 0;
  loop->post([&] { loop->post([&ran] { ++ran; }); });
  loop->run_once();
  EXPECT_EQ(ran, 0);
  loop->run_once();
  EXPECT_EQ(ran, 1);
}

TEST_F(EventLoopTest, TimersEndTheWait) {
  Timer timer;
  bool rung = false;
  loop->timers().start(
      timer, loop->now(), std::chrono::milliseconds(20), [](void* self) { *static_cast<bool*>(self) = true; },
      &rung);
  const auto began = loop->now();
  while (!rung) loop->run_once();
  EXPECT_GE(loop->now() - began, std::chrono::milliseconds(20));
}

}  // namespace
}  // namespace sluice::l7
