// Wrong sections in a correct file, and what is said of each.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <regex>

#include "tests/unit/config_text.h"

namespace sluice {
namespace {

using test::ConfigText;
using test::error_of;
using test::parse;
using testing::HasSubstr;

/// One wrong section in a correct file, and the one line that it must give.
struct WrongCase {
  std::string name;
  std::string ConfigText::*section;
  std::string text;
  std::string error;  ///< the whole first line without "f.yaml:line:column: ", or its beginning
};

void PrintTo(const WrongCase& wrong, std::ostream* out) {
  *out << wrong.text;
}

class WrongConfig : public testing::TestWithParam<WrongCase> {};

TEST_P(WrongConfig, IsRefusedWithFieldFoundAndAccepted) {
  ConfigText text;
  text.*GetParam().section = GetParam().text + "\n";
  const std::string error = error_of(text);
  EXPECT_TRUE(std::regex_search(error, std::regex("^f\\.yaml:[0-9]+:[0-9]+: "))) << error;
  const auto begin = error.find(": ") + 2;
  EXPECT_EQ(error.substr(begin, GetParam().error.size()), GetParam().error) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos) << "more than the one error:\n" << error;
  EXPECT_THAT(error, HasSubstr("; accepted: "));
}

std::string vip(const std::string& fields) {
  return "vips: [{name: web, address: 203.0.113.10, protocol: tcp, port: 80, pool: web, " + fields + "}]";
}
/// A VIP with one field replaced.
std::string vip_with(const std::string& key, const std::string& value) {
  std::map<std::string, std::string> fields{
      {"name", "web"}, {"address", "203.0.113.10"}, {"protocol", "tcp"}, {"port", "80"}, {"pool", "web"}};
  fields[key] = value;
  std::string text;
  for (const auto& [name, content] : fields) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", name, content);
  }
  return "vips: [{" + text + "}]";
}
std::string two_vips(const std::string& first, const std::string& second) {
  return fmt::format("vips:\n  - {{name: a, pool: web, {}}}\n  - {{name: b, pool: web, {}}}", first, second);
}
std::string pool(const std::string& fields) {
  return "pools: [{name: web, " + fields + "}]";
}
std::string backend(const std::string& fields) {
  return pool("backends: [{address: 10.0.1.11, " + fields + "}]");
}
std::string port(const std::string& fields) {
  return "ports: [{name: wan, " + fields + "}]";
}

constexpr auto kNode = &ConfigText::node;
constexpr auto kDpdk = &ConfigText::dpdk;
constexpr auto kPorts = &ConfigText::ports;
constexpr auto kWorkers = &ConfigText::workers;
constexpr auto kTunnel = &ConfigText::tunnel;
constexpr auto kVips = &ConfigText::vips;
constexpr auto kPools = &ConfigText::pools;

