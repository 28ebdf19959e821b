#include "lb/vip_lookup.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace sluice {
namespace {

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}

Vip vip(const Prefix& address, Protocol protocol, PortRange ports) {
  Vip service;
  service.address = address;
  service.protocol = protocol;
  service.ports = ports;
  return service;
}
Vip vip(std::string_view prefix, Protocol protocol, PortRange ports) {
  return vip(Prefix::parse(prefix).value(), protocol, ports);
}

constexpr auto kTcp = Protocol::kTcp;
constexpr auto kUdp = Protocol::kUdp;
constexpr PortRange kAny;
constexpr auto kNone = VipLookup::kNone;

ServiceKey key(const IpAddress& address, uint8_t protocol, uint16_t port) {
  return {AddressWords::of(address), address.family(), protocol, Be16(port)};
}

VipLookup::Index find(const VipLookup& lookup, std::string_view address, Protocol protocol, uint16_t port) {
  return lookup.find(key(ip(address), static_cast<uint8_t>(protocol), port));
}

bool has(const VipLookup& lookup, std::string_view address) {
  return lookup.has_address(AddressWords::of(ip(address)), ip(address).family());
}

TEST(VipLookup, WithoutVipsFindsNothing) {
  const VipLookup none;
  EXPECT_EQ(find(none, "192.0.2.1", kTcp, 80), kNone);
  EXPECT_EQ(find(none, "0.0.0.0", kTcp, 0), kNone);
  EXPECT_EQ(find(none, "::", kTcp, 0), kNone);
  EXPECT_FALSE(has(none, "0.0.0.0"));
}

TEST(VipLookup, AnExactServiceIsItsAddressProtocolAndPort) {
  const VipLookup lookup({vip("192.0.2.1", kTcp, {80, 80}), vip("2001:db8::1", kUdp, {53, 53})});
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 80), 0u);
  EXPECT_EQ(find(lookup, "2001:db8::1", kUdp, 53), 1u);
  EXPECT_EQ(find(lookup, "192.0.2.1", kUdp, 80), kNone);
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 81), kNone);
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 20480), kNone) << "80 in the other byte order";
  EXPECT_EQ(find(lookup, "192.0.2.2", kTcp, 80), kNone);
  EXPECT_EQ(find(lookup, "2001:db8::1", kTcp, 53), kNone);
}

TEST(VipLookup, RangesIncludeBothEnds) {
  const VipLookup lookup({vip("192.0.2.1", kTcp, {1000, 2000}), vip("192.0.2.1", kTcp, {2001, 65535})});
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 999), kNone);
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 1000), 0u);
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 2000), 0u);
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 2001), 1u);
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 65535), 1u);
  EXPECT_EQ(find(lookup, "192.0.2.1", kUdp, 1000), kNone);
}

TEST(VipLookup, AnExactServiceWinsOverARangeOfTheSameAddress) {
  for (const bool range_first : {true, false}) {
    std::vector<Vip> vips = {vip("192.0.2.1", kTcp, kAny), vip("192.0.2.1", kTcp, {80, 80})};
    if (!range_first) std::swap(vips[0], vips[1]);
    const VipLookup lookup(vips);
    EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 80), range_first ? 1u : 0u);
    EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 81), range_first ? 0u : 1u);
  }
}

TEST(VipLookup, ALongerPrefixWinsWhateverTheOrder) {
  const std::vector<std::string> prefixes = {"0.0.0.0/0", "192.0.0.0/8", "192.0.2.0/24", "192.0.2.128/25",
                                             "192.0.2.129"};
  std::vector<size_t> order = {0, 1, 2, 3, 4};
  do {
    std::vector<Vip> vips;
    for (const size_t i : order) vips.push_back(vip(prefixes[i], kTcp, kAny));
    const VipLookup lookup(vips);
    const auto prefix_of = [&](std::string_view address) {
      return prefixes[order[find(lookup, address, kTcp, 80)]];
    };
    ASSERT_EQ(prefix_of("192.0.2.129"), "192.0.2.129");
    ASSERT_EQ(prefix_of("192.0.2.130"), "192.0.2.128/25");
    ASSERT_EQ(prefix_of("192.0.2.127"), "192.0.2.0/24");
    ASSERT_EQ(prefix_of("192.1.2.129"), "192.0.0.0/8");
    ASSERT_EQ(prefix_of("10.0.0.1"), "0.0.0.0/0");
    ASSERT_EQ(find(lookup, "::192.0.2.129", kTcp, 80), kNone);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(VipLookup, APrefixStandsInWhereALongerOneLacksTheService) {
  const VipLookup lookup({vip("192.0.2.0/24", kTcp, kAny), vip("192.0.2.1", kTcp, {80, 80}),
                          vip("192.0.2.1", kTcp, {8000, 8100}), vip("192.0.2.1", kUdp, kAny)});
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 80), 1u);
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 8050), 2u);
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 443), 0u);
  EXPECT_EQ(find(lookup, "192.0.2.1", kUdp, 443), 3u);
  EXPECT_EQ(find(lookup, "192.0.2.2", kUdp, 443), kNone);
}

