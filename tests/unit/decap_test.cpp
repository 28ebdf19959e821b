// The decapsulation program in the kernel: attached to lo in a network namespace of the test's own, then run
// by the kernel on frames that the test makes. Needs root.
#include "dataplane/bpf/decap.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "dataplane/bpf/attached_program.h"
#include "dataplane/bpf/tc_hook.h"
#include "tests/unit/frames.h"

namespace sluice::bpf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace sluice::test;

constexpr char kInterface[] = "lo";
constexpr int kIndex = 1;
constexpr char kVip4[] = "203.0.113.10", kVip6[] = "2001:db8::10";

std::vector<Prefix> prefixes(std::initializer_list<const char*> texts) {
  std::vector<Prefix> parsed;
  for (const char* text : texts) {
    parsed.push_back(Prefix::parse(text).value());
  }
  return parsed;
}

DecapSettings both_vips(DecapMode mode) {
  return {.vips = prefixes({kVip4, kVip6}), .sources = {}, .key = {}, .mode = mode};
}

DecapStatus status() {
  return decap_status(kInterface).value().value();
}

uint64_t frames(const DecapStatus& status, std::string_view counter) {
  return std::find_if(status.counters.begin(), status.counters.end(),
                      [&](const DecapCounter& c) { return c.name == counter; })
      ->frames;
}

/// Whether the kernel runs the attached program on such a frame. For tc it makes a socket buffer first, and
/// refuses to for a frame that ends inside its IP header.
bool can_run(const Bytes& frame) {
  bool is_ipv6 = frame[12] == kIpv6Type >> 8;
  return status().mode != DecapMode::kTc || frame.size() >= (is_ipv6 ? 14u + 40u : 14u + 20u);
}

/// What the program did with a frame.
struct Outcome {
  bool dropped = false;
  Bytes frame;
  std::string counter;  ///< the one that it counted in; "several" or "none" are wrong
};

Outcome run_program(const Bytes& frame) {
  DecapStatus before = status();
  auto program = program_by_id(before.program_id).value();
  Outcome outcome;
  outcome.frame.resize(frame.size() + 256);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = outcome.frame.data(),
              .data_size_in = static_cast<uint32_t>(frame.size()),
              .data_size_out = static_cast<uint32_t>(outcome.frame.size()), .repeat = 1);
  EXPECT_EQ(bpf_prog_test_run_opts(program.fd.get(), &options), 0) << errno;
  outcome.frame.resize(options.data_size_out);
  uint32_t drop = before.mode == DecapMode::kTc ? TC_ACT_SHOT : XDP_DROP;
  outcome.dropped = options.retval == drop;

  DecapStatus after = status();
  outcome.counter = "none";
  for (size_t i = 0; i < after.counters.size(); i++) {
    if (after.counters[i].frames != before.counters[i].frames) {
      outcome.counter = outcome.counter == "none" ? std::string(after.counters[i].name) : "several";
    }
  }
  return outcome;
}

class DecapTest : public testing::TestWithParam<DecapMode> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) {
      GTEST_SKIP() << "needs root to load BPF programs";
    }
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  }

  static void attach(const DecapSettings& settings) {
    auto attached = attach_decap(kInterface, settings);
    ASSERT_TRUE(attached) << attached.error().message;
    EXPECT_EQ(attached->mode, settings.mode);
  }
};

// lo has no native XDP; native runs the same program as generic, on a veth pair in tests/e2e.
INSTANTIATE_TEST_SUITE_P(Hooks, DecapTest, testing::Values(DecapMode::kGeneric, DecapMode::kTc),
                         [](const auto& mode) { return std::string(name_of(mode.param)); });

/// Headers around an inner packet.
Bytes in_ipv4(const Bytes& gre_header, const Bytes& inner, Ipv4 outer = {}) {
  outer.to = "10.0.0.1";
  outer.protocol = kGre;
  return ipv4(outer, gre_header + inner);
}

Bytes in_ipv6(const Bytes& gre_header, const Bytes& inner, Ipv6 outer = {}) {
  outer.to = "2001:db8::1";
  outer.next_header = kGre;
  return ipv6(outer, gre_header + inner);
}

Bytes segment(size_t size = 20) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; i++) {
    bytes[i] = static_cast<uint8_t>(i + 1);
  }
  return bytes;
}

