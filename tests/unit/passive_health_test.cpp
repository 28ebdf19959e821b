#include "lb/passive_health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sluice {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

using Signals = std::vector<PassiveSignals>;

PassiveSignals syns(uint64_t all, uint64_t again) {
  return {10 * all, all, again, 0};
}
PassiveSignals errors(uint64_t packets, uint64_t unreachable) {
  return {packets, 0, 0, unreachable};
}

TEST(JudgePassively, ABackendThatLetsSynsBeRepeatedStandsOut) {
  const Signals pool{syns(100, 1), syns(40, 20), syns(100, 0)};
  const auto findings = judge_passively(pool);
  EXPECT_THAT(findings, ElementsAre("", HasSubstr("20 of 40 SYNs"), ""));
  EXPECT_EQ(findings[1],
            "traffic: 20 of 40 SYNs were repeated within 3 s, 1 of 200 at the pool's other backends");
}

TEST(JudgePassively, WhatStrikesAllAlikeIsNobodysFault) {
  EXPECT_THAT(judge_passively(Signals{syns(100, 50), syns(100, 55), syns(100, 45)}), ElementsAre("", "", ""));
  EXPECT_THAT(judge_passively(Signals{errors(100, 50), errors(100, 55)}), ElementsAre("", ""));
  // Just below and at three times the others' share.
  EXPECT_THAT(judge_passively(Signals{syns(100, 29), syns(100, 10)}), ElementsAre("", ""));
  EXPECT_THAT(judge_passively(Signals{syns(100, 30), syns(100, 10)}),
              ElementsAre(HasSubstr("30 of 100"), ""));
}

TEST(JudgePassively, FewSignalsSayNothing) {
  EXPECT_THAT(judge_passively(Signals{syns(4, 4), syns(100, 0)}), ElementsAre("", ""));
  EXPECT_THAT(judge_passively(Signals{syns(5, 5), syns(100, 0)}), ElementsAre(HasSubstr("5 of 5"), ""));
  EXPECT_THAT(judge_passively(Signals{syns(100, 24), syns(100, 0)}), ElementsAre("", ""));
  EXPECT_THAT(judge_passively(Signals{syns(100, 25), syns(100, 0)}), ElementsAre(HasSubstr("25 of 100"), ""));
}

TEST(JudgePassively, WithoutOthersThatHaveTrafficNobodyIsJudged) {
  EXPECT_THAT(judge_passively(Signals{}), ElementsAre());
  EXPECT_THAT(judge_passively(Signals{syns(100, 100)}), ElementsAre(""));
  EXPECT_THAT(judge_passively(Signals{syns(100, 100), syns(4, 0)}), ElementsAre("", ""));
  EXPECT_THAT(judge_passively(Signals{syns(100, 100), syns(5, 0)}), ElementsAre(HasSubstr("100 of 100"), ""));
}

TEST(JudgePassively, SeveralAreFoundUntilMostAreBad) {
  const PassiveSignals bad = syns(40, 20), good = syns(40, 0);
  EXPECT_THAT(judge_passively(Signals{bad, bad, good, good, good}),
              ElementsAre(HasSubstr("20 of 40"), HasSubstr("20 of 40"), "", "", ""));
  EXPECT_THAT(judge_passively(Signals{bad, bad, bad, good}), ElementsAre("", "", "", ""));
}

TEST(JudgePassively, AnErrorForEveryTenthPacketStandsOut) {
  EXPECT_THAT(
      judge_passively(Signals{errors(100, 10), errors(1000, 3)}),
      ElementsAre("traffic: 10 ICMP unreachable errors for 100 packets within 3 s, 3 for 1000 at the pool's "
                  "other backends",
                  ""));
  EXPECT_THAT(judge_passively(Signals{errors(100, 9), errors(1000, 3)}), ElementsAre("", ""));
  EXPECT_THAT(judge_passively(Signals{errors(40, 4), errors(1000, 3)}), ElementsAre("", ""));
}

TEST(PassiveWindow, HoldsTheLastTurns) {
  PassiveWindow window;
  EXPECT_EQ(window.recent(), PassiveSignals{});
  window.add({1000, 100, 10, 1});
  EXPECT_EQ(window.recent(), PassiveSignals{}) << "what was before the first turn is not known to be recent";
  window.add({1010, 102, 11, 1});
  window.add({1020, 104, 12, 2});
  EXPECT_EQ(window.recent(), (PassiveSignals{20, 4, 2, 1}));
  window.add({1030, 106, 13, 3});
  EXPECT_EQ(window.recent(), (PassiveSignals{30, 6, 3, 2}));
  window.add({1040, 108, 14, 4});
  EXPECT_EQ(window.recent(), (PassiveSignals{30, 6, 3, 3})) << "three turns";
}

TEST(PassiveWindow, ForgetsWhatHasCounted) {
  PassiveWindow window;
  window.add({0, 0, 0, 0});
  window.add({100, 50, 40, 0});
  window.forget();
  EXPECT_EQ(window.recent(), PassiveSignals{});
  window.add({110, 55, 41, 0});
  EXPECT_EQ(window.recent(), (PassiveSignals{10, 5, 1, 0}));
}

TEST(PassiveWindow, BeginsAnewWithNewCounters) {
  PassiveWindow window;
  window.add({1000, 100, 10, 1});
  window.add({5, 1, 0, 0});
  EXPECT_EQ(window.recent(), PassiveSignals{});
}

TEST(PassiveWindow, HoldsTwiceAsLongEachTimeAndForgetsInTheEnd) {
  PassiveWindow window;
  std::chrono::steady_clock::time_point now{};
  std::vector<int64_t> holds;
  for (int i = 0; i < 6; ++i) {
    const seconds hold = window.next_hold(now);
    holds.push_back(hold.count());
    now += hold + seconds(10);
  }
  EXPECT_THAT(holds, ElementsAre(30, 60, 120, 240, 300, 300));
  EXPECT_EQ(window.next_hold(now - seconds(10) + seconds(299)), seconds(300));
  EXPECT_EQ(window.next_hold(now - seconds(10) + seconds(299 + 300 + 300)), seconds(30));
}

}  // namespace
}  // namespace sluice
