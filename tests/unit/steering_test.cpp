// The steering program in the kernel, without DPDK: loaded as DPDK loads it, in a network namespace of the
// test's own whose only interface is lo. Needs root.
#include "dataplane/bpf/steering.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "tests/unit/frames.h"

namespace sluice::bpf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace sluice::test;

constexpr char kInterface[] = "lo";

Prefix prefix(const char* text) {
  return Prefix::parse(text).value();
}

/// What DPDK's af_xdp driver does with `xdp_prog=`.
class Attached {
 public:
  explicit Attached(const std::string& path) : object_(bpf_object__open_file(path.c_str(), nullptr)) {
    EXPECT_NE(object_, nullptr);
    EXPECT_EQ(bpf_object__load(object_), 0);
    program_ = bpf_program__fd(bpf_object__next_program(object_, nullptr));
    EXPECT_EQ(bpf_xdp_attach(1, program_, XDP_FLAGS_UPDATE_IF_NOEXIST, nullptr), 0);
  }
  ~Attached() { bpf_object__close(object_); }

  /// The program's verdict about one frame.
  int verdict(const Bytes& frame) const {
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<uint32_t>(frame.size()), .repeat = 1);
    EXPECT_EQ(bpf_prog_test_run_opts(program_, &options), 0) << errno;
    return static_cast<int>(options.retval);
  }

 private:
  bpf_object* object_;
  int program_ = -1;
};

/// As much of an AF_XDP socket as the map asks for; it leaves the map when it is closed.
FileDescriptor xdp_socket() {
  FileDescriptor xsk(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  int entries = 1;
  EXPECT_EQ(::setsockopt(xsk.get(), SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)), 0);
  return xsk;
}

class SteeringTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) {
      GTEST_SKIP() << "needs root to load BPF programs";
    }
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  }

  static std::unique_ptr<Attached> load() {
    auto object = SteeringObject::create();
    EXPECT_TRUE(object);
    return std::make_unique<Attached>(object->path());
  }
};

Bytes ipv4_to(const char* vip, uint8_t protocol = kTcp) {
  return ethernet(kIpv4Type) + ipv4({.to = vip, .protocol = protocol}, Bytes(20));
}

Bytes ipv6_to(const char* vip) {
  return ethernet(kIpv6Type) + ipv6({.to = vip}, Bytes(20));
}

Bytes icmpv6_to(const char* vip, uint8_t type) {
  return ethernet(kIpv6Type) + ipv6({.to = vip, .next_header = kIcmpv6}, Bytes{type} + Bytes(23));
}

TEST_F(SteeringTest, FramesToAVipGoToTheSocketAndAllElseToTheKernel) {
  constexpr int kSteered = XDP_REDIRECT, kPassed = XDP_PASS;
  struct Case {
    const char* description;
    Bytes frame;
    int verdict;
  };
  const Bytes vip4 = ipv4({.to = "203.0.113.10"}, Bytes(20));
  const std::vector<Case> cases{
      {"IPv4 TCP to a VIP", ipv4_to("203.0.113.10"), kSteered},
      {"ICMP to a VIP", ipv4_to("203.0.113.10", 1), kSteered},
      {"IPv4 to an address beside it", ipv4_to("203.0.113.11"), kPassed},
      {"IPv4 into a VIP prefix", ipv4_to("192.0.2.77"), kSteered},
      {"IPv4 behind the end of the prefix", ipv4_to("192.0.2.128"), kPassed},
      {"one VLAN tag", ethernet(kVlanType) + vlan(kIpv4Type) + vip4, kSteered},
      {"two VLAN tags", ethernet(kServiceVlanType) + vlan(kVlanType) + vlan(kIpv4Type) + vip4, kSteered},
      {"three VLAN tags",
       ethernet(kServiceVlanType) + vlan(kVlanType) + vlan(kVlanType) + vlan(kIpv4Type) + vip4, kPassed},
      {"IPv6 TCP to a VIP", ipv6_to("2001:db8::10"), kSteered},
      {"IPv6 to an address beside it", ipv6_to("2001:db8::11"), kPassed},
      {"packet too big about a VIP's flow", icmpv6_to("2001:db8::10", 2), kSteered},
      {"ICMPv6 echo to a VIP", icmpv6_to("2001:db8::10", 128), kSteered},
      {"neighbour solicitation sent to a VIP", icmpv6_to("2001:db8::10", 135), kPassed},
      {"ARP", ethernet(0x0806) + Bytes(46), kPassed},
      {"IPv4 cut inside the header", ethernet(kIpv4Type) + Bytes(19, 0x45), kPassed},
      {"IPv6 cut inside the header", ethernet(kIpv6Type) + Bytes(39, 0x60), kPassed},
      {"VLAN tag cut", ethernet(kVlanType) + Bytes{0, 7}, kPassed},
  };
  auto program = load();
  auto steering = Steering::attach_to(kInterface);
  ASSERT_TRUE(steering) << steering.error().message;
  const std::vector<Prefix> vips{prefix("203.0.113.10"), prefix("192.0.2.0/25"), prefix("2001:db8::10")};
  ASSERT_TRUE(steering->set_vips(vips));
  FileDescriptor xsk = xdp_socket();
  ASSERT_TRUE(steering->add_socket(0, xsk.get()));
  SteeringCounters expected{};
  for (const Case& c : cases) {
    EXPECT_EQ(program->verdict(c.frame), c.verdict) << c.description;
    (c.verdict == kSteered ? expected.steered : expected.passed)++;
  }
  auto counters = steering->counters();
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->steered, expected.steered);
  EXPECT_EQ(counters->passed, expected.passed);
  EXPECT_EQ(counters->no_socket, 0u);
}