TEST_P(DecapTest, ThePacketInsideComesOutUnchanged) {
  const Bytes inner4 = ipv4({.to = kVip4}, segment()), inner6 = ipv6({.to = kVip6}, segment());
  const Bytes tiny4 = ipv4({.to = kVip4, .protocol = 17}, segment(8));
  const Bytes options4 = ipv4({.to = kVip4, .options = 40}, segment());
  const Bytes big4 = ipv4({.to = kVip4}, segment(1400)), big6 = ipv6({.to = kVip6}, segment(1400));
  const Bytes link4 = ethernet(kIpv4Type), link6 = ethernet(kIpv6Type);
  struct Case {
    const char* description;
    Bytes frame, expected;
  };
  const std::vector<Case> cases{
      {"IPv4 in IPv4", link4 + in_ipv4(gre(kIpv4Type), inner4), link4 + inner4},
      {"IPv6 in IPv4", link4 + in_ipv4(gre(kIpv6Type), inner6), link6 + inner6},
      {"IPv4 in IPv6", link6 + in_ipv6(gre(kIpv4Type), inner4), link4 + inner4},
      {"IPv6 in IPv6", link6 + in_ipv6(gre(kIpv6Type), inner6), link6 + inner6},
      {"IPv4 in IPv4 with a key", link4 + in_ipv4(gre_with_key(kIpv4Type, 7), inner4), link4 + inner4},
      {"IPv6 in IPv4 with a key", link4 + in_ipv4(gre_with_key(kIpv6Type, 7), inner6), link6 + inner6},
      {"IPv4 in IPv6 with a key", link6 + in_ipv6(gre_with_key(kIpv4Type, 7), inner4), link4 + inner4},
      {"IPv6 in IPv6 with a key", link6 + in_ipv6(gre_with_key(kIpv6Type, 7), inner6), link6 + inner6},
      {"reserved GRE bits that a receiver ignores", link4 + in_ipv4(gre(kIpv4Type, 0x03f8), inner4),
       link4 + inner4},
      {"options in the outer header", link4 + in_ipv4(gre(kIpv4Type), inner4, {.options = 40}),
       link4 + inner4},
      {"options in both headers", link4 + in_ipv4(gre(kIpv4Type), options4, {.options = 40}),
       link4 + options4},
      {"outer DF", link4 + in_ipv4(gre(kIpv4Type), inner4, {.fragment = 0x4000}), link4 + inner4},
      {"a tiny IPv4 datagram in IPv6", link6 + in_ipv6(gre(kIpv4Type), tiny4), link4 + tiny4},
      {"a full IPv6 packet in IPv4", link4 + in_ipv4(gre(kIpv6Type), big6), link6 + big6},
      {"a full IPv4 packet in IPv6", link6 + in_ipv6(gre(kIpv4Type), big4), link4 + big4},
      {"padding behind the packet", link4 + in_ipv4(gre(kIpv4Type), tiny4) + Bytes(9),
       link4 + tiny4 + Bytes(9)},
  };
  attach(both_vips(GetParam()));
  uint64_t packets = 0;
  for (const Case& c : cases) {
    Outcome outcome = run_program(c.frame);
    EXPECT_EQ(outcome.counter, "decapsulated") << c.description;
    EXPECT_FALSE(outcome.dropped) << c.description;
    EXPECT_EQ(outcome.frame, c.expected) << c.description;
    packets++;
  }
  DecapStatus after = status();
  EXPECT_EQ(after.vips[0].packets + after.vips[1].packets, packets);
  EXPECT_EQ(after.vips[1].bytes, 4 * inner6.size() + big6.size());
}

TEST_P(DecapTest, VlanTagsStayWhereTheHookSeesThem) {
  const Bytes inner4 = ipv4({.to = kVip4}, segment()), inner6 = ipv6({.to = kVip6}, segment());
  const Bytes one = ethernet(kVlanType), two = ethernet(kServiceVlanType) + vlan(kVlanType);
  const Bytes tagged = one + vlan(kIpv4Type) + in_ipv4(gre(kIpv6Type), inner6);
  const Bytes twice = two + vlan(kIpv6Type) + in_ipv6(gre(kIpv4Type), inner4);
  attach(both_vips(GetParam()));
  if (GetParam() == DecapMode::kTc) {
    // The kernel takes the first tag off before tc; a frame that still has one there had two.
    EXPECT_EQ(run_program(tagged).counter, "unsupported");
    EXPECT_EQ(run_program(tagged).frame, tagged);
  } else {
    EXPECT_EQ(run_program(tagged).frame, one + vlan(kIpv6Type) + inner6);
    EXPECT_EQ(run_program(twice).frame, two + vlan(kIpv4Type) + inner4);
  }
}

