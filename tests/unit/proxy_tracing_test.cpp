// What a proxy's file says of traces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/proxy_text.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::ProxyText;
using test::route_of;
using test::with_route;
using testing::HasSubstr;

Result<ProxyConfig> with_tracing(const std::string& fields) {
  ProxyText text;
  text.proxy = "tracing: {" + fields + "}\n";
  return parse_proxy_config(text.text(), "p.yaml");
}

TEST(ProxyConfig, TracingIsReadWhole) {
  const auto off = parse_proxy_config(ProxyText().text(), "p.yaml");
  ASSERT_TRUE(off);
  EXPECT_FALSE(off->tracing);
  EXPECT_FALSE(off->settings.tracing);

  const auto least = with_tracing("endpoint: 'http://collector:4318'");
  ASSERT_TRUE(least) << least.error().message;
  EXPECT_EQ(*least->tracing, (OtlpSettings{"collector", 4318, "/v1/traces", "sluice-proxy", 10s, {}}));
  EXPECT_TRUE(least->settings.tracing->follow_clients);
  EXPECT_EQ(least->settings.tracing->sample, SampleRatio::of_percent(100));

  const auto all = with_tracing(
      "endpoint: 'http://[::1]:99/otlp/v1?x=1', service_name: edge, sample_percent: 0.5, follow_clients: "
      "false, "
      "timeout: 2s, headers: [{name: X-Key, value: 'a b'}]");
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(*all->tracing, (OtlpSettings{"::1", 99, "/otlp/v1?x=1", "edge", 2s, {{"x-key", "a b"}}}));
  EXPECT_FALSE(all->settings.tracing->follow_clients);
  EXPECT_EQ(all->settings.tracing->sample, SampleRatio::of_percent(0.5));
}

TEST(ProxyConfig, TracingThatIsWrongIsRefusedWithItsPlace) {
  const std::map<std::string, std::pair<std::string, std::string>> cases{
      {"sample_percent: 1", {"p.yaml:1:10: tracing.endpoint: found nothing", "http://HOST:PORT"}},
      {"endpoint: 'https://c:1'",
       {"p.yaml:1:21: tracing.endpoint: found 'https://c:1'", "TLS to a collector"}},
      {"endpoint: 'http://c'", {"tracing.endpoint: found 'http://c'", "without a port"}},
      {"endpoint: 'http://c:0'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://:80'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://a b:80'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://user@c:80'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://[c]:80'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://::1'", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: c:4317", {"tracing.endpoint", "http://HOST:PORT"}},
      {"endpoint: 'http://c:1', sample_percent: 101", {"tracing.sample_percent: found '101'", "0 to 100"}},
      {"endpoint: 'http://c:1', sample_percent: nan", {"tracing.sample_percent: found 'nan'", "0 to 100"}},
      {"endpoint: 'http://c:1', timeout: 1ms", {"tracing.timeout: found '1ms'", "100ms"}},
      {"endpoint: 'http://c:1', service_name: ''", {"tracing.service_name", "1 to 255"}},
      {"endpoint: 'http://c:1', headers: [{name: 'a b', value: c}]",
       {"tracing.headers[0].name", "header field"}},
      {"endpoint: 'http://c:1', headers: [{name: Host, value: c}]",
       {"tracing.headers[0].name", "proxy sets"}},
      {"endpoint: 'http://c:1', headers: [{name: a, value: \"b\\r\\nc\"}]",
       {"tracing.headers[0].value", "visible"}},
      {"endpoint: 'http://c:1', headers: [{name: a}]", {"tracing.headers[0]", "value"}},
  };
  for (const auto& [fields, expected] : cases) {
    const auto config = with_tracing(fields);
    ASSERT_FALSE(config) << fields;
    EXPECT_THAT(config.error().message, HasSubstr(expected.first)) << fields;
    EXPECT_THAT(config.error().message, HasSubstr(expected.second)) << fields;
  }
}

TEST(ProxyConfig, ListenersAndRoutesHaveSharesOfTracesOfTheirOwn) {
  ProxyText text;
  text.listeners = with_route("{cluster: app, trace_percent: 12.5}");
  text.listeners.insert(text.listeners.find("    port:"), "    trace_percent: 0\n");
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  ASSERT_TRUE(config) << config.error().message;
  const auto& listener = config->settings.listeners[0];
  EXPECT_EQ(listener.trace_sample, SampleRatio::of_percent(0));
  EXPECT_EQ(listener.routes.virtual_hosts[0].routes[0].policy.trace_sample, SampleRatio::of_percent(12.5));
  EXPECT_FALSE(route_of("{cluster: app}")->policy.trace_sample);
}

}  // namespace
}  // namespace sluice