INSTANTIATE_TEST_SUITE_P(
    Node, WrongConfig,
    testing::Values(
        WrongCase{"BadName", kNode, "node: {name: 'a b', cluster_seed: s}",
                  "node.name: found 'a b'; accepted: 1 to 63 letters"},
        WrongCase{"NoSeed", kNode, "node: {name: a}", "node.cluster_seed: found nothing; accepted: a text"},
        WrongCase{"NullSeed", kNode, "node: {cluster_seed: }", "node.cluster_seed: found nothing; accepted"},
        WrongCase{"EmptySeed", kNode, "node: {cluster_seed: ''}", "node.cluster_seed: found ''; accepted"},
        WrongCase{"RelativeRunDir", kNode, "node: {cluster_seed: s, run_dir: run}",
                  "node.run_dir: found 'run'; accepted: an absolute path"},
        WrongCase{"RelativeStateDir", kNode, "node: {cluster_seed: s, state_dir: lib}",
                  "node.state_dir: found 'lib'; accepted: an absolute path"},
        WrongCase{"LongRunDir", kNode, "node: {cluster_seed: s, run_dir: /" + std::string(90, 'x') + "}",
                  "node.run_dir: found '/xxxxx"},
        WrongCase{"ListForMap", kNode, "node: [a]", "node: found a list; accepted: a map"},
        WrongCase{"TextForMap", kNode, "node: a", "node: found 'a'; accepted: a map"},
        WrongCase{"NoNode", kNode, "", "node: found nothing; accepted: a map"},
        WrongCase{"UnknownField", kNode, "node: {cluster_sed: s, cluster_seed: s}",
                  "node: found unknown field 'cluster_sed', did you mean 'cluster_seed'?; accepted: name, "
                  "run_dir, cluster_seed"},
        WrongCase{"UnknownFieldUnlikeAny", kNode, "node: {cluster_seed: s, zone: x}",
                  "node: found unknown field 'zone'; accepted: name, run_dir"},
        WrongCase{"UnknownSection", kNode, "node: {cluster_seed: s}\nworker: {idle: poll}",
                  "found unknown field 'worker', did you mean 'workers'?; accepted: node, "},
        WrongCase{"KeyTwice", kNode, "node: {cluster_seed: s, name: a, name: b}",
                  "node.name: found twice, first in line 1; accepted: once"},
        WrongCase{"SectionTwice", kNode, "node: {cluster_seed: s}\nnode: {cluster_seed: s}",
                  "node: found twice, first in line 1; accepted: once"},
        WrongCase{"KeyIsList", kNode, "node:\n  cluster_seed: s\n  ? [a, b]\n  : c",
                  "node: found a list as the name of a field; accepted"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Dpdk, WrongConfig,
    testing::Values(
        WrongCase{"YesForTrue", kDpdk, "dpdk: {huge_pages: yes}",
                  "dpdk.huge_pages: found 'yes'; accepted: true or false"},
        WrongCase{"NegativeMemory", kDpdk, "dpdk: {memory_mb: -1}",
                  "dpdk.memory_mb: found '-1'; accepted: a whole number from 16 to 1048576"},
        WrongCase{"JunkAfterNumber", kDpdk, "dpdk: {memory_mb: 64x}", "dpdk.memory_mb: found '64x'"},
        WrongCase{"LeadingZero", kDpdk, "dpdk: {memory_mb: 064}", "dpdk.memory_mb: found '064'"},
        WrongCase{"Fraction", kDpdk, "dpdk: {memory_mb: 64.0}", "dpdk.memory_mb: found '64.0'"},
        WrongCase{"Overflow", kDpdk, "dpdk: {memory_mb: 4294967312}", "dpdk.memory_mb: found '4294967312'"},
        WrongCase{"ListForNumber", kDpdk, "dpdk: {memory_mb: [1]}",
                  "dpdk.memory_mb: found a list; accepted: a whole number"},
        WrongCase{"TextForList", kDpdk, "dpdk: {eal_args: -m}",
                  "dpdk.eal_args: found '-m'; accepted: a list of texts"},
        WrongCase{"MapInList", kDpdk, "dpdk: {eal_args: [a, {b: c}]}",
                  "dpdk.eal_args: found a map; accepted: a list of texts"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Ports, WrongConfig,
    testing::Values(
        WrongCase{"None", kPorts, "", "ports: found nothing; accepted: a list of maps, at least one"},
        WrongCase{"EmptyList", kPorts, "ports: []",
                  "ports: found a list; accepted: a list of maps, at least"},
        WrongCase{"MapForList", kPorts, "ports: {name: wan}", "ports: found a map; accepted: a list of maps"},
        WrongCase{"TextForMap", kPorts, "ports: [wan]", "ports[0]: found 'wan'; accepted: a map"},
        WrongCase{"NoDevice", kPorts, "ports: [{name: wan}]",
                  "ports[0]: found no device; accepted: exactly one of af_xdp, pci, vdev"},
        WrongCase{"TwoDevices", kPorts, port("af_xdp: eth1, pci: '0000:81:00.0'"),
                  "ports[0].pci: found a second device; accepted: exactly one of"},
        WrongCase{"LongInterface", kPorts, port("af_xdp: interface0123456"),
                  "ports[0].af_xdp: found 'interface0123456'; accepted: the name of a Linux interface"},
        WrongCase{"EmptyInterface", kPorts, port("af_xdp: ''"), "ports[0].af_xdp: found ''; accepted"},
        WrongCase{"MtuTooSmall", kPorts, port("af_xdp: eth1, mtu: 575"),
                  "ports[0].mtu: found '575'; accepted: 576 to 9600; at most 3400 for af_xdp"},
        WrongCase{"MtuTooLargeForAfXdp", kPorts, port("af_xdp: eth1, mtu: 3401"),
                  "ports[0].mtu: found '3401'; accepted: 576 to 9600; at most 3400 for af_xdp"},
        WrongCase{"NoQueues", kPorts, port("af_xdp: eth1, queues: 0"),
                  "ports[0].queues: found '0'; accepted: a whole number from 1 to 64"},
        WrongCase{"Descriptors", kPorts, port("af_xdp: eth1, descriptors: 1000"),
                  "ports[0].descriptors: found '1000'; accepted: a power of two"},
        WrongCase{"SameName", kPorts, "ports: [{name: wan, af_xdp: eth1}, {name: wan, af_xdp: eth2}]",
                  "ports[1].name: found 'wan', the name of another port in line 2; accepted: a different"},
        WrongCase{"SameDevice", kPorts, "ports: [{name: wan, af_xdp: eth1}, {name: lan, af_xdp: eth1}]",
                  "ports[1]: found 'eth1', which another port uses in line 2; accepted: each device once"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Workers, WrongConfig,
    testing::Values(
        WrongCase{"NoCores", kWorkers, "workers: {cores: []}",
                  "workers.cores: found a list: of 0 items; accepted: a list of different CPU numbers"},
        WrongCase{"CoreTwice", kWorkers, "workers: {cores: [1, 1]}",
                  "workers.cores: found '1': twice; accepted: a list of different CPU numbers"},
        WrongCase{"CoreNotANumber", kWorkers, "workers: {cores: [1, x]}",
                  "workers.cores: found 'x'; accepted"},
        WrongCase{"CoreTooLarge", kWorkers, "workers: {cores: [1024]}", "workers.cores: found '1024'; acc"},
        WrongCase{"NumberForList", kWorkers, "workers: {cores: 2}", "workers.cores: found '2'; accepted"},
        WrongCase{"CoresAndCount", kWorkers, "workers: {cores: [1], count: 1}",
                  "workers.count: found beside cores; accepted: one of"},
        WrongCase{"CountZero", kWorkers, "workers: {count: 0}", "workers.count: found '0'; accepted"},
        WrongCase{"Idle", kWorkers, "workers: {idle: lazy}",
                  "workers.idle: found 'lazy'; accepted: poll or adaptive"},
        WrongCase{"FewFlows", kWorkers, "workers: {flow_table_flows: 1023}",
                  "workers.flow_table_flows: found '1023'; accepted: a whole number from 1024 to"},
        WrongCase{"ManyFlows", kWorkers, "workers: {flow_table_flows: 268435457}",
                  "workers.flow_table_flows: found '268435457'; accepted"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Tunnel, WrongConfig,
    testing::Values(
        WrongCase{
            "OtherFamily", kTunnel, "tunnel: {source_ipv4: '2001:db8::1'}",
            "tunnel.source_ipv4: found '2001:db8::1': an address of the other family; accepted: an IPv4"},
        WrongCase{"NotAnAddress", kTunnel, "tunnel: {source_ipv4: lb1}",
                  "tunnel.source_ipv4: found 'lb1'; accepted: an IPv4 address"},
        WrongCase{"BitsBehindLength", kTunnel, "tunnel: {source_ipv4: 192.0.2.1/24}",
                  "tunnel.source_ipv4: found '192.0.2.1/24': '192.0.2.1/24' has bits set behind its length"},
        WrongCase{"TooShort", kTunnel, "tunnel: {source_ipv4: 192.0.2.1, source_ipv6: '2001:db8::/63'}",
                  "tunnel.source_ipv6: found '2001:db8::/63': a prefix that is too short; accepted"},
        WrongCase{"MissingForBackend", kTunnel, "tunnel: {source_ipv6: '2001:db8::1'}",
                  "pools[0].backends[0].address: found '10.0.1.11', but tunnel.source_ipv4 is not set"},
        WrongCase{"NoTunnel", kTunnel, "",
                  "pools[0].backends[0].address: found '10.0.1.11', but tunnel.source_ipv4 is not set"},
        WrongCase{"Ttl0", kTunnel, "tunnel: {source_ipv4: 192.0.2.1, ttl: 0}",
                  "tunnel.ttl: found '0'; accepted: a whole number from 1 to 255"},
        WrongCase{"Ttl256", kTunnel, "tunnel: {source_ipv4: 192.0.2.1, ttl: 256}", "tunnel.ttl: found '256'"},
        WrongCase{"Dscp", kTunnel, "tunnel: {source_ipv4: 192.0.2.1, dscp: 64}",
                  "tunnel.dscp: found '64'; accepted: copy, or a whole number from 0 to 63"},
        WrongCase{"Key", kTunnel, "tunnel: {source_ipv4: 192.0.2.1, gre_key: 4294967296}",
                  "tunnel.gre_key: found '4294967296'; accepted: a whole number from 0 to 4294967295"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Vips, WrongConfig,
    testing::Values(
        WrongCase{
            "UnknownPool", kVips, vip_with("pool", "wep"),
            "vips[0].pool: found 'wep', no such pool, did you mean 'web'?; accepted: the name of a pool "
            "(web)"},
        WrongCase{"NoPool", kVips, "vips: [{name: a, address: 203.0.113.1, protocol: tcp, port: 80}]",
                  "vips[0].pool: found nothing; accepted: the name of a pool"},
        WrongCase{"MisspelledField", kVips, vip("idle_timeot: 5s"),
                  "vips[0]: found unknown field 'idle_timeot', did you mean 'idle_timeout'?"},
        WrongCase{"Multicast", kVips, vip_with("address", "224.0.0.5"),
                  "vips[0].address: found '224.0.0.5': a multicast address; accepted: a unicast"},
        WrongCase{"Multicast6", kVips, vip_with("address", "'ff02::1'"),
                  "vips[0].address: found 'ff02::1': a multicast address"},
        WrongCase{"Unspecified", kVips, vip_with("address", "0.0.0.0"),
                  "vips[0].address: found '0.0.0.0': the unspecified address"},
        WrongCase{"Everything", kVips, vip_with("address", "'::/0'"),
                  "vips[0].address: found '::/0': the unspecified address"},
        WrongCase{"Broadcast", kVips, vip_with("address", "255.255.255.255"),
                  "vips[0].address: found '255.255.255.255': the broadcast address"},
        WrongCase{"HostBits", kVips, vip_with("address", "203.0.113.1/24"),
                  "vips[0].address: found '203.0.113.1/24': '203.0.113.1/24' has bits set behind its length"},
        WrongCase{"HostName", kVips, vip_with("address", "example.org"),
                  "vips[0].address: found 'example.org'; accepted: a unicast IPv4"},
        WrongCase{"Protocol", kVips, vip_with("protocol", "sctp"),
                  "vips[0].protocol: found 'sctp'; accepted: tcp or udp"},
        WrongCase{"Port0", kVips, vip_with("port", "0"), "vips[0].port: found '0'; accepted: a port from 1"},
        WrongCase{"Port65536", kVips, vip_with("port", "65536"), "vips[0].port: found '65536'; accepted"},
        WrongCase{"PortBackwards", kVips, vip_with("port", "90-80"),
                  "vips[0].port: found '90-80': the range is backwards; accepted"},
        WrongCase{"PortHalfRange", kVips, vip_with("port", "'80-'"), "vips[0].port: found '80-'; accepted"},
        WrongCase{"PortName", kVips, vip_with("port", "http"), "vips[0].port: found 'http'; accepted"},
        WrongCase{"TimeoutWithoutUnit", kVips, vip("idle_timeout: 900"),
                  "vips[0].idle_timeout: found '900'; accepted: a whole number with s, m or h, from 1s to"},
        WrongCase{"Timeout0", kVips, vip("idle_timeout: 0s"), "vips[0].idle_timeout: found '0s'; accepted"},
        WrongCase{"TimeoutLong", kVips, vip("idle_timeout: 121m"), "vips[0].idle_timeout: found '121m'"},
        WrongCase{"TimeoutOverflow", kVips, vip("idle_timeout: 4294967295h"),
                  "vips[0].idle_timeout: found '4294967295h'"},
        WrongCase{"SameName", kVips,
                  "vips:\n"
                  "  - {name: a, address: 203.0.113.1, protocol: tcp, port: 80, pool: web}\n"
                  "  - {name: a, address: 203.0.113.2, protocol: tcp, port: 80, pool: web}",
                  "vips[1].name: found 'a', the name of another VIP in line 6; accepted: a different name"},
        WrongCase{
            "SameService", kVips,
            two_vips("address: 203.0.113.1, protocol: tcp, port: 80",
                     "address: 203.0.113.1, protocol: tcp, port: 80"),
            "vips[1].port: found '80', which overlaps ports 80 of vips[0] in line 6 on 203.0.113.1 tcp"},
        WrongCase{"OverlappingRanges", kVips,
                  two_vips("address: 203.0.113.0/24, protocol: udp, port: 2000-3000",
                           "address: 203.0.113.0/24, protocol: udp, port: 1000-2000"),
                  "vips[1].port: found '1000-2000', which overlaps ports 2000-3000 of vips[0] in line 6"},
        WrongCase{"AnyAndOne", kVips,
                  two_vips("address: 203.0.113.1, protocol: tcp, port: any",
                           "address: 203.0.113.1, protocol: tcp, port: 80"),
                  "vips[1].port: found '80', which overlaps ports any of vips[0]"}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Pools, WrongConfig,
    testing::Values(
        WrongCase{"NotPrime", kPools, pool("maglev_size: 65536"), "pools[0].maglev_size: found '65536': "},
        WrongCase{"TooSmall", kPools, pool("maglev_size: 7"), "pools[0].maglev_size: found '7': "},
        WrongCase{"Weight", kPools, backend("weight: 65536"),
                  "pools[0].backends[0].weight: found '65536'; accepted: a whole number from 0 to 65535"},
        WrongCase{"State", kPools, backend("state: up"),
                  "pools[0].backends[0].state: found 'up'; accepted: active, drain or down"},
        WrongCase{"SameAddress", kPools,
                  pool("backends: [{address: 10.0.0.1}, {address: 10.0.0.1, name: b}]"),
                  "pools[0].backends[1].address: found '10.0.0.1', the address of another backend in line 7"},
        WrongCase{"SameBackendName", kPools,
                  pool("backends: [{address: 10.0.0.1, name: b}, {address: 10.0.0.2, name: b}]"),
                  "pools[0].backends[1].name: found 'b', the name of another backend in line 7"},
        WrongCase{"SamePoolName", kPools, "pools: [{name: web}, {name: web}]",
                  "pools[1].name: found 'web', the name of another pool in line 7"},
        WrongCase{"PrefixForBackend", kPools, pool("backends: [{address: 10.0.0.0/24}]"),
                  "pools[0].backends[0].address: found '10.0.0.0/24'; accepted: a unicast"},
        WrongCase{"UnknownNextHopPort", kPools, backend("next_hop: {port: wann, mac: '02:00:00:00:00:01'}"),
                  "pools[0].backends[0].next_hop.port: found 'wann', no such port, did you mean 'wan'?; "
                  "accepted: the name of a port (wan)"},
        WrongCase{"MulticastMac", kPools, backend("next_hop: {port: wan, mac: '03:00:00:00:00:01'}"),
                  "pools[0].backends[0].next_hop.mac: found '03:00:00:00:00:01': a multicast address"},
        WrongCase{"MacMissing", kPools, backend("next_hop: {port: wan}"),
                  "pools[0].backends[0].next_hop.mac: found nothing; accepted: a unicast MAC address"}),
    [](const auto& test) { return test.param.name; });

TEST(Config, PortsBesideEachOtherDoNotOverlap) {
  ConfigText text;
  text.vips =
      "vips:\n"
      "  - {name: a, address: 203.0.113.1, protocol: tcp, port: 80-89, pool: web}\n"
      "  - {name: b, address: 203.0.113.1, protocol: tcp, port: 90, pool: web}\n"
      "  - {name: c, address: 203.0.113.1, protocol: udp, port: any, pool: web}\n"
      "  - {name: d, address: 203.0.113.0/24, protocol: tcp, port: any, pool: web}\n"
      "  - {name: e, address: 203.0.113.2, protocol: tcp, port: 80, pool: web}\n";
  EXPECT_TRUE(parse(text)) << error_of(text);
}

TEST(Config, OverlapWithAnEarlierWideRangeIsSeenBehindANarrowOne) {
  ConfigText text;
  text.vips =
      "vips:\n"
      "  - {name: a, address: 203.0.113.1, protocol: tcp, port: 1-1000, pool: web}\n"
      "  - {name: b, address: 203.0.113.1, protocol: tcp, port: 2, pool: web}\n"
      "  - {name: c, address: 203.0.113.1, protocol: tcp, port: 500, pool: web}\n";
  EXPECT_THAT(error_of(text), HasSubstr("vips[2].port: found '500', which overlaps ports 1-1000 of vips[0]"));
}

TEST(Config, PciPortNeedsStaticNextHops) {
  ConfigText text;
  text.ports = "ports: [{name: wan, pci: '0000:81:00.0'}]\n";
  EXPECT_THAT(error_of(text), HasSubstr("pools[0].backends[0].next_hop: found nothing, but a port is not"));
}

TEST(Config, PciAndVdevDevicesAreChecked) {
  ConfigText text;
  for (const std::string wrong : {"81:00.0", "0000:81:00.8", "0000-81-00.0", "0000:8g:00.0"}) {
    text.ports = port("pci: '" + wrong + "'") + "\n";
    EXPECT_THAT(error_of(text), HasSubstr("ports[0].pci: found '" + wrong + "'; accepted: a PCI address"));
  }
  for (const std::string wrong : {"eth1", "net_pcap0, x=y", ""}) {
    text.ports = port("vdev: '" + wrong + "'") + "\n";
    EXPECT_THAT(error_of(text), HasSubstr("ports[0].vdev: found '" + wrong + "'; accepted: a DPDK virtual"));
  }
}

TEST(Config, MorePoolMembersThanSlots) {
  ConfigText text;
  text.pools = "pools:\n  - name: web\n    maglev_size: 251\n    backends:\n";
  for (int i = 0; i < 252; ++i) text.pools += fmt::format("      - address: 10.0.1.{}\n", i);
  EXPECT_THAT(error_of(text), HasSubstr("pools[0].maglev_size: found 251 slots for 252 backends; accepted"));
}

TEST(Config, NearestPrimesAreNamed) {
  ConfigText text;
  text.pools = pool("maglev_size: 65536") + "\n";
  EXPECT_THAT(error_of(text), testing::AllOf(HasSubstr("65521"), HasSubstr("65537")));
}

}  // namespace
}  // namespace sluice
