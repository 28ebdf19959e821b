// Where a cluster's endpoints come from: the file's words for it, and files of endpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "control/proxy/endpoint_file.h"
#include "tests/unit/proxy_text.h"

namespace sluice {
namespace {

using test::ProxyText;
using testing::HasSubstr;

/// A file whose only cluster has this discovery.
ProxyText with_discovery(const std::string& discovery) {
  ProxyText text;
  text.clusters = "clusters:\n  - name: app\n    discovery: {" + discovery + "}\n";
  return text;
}

TEST(ProxyConfig, NamesWhoseAddressesAreEndpoints) {
  const auto config = parse_proxy_config(
      with_discovery(
          "kind: dns, family: both, servers: ['192.0.2.53:53', '[2001:db8::53]:5353'], when_empty: "
          "remove,\n    min_refresh: 1s, max_refresh: 1s, names: [{name: app.example., port: 80, "
          "weight: 3, zone: a}, {srv: _grpc._tcp.app, priority: 1}]")
          .text(),
      "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_TRUE(config->care[0].discovery);
  const auto& dns = std::get<DnsDiscovery>(*config->care[0].discovery);
  ASSERT_EQ(dns.names.size(), 2u);
  EXPECT_EQ(dns.names[0].name, "app.example.");
  EXPECT_FALSE(dns.names[0].is_service);
  EXPECT_EQ(dns.names[0].like.id.port, 80);
  EXPECT_EQ(dns.names[0].like.weight, 3u);
  EXPECT_EQ(dns.names[0].like.zone, "a");
  EXPECT_TRUE(dns.names[1].is_service);
  EXPECT_EQ(dns.names[1].like.priority, 1u);
  EXPECT_EQ(dns.families, DnsFamilies::kBoth);
  ASSERT_EQ(dns.servers.size(), 2u);
  EXPECT_EQ(dns.servers[1].port, 5353);
  EXPECT_FALSE(dns.keep_when_empty);
  EXPECT_EQ(dns.refresh.max_refresh, std::chrono::seconds(1));
}

TEST(ProxyConfig, DiscoveryFromAFile) {
  const auto config = parse_proxy_config(with_discovery("kind: file, path: /etc/app.yaml").text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(std::get<FileDiscovery>(*config->care[0].discovery).path, "/etc/app.yaml");
}

TEST(ProxyConfig, DiscoveryErrorsSayWhatIsAccepted) {
  const std::string names = ", names: [{name: a, port: 1}]";
  const std::map<std::string, std::string> cases{
      {"path: /x", "clusters[0].discovery.kind: found nothing; accepted: dns or file"},
      {"kind: consul", "clusters[0].discovery.kind: found 'consul'; accepted: dns or file"},
      {"kind: dns", "clusters[0].discovery: found no names; accepted: kind dns with names"},
      {"kind: dns, names: []",
       "clusters[0].discovery.names: found a list; accepted: a list of maps, at least"},
      {"kind: dns, names: [{port: 80}]", "found neither name nor srv; accepted: one of name and srv"},
      {"kind: dns, names: [{name: a, srv: b, port: 80}]", "found both name and srv"},
      {"kind: dns, names: [{name: a}]", "found no port; accepted: name with a port, or srv"},
      {"kind: dns, names: [{srv: a, port: 80}]", "names[0].port: found beside srv"},
      {"kind: dns, names: [{srv: a, weight: 2}]", "names[0].weight: found beside srv"},
      {"kind: dns, names: [{name: 'a b', port: 80}]", "names[0].name: found 'a b'; accepted: a DNS name"},
      {"kind: dns, names: [{name: a..b, port: 80}]", "names[0].name: found 'a..b'"},
      {"kind: dns, names: [{name: ., port: 80}]", "names[0].name: found '.'"},
      {"kind: dns, names: [{name: " + std::string(64, 'a') + ", port: 80}]", "names[0].name: found 'aaa"},
      {"kind: dns, servers: [192.0.2.53]" + names, "servers: found '192.0.2.53'"},
      {"kind: dns, servers: ['0.0.0.0:53']" + names, "servers: found '0.0.0.0:53'"},
      {"kind: dns, servers: []" + names, "servers: found a list"},
      {"kind: dns, min_refresh: 10m" + names, "min_refresh: found 600000 ms, more than the 300000 ms of max"},
      {"kind: dns, failure_max: 20ms" + names, "failure_base: found 1000 ms, more than the 20 ms of failure"},
      {"kind: dns, path: /x" + names, "path: found with kind dns, which has no such field"},
      {"kind: file, path: /x, servers: ['192.0.2.53:53']", "servers: found with kind file"},
      {"kind: file", "clusters[0].discovery: found no path"},
      {"kind: file, path: x.yaml", "path: found 'x.yaml'; accepted: an absolute path"},
  };
  for (const auto& [discovery, expected] : cases)
    EXPECT_THAT(error_of(with_discovery(discovery)), HasSubstr(expected));
  ProxyText both = with_discovery("kind: file, path: /x");
  both.clusters += "    endpoints: [{address: 192.0.2.1, port: 80}]\n";
  EXPECT_THAT(error_of(both),
              HasSubstr("p.yaml:5:16: clusters[0].discovery: found beside endpoints; accepted: one of"));
}

TEST(EndpointFile, HasTheFieldsOfListedEndpoints) {
  const auto found = parse_endpoint_file(
      "endpoints:\n  - {address: 192.0.2.2, port: 80, weight: 3, zone: a, priority: 1, health_port: 81}\n"
      "  - {address: '2001:db8::1', port: 80}\n",
      "e.yaml", uint16_t{99});
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->endpoints.size(), 2u);
  EXPECT_EQ(found->endpoints[0].weight, 3u);
  EXPECT_EQ(found->endpoints[0].zone, "a");
  EXPECT_EQ(found->endpoints[0].priority, 1u);
  EXPECT_EQ(found->check_ports, (std::vector<uint16_t>{81, 99}));
  const auto none = parse_endpoint_file("{\"endpoints\": []}", "e.json", {});
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_TRUE(none->endpoints.empty());
}

TEST(EndpointFile, IsTakenWholeOrNotAtAll) {
  const std::map<std::string, std::string> cases{
      {"", "e.yaml: the file holds nothing; accepted: a list endpoints"},
      {"endpoints:\n", "e.yaml:2:1: endpoints: found nothing; accepted: a list of maps"},
      {"[]", "e.yaml:1:1: found a list; accepted: a map"},
      {"{}", "e.yaml:1:1: endpoints: found nothing; accepted: a list of maps"},
      {"endpoint: []", "e.yaml:1:1: found unknown field 'endpoint', did you mean 'endpoints'?"},
      {"endpoints: [{address: 192.0.2.1}]", "e.yaml:1:13: endpoints[0].port: found nothing"},
      {"endpoints: [{address: host, port: 80}]", "endpoints[0].address: found 'host'"},
      {"endpoints: [{address: 192.0.2.1, port: 80}, {address: 192.0.2.1, port: 80}]",
       "endpoints[1]: found 192.0.2.1:80 a second time"},
      {"endpoints: [{address: 192.0.2.1, port: 80}", "e.yaml:1:"},
  };
  for (const auto& [text, expected] : cases) {
    const auto found = parse_endpoint_file(text, "e.yaml", {});
    ASSERT_FALSE(found) << text;
    EXPECT_THAT(found.error().message, HasSubstr(expected));
  }
}

}  // namespace
}  // namespace sluice