TEST_P(DecapTest, WhatIsNotOursGoesToTheKernelAsItCame) {
  const Bytes inner4 = ipv4({.to = kVip4}, segment()), inner6 = ipv6({.to = kVip6}, segment());
  const Bytes link4 = ethernet(kIpv4Type), link6 = ethernet(kIpv6Type);
  const Bytes whole = link4 + in_ipv4(gre(kIpv4Type), inner4);
  auto cut = [](Bytes frame, size_t size) {
    frame.resize(size);
    return frame;
  };
  Bytes inner_version6 = inner4;
  inner_version6[0] = 0x65;
  Bytes inner_short_header = inner4;
  inner_short_header[0] = 0x44;
  struct Case {
    const char* description;
    Bytes frame;
    const char* counter;
  };
  const std::vector<Case> cases{
      {"plain TCP to the VIP", link4 + inner4, "not_gre"},
      {"ARP", ethernet(0x0806) + Bytes(46), "not_gre"},
      {"GRE behind an IPv6 extension header",
       link6 + ipv6({.to = "2001:db8::1", .next_header = 60}, Bytes(40)), "not_gre"},
      {"to another IPv4 address", link4 + in_ipv4(gre(kIpv4Type), ipv4({.to = "203.0.113.11"}, segment())),
       "not_vip"},
      {"to another IPv6 address", link4 + in_ipv4(gre(kIpv6Type), ipv6({.to = "2001:db8::11"}, segment())),
       "not_vip"},
      {"Ethernet in GRE", link4 + in_ipv4(gre(0x6558), inner4), "not_vip"},
      {"with a GRE checksum", link4 + in_ipv4(gre(kIpv4Type, 0x8000) + Bytes(4), inner4), "unsupported"},
      {"with a sequence number", link4 + in_ipv4(gre(kIpv4Type, 0x1000) + Bytes(4), inner4), "unsupported"},
      {"GRE version 1", link4 + in_ipv4(gre(kIpv4Type, 1), inner4), "unsupported"},
      {"first outer fragment", link4 + in_ipv4(gre(kIpv4Type), inner4, {.fragment = 0x2000}), "fragment"},
      {"last outer fragment", link4 + in_ipv4(gre(kIpv4Type), inner4, {.fragment = 0x0010}), "fragment"},
      {"outer length beyond the frame", link4 + in_ipv4(gre(kIpv4Type), inner4, {.total_length = 65}),
       "malformed"},
      {"outer IPv6 length beyond the frame", link6 + in_ipv6(gre(kIpv4Type), inner4, {.payload_length = 45}),
       "malformed"},
      {"inner length beyond the outer packet",
       link4 + in_ipv4(gre(kIpv4Type), ipv4({.to = kVip4, .total_length = 41}, segment())) + Bytes(20),
       "malformed"},
      {"inner IPv6 length beyond the outer packet",
       link4 + in_ipv4(gre(kIpv6Type), ipv6({.to = kVip6, .payload_length = 21}, segment())) + Bytes(20),
       "malformed"},
      {"inner length inside its own header",
       link4 + in_ipv4(gre(kIpv4Type), ipv4({.to = kVip4, .total_length = 19}, segment())), "malformed"},
      {"IPv6 announced as IPv4", link4 + in_ipv4(gre(kIpv4Type), inner6), "malformed"},
      {"wrong inner version", link4 + in_ipv4(gre(kIpv4Type), inner_version6), "malformed"},
      {"inner header length below the least", link4 + in_ipv4(gre(kIpv4Type), inner_short_header),
       "malformed"},
      {"cut in the inner header", cut(whole, 14 + 20 + 4 + 19), "malformed"},
      {"cut in the GRE header", cut(whole, 14 + 20 + 3), "malformed"},
      {"cut in the GRE key", cut(link4 + in_ipv4(gre_with_key(kIpv4Type, 7), inner4), 14 + 20 + 4 + 3),
       "malformed"},
      {"cut in the outer header", cut(whole, 14 + 19), "not_gre"},
  };
  attach(both_vips(GetParam()));
  for (const Case& c : cases) {
    if (!can_run(c.frame)) {
      continue;
    }
    Outcome outcome = run_program(c.frame);
    EXPECT_EQ(outcome.counter, c.counter) << c.description;
    EXPECT_FALSE(outcome.dropped) << c.description;
    EXPECT_EQ(outcome.frame, c.frame) << c.description;
  }
}

