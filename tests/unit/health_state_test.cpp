#include "lb/health_state.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace sluice {
namespace {

using std::chrono::seconds;

/// Runs checks, one a second, given as '+' and '-'; returns the states after each as 'H' and 'u'.
class Sequence {
 public:
  explicit Sequence(bool trusted) : state(trusted) {}

  std::string run(std::string_view results) {
    std::string states;
    for (const char result : results) {
      now += seconds(1);
      const bool before = state.healthy();
      const bool changed = state.on_check(result == '+', now, check, policy);
      EXPECT_EQ(changed, state.healthy() != before);
      states += state.healthy() ? 'H' : 'u';
    }
    return states;
  }

  HealthState state;
  HealthCheck check;  // rise 2, fall 3
  PoolPolicy policy;
  HealthTime now{};
};

TEST(HealthState, ANewBackendNeedsOneGoodCheckIfItIsTheFirst) {
  Sequence untrusted(false);
  EXPECT_FALSE(untrusted.state.healthy());
  EXPECT_FALSE(untrusted.state.settled());
  EXPECT_EQ(untrusted.run("+"), "H");
  EXPECT_TRUE(untrusted.state.settled());
}

TEST(HealthState, AfterABadFirstCheckItNeedsRise) {
  Sequence untrusted(false);
  EXPECT_EQ(untrusted.run("-"), "u");
  EXPECT_TRUE(untrusted.state.settled());
  EXPECT_EQ(untrusted.run("++"), "uH");
}

TEST(HealthState, ATrustedBackendNeedsFallToFall) {
  Sequence trusted(true);
  EXPECT_TRUE(trusted.state.healthy());
  EXPECT_TRUE(trusted.state.settled());
  EXPECT_EQ(trusted.run("---"), "HHu");
}

TEST(HealthState, ADecisiveCheckNeedsNoRow) {
  Sequence trusted(true);
  EXPECT_TRUE(trusted.state.on_check(false, trusted.now, trusted.check, trusted.policy, true));
  EXPECT_FALSE(trusted.state.healthy());
  EXPECT_EQ(trusted.run("++"), "uH");
}

TEST(HealthState, OnlyChecksInARowCount) {
  Sequence trusted(true);
  EXPECT_EQ(trusted.run("--+--+--"), "HHHHHHHH");
  EXPECT_EQ(trusted.run("-"), "u");
  EXPECT_EQ(trusted.run("+-+-"), "uuuu");
  EXPECT_EQ(trusted.run("++"), "uH");
}

TEST(HealthState, WhatTrafficShowsCountsAtOnceAndHolds) {
  Sequence trusted(true);
  trusted.run("+");
  EXPECT_TRUE(trusted.state.on_passive_failure(trusted.now, seconds(5), trusted.policy));
  EXPECT_FALSE(trusted.state.healthy());
  EXPECT_EQ(trusted.run("+++++"), "uuuuH");
  EXPECT_TRUE(trusted.state.on_passive_failure(trusted.now, seconds(5), trusted.policy));
  EXPECT_FALSE(trusted.state.on_passive_failure(trusted.now, seconds(3), trusted.policy));
  EXPECT_EQ(trusted.state.held_until(), trusted.now + seconds(5)) << "never shorter";
  EXPECT_EQ(trusted.run("++-+-++"), "uuuuuuH");
}

// As control/health makes them of results: 'L' says that it leaves, '+' good, 'r' refuses, 's' silent, '-'
// another failure. States as 'H', 'u', and 'l' of one that leaves.
std::string leaves(Sequence& sequence, std::string_view results) {
  std::string states;
  for (const char result : results) {
    const bool before = sequence.state.leaving();
    sequence.now += seconds(1);
    sequence.state.on_check(result == '+', sequence.now, sequence.check, sequence.policy, result == 'L');
    const LeavingSign sign = result == 'L'                    ? LeavingSign::kSaid
                             : result == '+' || result == 'r' ? LeavingSign::kNone
                             : result == 's'                  ? LeavingSign::kSilence
                                                              : LeavingSign::kOther;
    const bool changed = sequence.state.on_leaving(sign, sequence.check);
    EXPECT_EQ(changed, sequence.state.leaving() != before);
    states += sequence.state.leaving() ? 'l' : sequence.state.healthy() ? 'H' : 'u';
  }
  return states;
}

TEST(HealthState, WhoSaysThatItLeavesDoesAtOnceAndAsLongAsItsHostIsThere) {
  Sequence one(true);
  EXPECT_EQ(leaves(one, "+LLrrrrr"), "Hlllllll");
  EXPECT_FALSE(one.state.healthy());
  EXPECT_EQ(leaves(one, "ssrssL"), "llllll") << "two silent ones are not three in a row";
  EXPECT_EQ(leaves(one, "sss"), "llu");
  EXPECT_EQ(leaves(one, "rr"), "uu") << "that it is there again brings nobody back";
  Sequence back(true);
  EXPECT_EQ(leaves(back, "L++"), "llH") << "until then its flows stay";
  EXPECT_EQ(leaves(back, "-"), "H") << "it is an ordinary one again";
  Sequence sick(true);
  EXPECT_EQ(leaves(sick, "L-"), "lu");
  Sequence first(false);
  EXPECT_EQ(leaves(first, "L++"), "llH");
  Sequence never(true);
  EXPECT_EQ(leaves(never, "rrrs"), "HHuu") << "only who has said so leaves";
}

TEST(HealthState, IsInDoubtWhileChecksContradictIt) {
  Sequence trusted(true);
  trusted.run("+");
  EXPECT_FALSE(trusted.state.in_doubt());
  trusted.run("-");
  EXPECT_TRUE(trusted.state.in_doubt());
  trusted.run("--");
  EXPECT_FALSE(trusted.state.in_doubt());
  trusted.run("+");
  EXPECT_TRUE(trusted.state.in_doubt());
  trusted.run("-");
  EXPECT_FALSE(trusted.state.in_doubt());
}

TEST(HealthState, HoldsWhatFlaps) {
  Sequence flapping(true);
  flapping.check.rise = 1;
  flapping.check.fall = 1;
  flapping.policy.flap_limit = 3;
  flapping.policy.flap_window = seconds(60);
  flapping.policy.flap_hold = seconds(5);
  EXPECT_EQ(flapping.run("-+-+-"), "uHuHu");
  EXPECT_EQ(flapping.state.held_until(), flapping.now + seconds(5));
  EXPECT_EQ(flapping.run("++++"), "uuuu");
  EXPECT_TRUE(flapping.state.in_doubt());
  EXPECT_EQ(flapping.run("+"), "H");
}

TEST(HealthState, OldFallsAreForgotten) {
  Sequence calm(true);
  calm.check.rise = 1;
  calm.check.fall = 1;
  calm.policy.flap_limit = 2;
  calm.policy.flap_window = seconds(60);
  EXPECT_EQ(calm.run("-+"), "uH");
  calm.now += seconds(60);
  EXPECT_EQ(calm.run("-+"), "uH");
  EXPECT_EQ(calm.run("-+"), "uu");
}

TEST(HealthState, WithoutALimitNothingIsHeld) {
  Sequence flapping(true);
  flapping.check.rise = 1;
  flapping.check.fall = 1;
  EXPECT_EQ(flapping.run("-+-+-+-+-+-+"), "uHuHuHuHuHuH");
}

}  // namespace
}  // namespace sluice