TEST_F(SteeringTest, AFrameToAVipWhoseQueueHasNoSocketGoesToTheKernel) {
  auto program = load();
  auto steering = Steering::attach_to(kInterface).value();
  const std::vector<Prefix> vips{prefix("203.0.113.10")};
  ASSERT_TRUE(steering.set_vips(vips));
  EXPECT_EQ(program->verdict(ipv4_to("203.0.113.10")), XDP_PASS);
  EXPECT_EQ(steering.counters().value().no_socket, 1u);
}

TEST_F(SteeringTest, SetVipsReplacesWhatWasSteered) {
  auto program = load();
  auto steering = Steering::attach_to(kInterface).value();
  const std::vector<Prefix> first{prefix("203.0.113.10"), prefix("2001:db8::10"), prefix("192.0.2.0/25")};
  const std::vector<Prefix> second{prefix("192.0.2.0/24"), prefix("203.0.113.10"), prefix("203.0.113.10")};
  ASSERT_TRUE(steering.set_vips(first));
  EXPECT_THAT(steering.vips().value(), ElementsAre(first[2], first[0], first[1]));
  ASSERT_TRUE(steering.set_vips(second));
  EXPECT_THAT(steering.vips().value(), ElementsAre(second[0], second[1]));
  ASSERT_TRUE(steering.set_vips({}));
  EXPECT_THAT(steering.vips().value(), ElementsAre());
}

TEST_F(SteeringTest, TheProgramOfAKilledProcessIsTakenOff) {
  EXPECT_FALSE(Steering::detach_stale(kInterface).value()) << "there was none";
  load();  // the object is closed at once, as by kill -9: the program stays attached
  ASSERT_TRUE(Steering::attach_to(kInterface));
  EXPECT_TRUE(Steering::detach_stale(kInterface).value());
  EXPECT_FALSE(attached_xdp(1).value());
  load();  // and the next start attaches
}

TEST_F(SteeringTest, TheProgramOfARunningProcessIsNotTakenOff) {
  auto program = load();
  FileDescriptor xsk = xdp_socket();
  ASSERT_TRUE(Steering::attach_to(kInterface).value().add_socket(3, xsk.get()));
  auto result = Steering::detach_stale(kInterface);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("still running"));
  EXPECT_TRUE(attached_xdp(1).value());
  ASSERT_TRUE(Steering::detach(kInterface));
  EXPECT_FALSE(attached_xdp(1).value());
}

TEST_F(SteeringTest, AForeignProgramIsNamedAndLeftAlone) {
  // r0 = XDP_PASS; exit
  const bpf_insn pass[] = {{.code = 0xb7, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 2},
                           {.code = 0x95, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  FileDescriptor other(bpf_prog_load(BPF_PROG_TYPE_XDP, "firewall", "GPL", pass, 2, nullptr));
  ASSERT_EQ(bpf_xdp_attach(1, other.get(), 0, nullptr), 0);
  const auto stale = Steering::detach_stale(kInterface);
  const auto detach = Steering::detach(kInterface);
  const auto attach = Steering::attach_to(kInterface);
  ASSERT_FALSE(stale);
  ASSERT_FALSE(detach);
  ASSERT_FALSE(attach);
  for (const std::string& message : {stale.error().message, detach.error().message, attach.error().message}) {
    EXPECT_THAT(message, HasSubstr("firewall"));
    EXPECT_THAT(message, HasSubstr("ip link set dev lo xdp off"));
  }
  EXPECT_EQ(attached_xdp(1).value()->name, "firewall");
}

TEST_F(SteeringTest, AnInterfaceThatIsNotThereOrNotStartedIsAnError) {
  EXPECT_THAT(Steering::attach_to("nosuch0").error().message, HasSubstr("no interface nosuch0"));
  EXPECT_THAT(Steering::attach_to(kInterface).error().message, HasSubstr("not started"));
}

}  // namespace
}  // namespace sluice::bpf
