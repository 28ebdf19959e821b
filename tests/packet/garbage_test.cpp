// A million bad frames: nothing crashes, nothing leaks, every frame has one fate. Run under sanitizers too.
#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <random>

#include "tests/packet/frames.h"
#include "tests/packet/rig.h"
#include "tests/packet/site.h"

namespace sluice::packet {
namespace {

std::vector<Bytes> seeds() {
  const Bytes inner4 = tcp_packet(ports4(80)), inner6 = udp_packet(ports6(90));
  return {
      ethernet({}, inner4),
      ethernet({}, inner6),
      ethernet({.tags = {0x88a80001, 0x81000002}}, tcp_packet(ports6(80))),
      ethernet({}, tcp_packet(ports4(80), kSyn, payload(1400))),
      ethernet({}, tcp_packet(ports4(80), kAck, payload(1460))),
      ethernet({},
               ipv4({.source = kClient4, .destination = kVip4, .protocol = 1}, icmpv4(8, 0, 1, payload(30)))),
      ethernet({}, ipv4({.source = kClient4, .destination = kVip4, .protocol = 1},
                        icmpv4(3, 4, 1400, tcp_packet({kVip4, kClient4, 80, 40000})))),
      ethernet({}, ipv6({.source = kClient6, .destination = kVip6, .next_header = 58},
                        icmpv6(kClient6, kVip6, 2, 0, 1400, tcp_packet({kVip6, kClient6, 90, 40000})))),
      ethernet({},
               ipv6({.source = kClient6, .destination = kVip6, .next_header = 0},
                    extension(60, extension(44, fragment_header(6, 0, tcp(ports6(90), kAck, payload(30))))))),
  };
}

TEST(Garbage, AMillionFramesAllHaveOneFate) {
  Rig rig(services(), {{.hardware_ipv4_checksum = false, .multi_segment = true}, {}});
  const std::vector<Bytes> good = seeds();
  std::mt19937_64 random(20260101);
  uint64_t sent = 0;
  uint64_t dropped = 0;
  constexpr int kFrames = 1'000'000;
  for (int i = 0; i < kFrames; ++i) {
    Bytes frame;
    if (random() % 8 == 0) {
      frame.resize(random() % 200);
      for (uint8_t& byte : frame) byte = static_cast<uint8_t>(random());
      if (frame.size() > 14 && random() % 2 == 0) {  // at least pretend to be IP
        frame[12] = random() % 2 != 0 ? 0x08 : 0x86;
        frame[13] = frame[12] == 0x08 ? 0x00 : 0xdd;
      }
    } else {
      frame = good[random() % good.size()];
      // Headers are where the decisions are.
      for (uint64_t flips = random() % 4; flips > 0; --flips) {
        frame[random() % std::min<size_t>(frame.size(), 110)] = static_cast<uint8_t>(random());
      }
      // A right checksum lets the damage through to the code behind the check.
      if (frame[12] == 0x08 && frame[13] == 0 && (frame[14] & 0xf) == 5 && random() % 4 != 0) {
        uint32_t sum = 0;
        frame[24] = frame[25] = 0;
        for (size_t at = 14; at < 34; at += 2) sum += static_cast<uint32_t>(frame[at] << 8 | frame[at + 1]);
        while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
        frame[24] = static_cast<uint8_t>(~sum >> 8);
        frame[25] = static_cast<uint8_t>(~sum);
      }
      if (random() % 4 == 0) frame.resize(random() % (frame.size() + 1));
      if (random() % 16 == 0) frame.resize(frame.size() + random() % 100);
    }
    const size_t segment = random() % 8 == 0 ? 8 + random() % 64 : SIZE_MAX;
    const Fate fate = rig.run_mbuf(make_mbuf(frame, segment));  // checks for exactly one fate
    ++(fate.dropped ? dropped : sent);
  }
  EXPECT_EQ(sent + dropped, kFrames);
  EXPECT_GT(sent, kFrames / 10) << "the damage must leave something that goes deep";
  EXPECT_GT(dropped, kFrames / 10);
  for (const auto reason :
       {DropReason::kTruncated, DropReason::kBadIpHeader, DropReason::kFragment, DropReason::kUnknownService,
        DropReason::kIcmpUnmatched, DropReason::kMultiSegment}) {
    EXPECT_GT(rig.counters().drops[static_cast<size_t>(reason)].read(), 0u) << drop_reason_name(reason);
  }
}

TEST(Garbage, BurstsOfMixedFramesKeepTheirFates) {
  // The same frames one by one and in bursts: grouping by family must not mix them up.
  Rig rig(services());
  const std::vector<Bytes> good = seeds();
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::vector<rte_mbuf*> burst;
    std::multiset<Bytes> alone;
    const size_t count = 1 + random() % l4::kBurst;
    for (size_t i = 0; i < count; ++i) {
      const Bytes& frame = good[random() % good.size()];
      burst.push_back(make_mbuf(frame));
      const Fate fate = rig.run(frame);
      if (!fate.frame.empty()) alone.insert(fate.frame);
    }
    std::multiset<Bytes> together;
    for (const Bytes& frame : rig.run_burst(burst)) together.insert(frame);
    ASSERT_TRUE(alone == together) << "round " << round;
    ++rig.now;  // answers to too-big packets are limited per tick
  }
}

}  // namespace
}  // namespace sluice::packet