TEST(VipLookup, OfTwoEqualServicesTheFirstWins) {
  const VipLookup lookup({vip("192.0.2.1", kTcp, {80, 80}), vip("192.0.2.1", kTcp, {80, 80}),
                          vip("192.0.2.0/24", kTcp, {1, 100}), vip("192.0.2.0/24", kTcp, {50, 200})});
  EXPECT_EQ(find(lookup, "192.0.2.1", kTcp, 80), 0u);
  EXPECT_EQ(find(lookup, "192.0.2.2", kTcp, 80), 2u);
  EXPECT_EQ(find(lookup, "192.0.2.2", kTcp, 101), 3u);
}

TEST(VipLookup, FamiliesWithTheSameWordsAreNotMixedUp) {
  // The words of 1.2.3.4 are those of this IPv6 address.
  const std::string_view v4 = "1.2.3.4", v6 = "::102:304:0:0";
  ASSERT_EQ(AddressWords::of(ip(v4)), AddressWords::of(ip(v6)));
  for (const bool exact : {true, false}) {
    const PortRange ports = exact ? PortRange{80, 80} : kAny;
    const VipLookup four({vip(v4, kTcp, ports)}), six({vip(v6, kTcp, ports)});
    EXPECT_EQ(find(four, v4, kTcp, 80), 0u);
    EXPECT_EQ(find(four, v6, kTcp, 80), kNone);
    EXPECT_EQ(find(six, v6, kTcp, 80), 0u);
    EXPECT_EQ(find(six, v4, kTcp, 80), kNone);
    EXPECT_TRUE(has(four, v4));
    EXPECT_FALSE(has(four, v6));
    EXPECT_FALSE(has(six, v4));
  }
}

TEST(VipLookup, HasTheAddressOfAVipWhateverItsService) {
  const VipLookup lookup({vip("192.0.2.1", kTcp, {80, 80}), vip("198.51.100.0/24", kUdp, {53, 60}),
                          vip("2001:db8::/32", kTcp, {443, 443})});
  EXPECT_TRUE(has(lookup, "192.0.2.1"));
  EXPECT_FALSE(has(lookup, "192.0.2.2"));
  EXPECT_TRUE(has(lookup, "198.51.100.255"));
  EXPECT_FALSE(has(lookup, "198.51.101.0"));
  EXPECT_TRUE(has(lookup, "2001:db8:ffff::1"));
  EXPECT_FALSE(has(lookup, "2001:db9::1"));
}

/// What a table of VIPs should do, one VIP after the other.
VipLookup::Index find_by_walking(const std::vector<Vip>& vips, const IpAddress& address, Protocol protocol,
                                 uint16_t port) {
  VipLookup::Index best = kNone;
  int best_length = -1;
  for (VipLookup::Index i = 0; i < vips.size(); ++i) {
    const Vip& candidate = vips[i];
    if (candidate.protocol != protocol || !candidate.ports.contains(port)) continue;
    if (candidate.address.length() <= best_length || !candidate.address.contains(address)) continue;
    best = i;
    best_length = candidate.address.length();
  }
  return best;
}

class RandomVips {
 public:
  explicit RandomVips(uint64_t seed) : random_(seed) {}

  /// Many nested prefixes; on one prefix and protocol the ports do not overlap.
  std::vector<Vip> make(size_t count) {
    std::vector<Vip> vips;
    std::map<std::pair<Prefix, Protocol>, std::vector<PortRange>> taken;
    while (vips.size() < count) {
      const Vip candidate = vip(any_prefix(), random_() % 2 != 0 ? kTcp : kUdp, any_ports());
      auto& ports = taken[{candidate.address, candidate.protocol}];
      const bool overlaps = std::any_of(ports.begin(), ports.end(), [&](const PortRange& other) {
        return candidate.ports.first <= other.last && other.first <= candidate.ports.last;
      });
      if (overlaps) continue;
      ports.push_back(candidate.ports);
      vips.push_back(candidate);
    }
    return vips;
  }

  /// An address in the prefix of a VIP, or just outside, and a port of it, or next to one.
  struct Probe {
    IpAddress address;
    Protocol protocol;
    uint16_t port;
  };
  Probe probe(const std::vector<Vip>& vips) {
    const Vip& near = vips[random_() % vips.size()];
    IpAddress::Bytes bytes = near.address.address().bytes();
    const int first_bit = near.address.family() == Family::kIpv4 ? 96 : 0;
    for (int bit = first_bit + near.address.length(); bit < 128; ++bit) {
      if (random_() % 2 != 0) bytes[static_cast<size_t>(bit / 8)] ^= static_cast<uint8_t>(0x80 >> bit % 8);
    }
    if (random_() % 4 == 0) bytes[12 + random_() % 4] ^= static_cast<uint8_t>(1 << random_() % 8);
    const std::array<int, 4> ports = {near.ports.first - 1, near.ports.first, near.ports.last,
                                      near.ports.last + 1};
    return {near.address.family() == Family::kIpv4 ? IpAddress::v4(bytes.data() + 12) : IpAddress::v6(bytes),
            random_() % 8 == 0 ? kUdp : near.protocol, static_cast<uint16_t>(ports[random_() % 4])};
  }