TEST_P(DecapTest, EcnIsMergedAsRfc6040Says) {
  constexpr uint8_t kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3, kDrop = 255;
  constexpr uint8_t kDscp = 46 << 2;
  // Figure 4: rows are the inner field, columns the outer one.
  constexpr uint8_t kExpected[4][4] = {{kNotEct, kNotEct, kNotEct, kDrop},
                                       {kEct1, kEct1, kEct1, kCe},
                                       {kEct0, kEct1, kEct0, kCe},
                                       {kCe, kCe, kCe, kCe}};
  attach(both_vips(GetParam()));
  for (uint8_t inner = 0; inner < 4; inner++) {
    for (uint8_t outer = 0; outer < 4; outer++) {
      SCOPED_TRACE(testing::Message() << "inner " << int{inner} << ", outer " << int{outer});
      auto ipv4_with = [&](uint8_t ecn) {
        return ipv4({.to = kVip4, .tos = static_cast<uint8_t>(kDscp | ecn)}, segment());
      };
      auto ipv6_with = [&](uint8_t ecn) {
        return ipv6({.to = kVip6, .traffic_class = static_cast<uint8_t>(kDscp | ecn)}, segment());
      };
      Outcome in4 =
          run_program(ethernet(kIpv4Type) + in_ipv4(gre(kIpv4Type), ipv4_with(inner), {.tos = outer}));
      Outcome in6 = run_program(ethernet(kIpv6Type) +
                                in_ipv6(gre(kIpv6Type), ipv6_with(inner), {.traffic_class = outer}));
      uint8_t expected = kExpected[inner][outer];
      if (expected == kDrop) {
        EXPECT_EQ(in4.counter, "bad_ecn");
        EXPECT_TRUE(in4.dropped);
        EXPECT_TRUE(in6.dropped);
      } else {
        // The builder's checksum is computed afresh: equality shows that the mended one is right.
        EXPECT_EQ(in4.frame, ethernet(kIpv4Type) + ipv4_with(expected));
        EXPECT_EQ(in6.frame, ethernet(kIpv6Type) + ipv6_with(expected));
      }
    }
  }
}

TEST_P(DecapTest, OnlyTheGivenSourcesMayTunnelToAVip) {
  DecapSettings settings = both_vips(GetParam());
  settings.sources = prefixes({"192.0.2.0/24", "2001:db8:1::/48"});
  attach(settings);
  const Bytes inner = ipv4({.to = kVip4}, segment());
  const Bytes other = ipv4({.to = "203.0.113.11"}, segment());
  auto from4 = [&](const char* source, const Bytes& packet) {
    return run_program(ethernet(kIpv4Type) + in_ipv4(gre(kIpv4Type), packet, {.from = source}));
  };
  auto from6 = [&](const char* source) {
    return run_program(ethernet(kIpv6Type) + in_ipv6(gre(kIpv4Type), inner, {.from = source}));
  };
  EXPECT_EQ(from4("192.0.2.200", inner).counter, "decapsulated");
  EXPECT_EQ(from6("2001:db8:1:2::3").counter, "decapsulated");
  EXPECT_EQ(from6("2001:db8:2::1").counter, "bad_source");
  Outcome refused = from4("192.0.3.1", inner);
  EXPECT_EQ(refused.counter, "bad_source");
  EXPECT_TRUE(refused.dropped);
  EXPECT_EQ(from4("192.0.3.1", other).counter, "not_vip") << "another tunnel's sources are not our matter";
  settings.sources = {};
  attach(settings);
  EXPECT_EQ(from4("192.0.3.1", inner).counter, "decapsulated");
}

