#include "control/config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config_reader.h"
#include "tests/unit/config_text.h"

namespace sluice {
namespace {

using test::ConfigText;
using test::error_of;
using test::parse;
using testing::HasSubstr;

const std::string kDocs = SLUICE_SOURCE_DIR "/docs/";

TEST(Config, MinimalFileHasDocumentedDefaults) {
  const auto config = parse(ConfigText{});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->node.run_dir, "/run/sluice");
  EXPECT_EQ(config->node.control_socket(), "/run/sluice/control.sock");
  EXPECT_TRUE(config->dpdk.huge_pages);
  EXPECT_EQ(config->dpdk.memory_mb, 256u);
  ASSERT_EQ(config->ports.size(), 1u);
  EXPECT_EQ(config->ports[0].kind, l4::PortKind::kAfXdp);
  EXPECT_EQ(config->ports[0].device, "eth1");
  EXPECT_EQ(config->ports[0].queues, 0);
  EXPECT_EQ(config->ports[0].mtu, 1500);
  EXPECT_EQ(config->ports[0].descriptors, 1024);
  EXPECT_TRUE(config->workers.cores.empty());
  EXPECT_EQ(config->workers.count, 1);
  EXPECT_EQ(config->workers.idle, l4::IdleMode::kAdaptive);
  EXPECT_EQ(config->workers.flow_table_flows, 1048576u);
  const Services& services = config->services;
  EXPECT_EQ(services.tunnel.ttl, 64);
  EXPECT_TRUE(services.tunnel.dont_fragment);
  EXPECT_FALSE(services.tunnel.dscp);
  EXPECT_FALSE(services.tunnel.gre_key);
  EXPECT_EQ(services.vips.at(0).idle_timeout, std::chrono::seconds(900));
  EXPECT_EQ(services.pools.at(0).maglev_size, 65537u);
  EXPECT_EQ(services.pools.at(0).backends.at(0).weight, 100u);
  EXPECT_EQ(services.pools.at(0).backends.at(0).state, BackendState::kActive);
}

TEST(Config, StatusesOfHealthChecksAreRead) {
  ConfigText text;
  text.pools =
      "pools:\n  - {name: web, backends: [{name: b1, address: 10.0.1.11}], health: {kind: http, status: "
      "[200, "
      "301-302], leaving_status: [503, 420-429]}}\n";
  const auto config = parse(text);
  ASSERT_TRUE(config) << config.error().message;
  const HealthCheck& check = config->services.pools.at(0).health;
  EXPECT_EQ(check.expected_status, (std::vector<StatusRange>{{200, 200}, {301, 302}}));
  EXPECT_EQ(check.leaving_status, (std::vector<StatusRange>{{503, 503}, {420, 429}}));
  text.pools = "pools:\n  - {name: web, backends: [], health: {kind: http, leaving_status: [gone]}}\n";
  EXPECT_THAT(error_of(text),
              HasSubstr("pools[0].health.leaving_status: found 'gone'; accepted: a list of HTTP"));
}

TEST(Config, FullExampleIsReadFieldByField) {
  const auto config = load_config(kDocs + "examples/full.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->node.name, "lb1");
  EXPECT_THAT(config->dpdk.eal_args, testing::ElementsAre("--log-level=lib.eal:info"));
  EXPECT_EQ(config->dpdk.memory_mb, 512u);
  ASSERT_EQ(config->ports.size(), 2u);
  EXPECT_EQ(config->ports[1].mtu, 1600);
  EXPECT_EQ(config->ports[1].queues, 2);
  EXPECT_EQ(config->ports[1].descriptors, 2048);
  EXPECT_THAT(config->workers.cores, testing::ElementsAre(2u, 3u));
  EXPECT_EQ(config->workers.idle, l4::IdleMode::kPoll);
  EXPECT_EQ(config->workers.flow_table_flows, 4194304u);

  const Services& services = config->services;
  EXPECT_EQ(services.cluster_seed, "change me: any text, the same on all nodes");
  EXPECT_EQ(services.tunnel.source_ipv4, *Prefix::parse("172.16.0.0/16"));
  EXPECT_EQ(services.tunnel.source_ipv6, *Prefix::parse("2001:db8:0:1::/64"));
  EXPECT_EQ(services.tunnel.gre_key, 7u);
  ASSERT_EQ(services.vips.size(), 4u);
  const Vip web{"web", *Prefix::parse("203.0.113.10"), Protocol::kTcp, {443, 443},
                "web", std::chrono::minutes(15)};
  EXPECT_EQ(services.vips[0], web);
  const Vip media{"media", *Prefix::parse("203.0.113.64/28"), Protocol::kUdp, {16384, 32767},
                  "media", std::chrono::seconds(30)};
  EXPECT_EQ(services.vips[2], media);
  EXPECT_TRUE(services.vips[3].ports.is_any());
  ASSERT_EQ(services.pools.size(), 2u);
  EXPECT_EQ(services.pools[0].backends[1].weight, 200u);
  EXPECT_EQ(services.pools[0].backends[2].state, BackendState::kDrain);
  EXPECT_EQ(services.pools[1].maglev_size, 5003u);
  const StaticNextHop hop{"lan", *MacAddress::parse("02:00:00:00:00:01")};
  EXPECT_EQ(services.pools[1].backends[0].next_hop, hop);
  EXPECT_EQ(services.pools[1].backends[1].state, BackendState::kDown);
}

TEST(Config, NodeNameDefaultsToTheHostAndBackendNameToItsAddress) {
  const auto config = load_config(kDocs + "examples/minimal.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_FALSE(config->node.name.empty());
  EXPECT_EQ(config->services.pools[0].backends[0].name, "10.0.1.11");
}

TEST(Config, OtherPortKindsAndDscpAndCount) {
  ConfigText text;
  text.ports = "ports: [{name: a, pci: '0000:81:00.1'}, {name: b, vdev: 'net_pcap0,rx_pcap=x'}]\n";
  text.workers = "workers: {count: 3}\n";
  text.tunnel = "tunnel: {source_ipv4: 192.0.2.1, dscp: 46, ttl: 255, dont_fragment: false}\n";
  text.pools =
      "pools: [{name: web, backends: [{address: 10.0.0.1, next_hop: {port: b, mac: 02:00:00:00:00:01}}]}]\n";
  const auto config = parse(text);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->ports[0].kind, l4::PortKind::kPci);
  EXPECT_EQ(config->ports[0].device, "0000:81:00.1");
  EXPECT_EQ(config->ports[1].kind, l4::PortKind::kVdev);
  EXPECT_EQ(config->workers.count, 3);
  EXPECT_EQ(config->services.tunnel.dscp, 46);
  EXPECT_EQ(config->services.tunnel.ttl, 255);
  EXPECT_FALSE(config->services.tunnel.dont_fragment);
}

TEST(Config, ASecretIsNotRepeatedWhereItIsRefused) {
  ConfigText text;
  const std::string seed = "hunter2" + std::string(2000, 'x');
  text.node = "node: {name: lb1, cluster_seed: " + seed + "}\n";
  EXPECT_THAT(error_of(text),
              HasSubstr("node.cluster_seed: found a secret of 2007 bytes; accepted: a text of"));
  EXPECT_THAT(error_of(text), testing::Not(HasSubstr("hunter2")));
}

TEST(Config, MetricsListenOnAnAddressWithItsPort) {
  const auto listen = [](const std::string& value) {
    ConfigText text;
    text.node += "metrics: {listen: '" + value + "'}\n";
    return parse(text);
  };
  const auto v4 = listen("192.0.2.1:9108");
  ASSERT_TRUE(v4) << v4.error().message;
  EXPECT_EQ(v4->metrics, (ListenAddress{*IpAddress::parse("192.0.2.1"), 9108}));
  const auto v6 = listen("[2001:db8::1]:80");
  ASSERT_TRUE(v6) << v6.error().message;
  EXPECT_EQ(v6->metrics, (ListenAddress{*IpAddress::parse("2001:db8::1"), 80}));
  for (const char* wrong : {"", ":9108", "9108", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536",
                            "2001:db8::1:80", "[192.0.2.1]:80", "localhost:80", "[::1]80"}) {
    const auto refused = listen(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_THAT(refused.error().message, HasSubstr("metrics.listen: found '" + std::string(wrong) + "'"))
        << wrong;
  }
  EXPECT_FALSE(parse(ConfigText())->metrics);
}

TEST(Config, TheLogGoesToStderrAtInfoUnlessTold) {
  EXPECT_EQ(parse(ConfigText())->log, (LogSettings{LogTarget::kStderr, LogLevel::kInfo}));
  ConfigText text;
  text.node += "log: {to: journal, level: error}\n";
  EXPECT_EQ(parse(text)->log, (LogSettings{LogTarget::kJournal, LogLevel::kError}));
}

TEST(ConfigReader, NearestWordIsOneOfFewTypingErrors) {
  const std::vector<std::string_view> words{"port", "pool", "protocol"};
  EXPECT_EQ(nearest_word("prot", words), "port");  // two letters exchanged are one error
  EXPECT_EQ(nearest_word("tp", words), "");
  EXPECT_EQ(nearest_word("pol", words), "pool");
  EXPECT_EQ(nearest_word("protocoll", words), "protocol");
  EXPECT_EQ(nearest_word("xyz", words), "");
}

}  // namespace
}  // namespace sluice