 private:
  Prefix any_prefix() {
    const bool is_v4 = random_() % 2 != 0;
    IpAddress::Bytes bytes{0x20, 0x01, 0x0d, 0xb8};
    // Few values per byte, so that prefixes nest and share addresses.
    for (size_t i = 4; i < 16; ++i) bytes[i] = static_cast<uint8_t>(random_() % (i < 12 ? 2 : 16));
    static constexpr int kLengths4[] = {0, 8, 16, 20, 24, 28, 30, 31, 32, 32, 32, 32};
    static constexpr int kLengths6[] = {0, 32, 48, 64, 65, 96, 120, 127, 128, 128, 128, 128};
    return is_v4 ? Prefix(IpAddress::v4(bytes.data() + 12), kLengths4[random_() % 12])
                 : Prefix(IpAddress::v6(bytes), kLengths6[random_() % 12]);
  }
  PortRange any_ports() {
    const auto first = static_cast<uint16_t>(random_());
    if (random_() % 16 == 0) return kAny;
    if (random_() % 2 == 0) return {first, first};
    return {first, static_cast<uint16_t>(std::min<uint64_t>(65535, first + random_() % 2000))};
  }

  std::mt19937_64 random_;
};

TEST(VipLookup, TenThousandVipsAreFoundAsByWalkingThroughThem) {
  RandomVips source(11);
  const std::vector<Vip> vips = source.make(10'000);
  const VipLookup lookup(vips);
  uint32_t found = 0;
  constexpr uint32_t kProbes = 8000;
  for (uint32_t i = 0; i < kProbes; ++i) {
    const auto [address, protocol, port] = source.probe(vips);
    const auto index = lookup.find(key(address, static_cast<uint8_t>(protocol), port));
    ASSERT_EQ(index, find_by_walking(vips, address, protocol, port))
        << address.to_string() << " " << static_cast<int>(protocol) << " " << port;
    found += index != kNone;
    const bool has_address = std::any_of(
        vips.begin(), vips.end(), [&](const Vip& candidate) { return candidate.address.contains(address); });
    ASSERT_EQ(lookup.has_address(AddressWords::of(address), address.family()), has_address);
  }
  EXPECT_GT(found, kProbes / 3);
  EXPECT_LT(found, kProbes * 9 / 10) << "misses must be tried too";
}

/// Neighbouring addresses, as operators number VIPs; bits `shift`... of the address count up.
std::vector<Vip> neighbours(const IpAddress& first, int shift, uint32_t count) {
  std::vector<Vip> vips;
  for (uint32_t i = 0; i < count; ++i) {
    IpAddress::Bytes bytes = first.bytes();
    for (int bit = 0; bit < 32; ++bit) {
      const int at = 127 - shift - bit;
      if (i >> bit & 1) bytes[static_cast<size_t>(at / 8)] ^= static_cast<uint8_t>(0x80 >> at % 8);
    }
    const IpAddress address = first.is_v4() ? IpAddress::v4(bytes.data() + 12) : IpAddress::v6(bytes);
    vips.push_back(vip(Prefix(address), kTcp, {443, 443}));
  }
  return vips;
}

TEST(VipLookup, NeighbouringServicesAreFoundInAFewSteps) {
  std::vector<std::pair<std::string, std::vector<Vip>>> cases = {
      {"IPv4 hosts", neighbours(ip("10.1.0.0"), 0, 10'000)},
      {"one IPv4 host per /24", neighbours(ip("10.0.0.1"), 8, 10'000)},
      {"200 hosts of one IPv6 network", neighbours(ip("2001:db8::"), 0, 200)},
      {"IPv6 hosts", neighbours(ip("2001:db8::"), 0, 10'000)},
      {"one IPv6 host per /112", neighbours(ip("2001:db8::1"), 16, 10'000)},
      {"one IPv6 host per /64", neighbours(ip("2001:db8::1"), 64, 10'000)},
  };
  std::vector<Vip> ports;
  for (uint16_t port = 1; port <= 10'000; ++port) ports.push_back(vip("2001:db8::1", kTcp, {port, port}));
  cases.push_back({"ports of one address", std::move(ports)});
  for (const auto& [description, vips] : cases)
    EXPECT_LE(VipLookup(vips).longest_probe(), 32u) << description;
}

TEST(VipLookup, EveryExactServiceOfTenThousandIsFound) {
  std::vector<Vip> vips;
  for (uint32_t i = 0; i < 10'000; ++i) {
    const auto address = IpAddress::v4(203, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i));
    vips.push_back(vip(Prefix(address), kTcp, {443, 443}));
  }
  const VipLookup lookup(vips);
  for (VipLookup::Index i = 0; i < vips.size(); ++i) {
    ASSERT_EQ(lookup.find(key(vips[i].address.address(), 6, 443)), i);
    ASSERT_EQ(lookup.find(key(vips[i].address.address(), 6, 80)), kNone);
  }
}

}  // namespace
}  // namespace sluice