TEST_P(DecapTest, OnlyTheGivenKeyIsOurs) {
  DecapSettings settings = both_vips(GetParam());
  settings.key = 0xdeadbeef;
  attach(settings);
  const Bytes inner = ipv4({.to = kVip4}, segment());
  auto counter = [&](const Bytes& gre_header) {
    return run_program(ethernet(kIpv4Type) + in_ipv4(gre_header, inner)).counter;
  };
  EXPECT_EQ(counter(gre_with_key(kIpv4Type, 0xdeadbeef)), "decapsulated");
  EXPECT_EQ(counter(gre_with_key(kIpv4Type, 0xefbeadde)), "other_key");
  EXPECT_EQ(counter(gre(kIpv4Type)), "other_key");
  EXPECT_EQ(status().key, 0xdeadbeef);
}

TEST_P(DecapTest, AttachingAgainChangesTheSetAndKeepsTheCounters) {
  attach(both_vips(GetParam()));
  const Bytes frame = ethernet(kIpv4Type) + in_ipv4(gre(kIpv4Type), ipv4({.to = kVip4}, segment()));
  run_program(frame);
  DecapSettings settings = both_vips(GetParam());
  settings.vips = prefixes({"192.0.2.0/25", kVip4});
  attach(settings);
  run_program(frame);
  DecapStatus after = status();
  EXPECT_EQ(frames(after, "decapsulated"), 2u);
  ASSERT_EQ(after.vips.size(), 2u);
  EXPECT_EQ(after.vips[0].vip, settings.vips[0]);
  EXPECT_EQ(after.vips[0].packets, 0u);
  EXPECT_EQ(after.vips[1].packets, 2u);
  EXPECT_EQ(after.vips[1].bytes, 80u);

  settings.vips = prefixes({"192.0.2.0/25"});
  attach(settings);
  EXPECT_EQ(run_program(frame).counter, "not_vip");
  settings.vips = prefixes({kVip4});
  attach(settings);
  EXPECT_EQ(status().vips[0].packets, 0u) << "a VIP that comes again starts from zero";
}

TEST_P(DecapTest, DetachLeavesNothing) {
  EXPECT_FALSE(detach_decap(kInterface).value());
  attach(both_vips(GetParam()));
  uint32_t id = status().program_id;
  EXPECT_TRUE(detach_decap(kInterface).value());
  EXPECT_FALSE(decap_status(kInterface).value());
  EXPECT_FALSE(attached_xdp(kIndex).value());
  EXPECT_TRUE(add_clsact(kIndex).value()) << "the qdisc was left";
  // The kernel frees a tc filter after a grace period of its own.
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (program_by_id(id) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_FALSE(program_by_id(id)) << "somebody still holds the program";
}

TEST_P(DecapTest, RandomAndCutFramesNeverComeOutLonger) {
  attach(both_vips(GetParam()));
  auto program = program_by_id(status().program_id).value();
  std::mt19937 random(20240917);
  const std::vector<Bytes> seeds{
      ethernet(kIpv4Type) +
          in_ipv4(gre_with_key(kIpv4Type, 7), ipv4({.to = kVip4, .options = 8}, segment()), {.options = 12}),
      ethernet(kIpv6Type) + in_ipv6(gre(kIpv6Type), ipv6({.to = kVip6}, segment())),
      ethernet(kIpv6Type) + in_ipv6(gre(kIpv4Type), ipv4({.to = kVip4}, segment())),
      ethernet(kIpv4Type) + in_ipv4(gre(kIpv6Type), ipv6({.to = kVip6}, segment())),
  };
  Bytes out(2048);
  const size_t shortest = GetParam() == DecapMode::kTc ? 14 + 40 : 14;  // see can_run()
  for (int i = 0; i < 20000; i++) {
    Bytes frame = seeds[random() % seeds.size()];
    for (unsigned changes = random() % 4; changes > 0; changes--) {
      frame[random() % frame.size()] = static_cast<uint8_t>(random());
    }
    if (random() % 2) {
      frame.resize(shortest + random() % (frame.size() - shortest + 1));
    }
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.data(),
                .data_size_in = static_cast<uint32_t>(frame.size()),
                .data_size_out = static_cast<uint32_t>(out.size()), .repeat = 1);
    ASSERT_EQ(bpf_prog_test_run_opts(program.fd.get(), &options), 0) << "frame " << i << ", errno " << errno;
    ASSERT_LE(options.data_size_out, frame.size()) << "frame " << i;
  }
  DecapStatus after = status();
  uint64_t sum = 0;
  for (const DecapCounter& counter : after.counters) {
    sum += counter.frames;
  }
  EXPECT_EQ(sum, 20000u) << "each frame is counted once";
  EXPECT_GT(frames(after, "decapsulated"), 1000u);
  EXPECT_GT(frames(after, "malformed"), 1000u);
  EXPECT_EQ(frames(after, "failed"), 0u);
}

class DecapModeTest : public DecapTest {};
TEST_F(DecapModeTest, AutoFallsBackToTcAndSaysWhy) {
  DecapSettings settings = both_vips(DecapMode::kAuto);
  auto attached = attach_decap(kInterface, settings).value();
  EXPECT_EQ(attached.mode, DecapMode::kTc);
  EXPECT_THAT(attached.remarks,
              ElementsAre(HasSubstr("using tc: lo does not take an XDP program in native mode")));
  EXPECT_THAT(attach_decap(kInterface, settings).value().remarks, IsEmpty()) << "it keeps what runs";
}

TEST_F(DecapModeTest, ChangingTheModeMovesTheProgramAndItsCounters) {
  const Bytes frame = ethernet(kIpv4Type) + in_ipv4(gre(kIpv4Type), ipv4({.to = kVip4}, segment()));
  uint64_t packets = 0;
  for (DecapMode mode : {DecapMode::kGeneric, DecapMode::kTc, DecapMode::kGeneric, DecapMode::kTc}) {
    attach(both_vips(mode));
    EXPECT_EQ(status().mode, mode);
    EXPECT_EQ(attached_xdp(kIndex).value().has_value(), mode == DecapMode::kGeneric);
    EXPECT_EQ(attached_tc(kIndex).value().has_value(), mode == DecapMode::kTc);
    run_program(frame);
    EXPECT_EQ(status().vips[0].packets, ++packets);
  }
  detach_decap(kInterface).value();
  EXPECT_TRUE(add_clsact(kIndex).value()) << "the qdisc was left";
}

TEST_F(DecapModeTest, AClsactQdiscThatWasThereBeforeOrIsUsedByOthersStays) {
  ASSERT_TRUE(add_clsact(kIndex).value());
  attach(both_vips(DecapMode::kTc));
  detach_decap(kInterface).value();
  EXPECT_FALSE(add_clsact(kIndex).value()) << "it was there before us";
  ASSERT_TRUE(remove_empty_clsact(kIndex));

  attach(both_vips(DecapMode::kTc));
  auto ours = program_by_id(status().program_id).value();
  LIBBPF_OPTS(bpf_tc_hook, egress, .ifindex = kIndex, .attach_point = BPF_TC_EGRESS);
  LIBBPF_OPTS(bpf_tc_opts, other, .prog_fd = ours.fd.get(), .handle = 1, .priority = 1);
  ASSERT_EQ(bpf_tc_attach(&egress, &other), 0);
  detach_decap(kInterface).value();
  EXPECT_FALSE(add_clsact(kIndex).value()) << "it holds another's filter";
}

TEST_F(DecapModeTest, AForeignXdpProgramIsNamedAndLeftAlone) {
  // r0 = XDP_PASS; exit
  const bpf_insn pass[] = {{.code = 0xb7, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 2},
                           {.code = 0x95, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  FileDescriptor other(bpf_prog_load(BPF_PROG_TYPE_XDP, "firewall", "GPL", pass, 2, nullptr));
  ASSERT_EQ(bpf_xdp_attach(kIndex, other.get(), 0, nullptr), 0);
  auto refused = attach_decap(kInterface, both_vips(DecapMode::kGeneric));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("firewall"));
  EXPECT_THAT(refused.error().message, HasSubstr("--mode tc"));
  EXPECT_FALSE(detach_decap(kInterface).value());
  attach(both_vips(DecapMode::kTc));
  EXPECT_TRUE(detach_decap(kInterface).value());
  EXPECT_EQ(attached_xdp(kIndex).value()->name, "firewall");
}

}  // namespace
}  // namespace sluice::bpf
