#include "control/proxy/otlp_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "dataplane/l7/span_record.h"

namespace sluice {
namespace {

using l7::Outcome;
using l7::SpanError;
using l7::SpanKind;
using l7::SpanRecord;
using l7::SpanText;
using nlohmann::json;

/// One span as another reader of JSON sees it, by way of a ring as in the proxy.
json encoded(const SpanRecord& record, const std::map<SpanText, std::string>& texts = {}) {
  l7::ByteRing ring(l7::ByteRing::kMinBytes * 4);
  l7::SpanTexts collected;
  for (const auto& [which, text] : texts) collected.add(which, text);
  push_span(ring, record, collected);
  std::string text = otlp_head({"edge", "p1", "1.2"});
  append_otlp_span(text, ring.next().value());
  text += kOtlpTail;
  return json::parse(text);
}

json span_of(const json& request) {
  return request.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").at(0);
}

/// Attributes by key; a number is written as text, which is told apart by its "#".
std::map<std::string, std::string> attributes_of(const json& holder) {
  std::map<std::string, std::string> found;
  for (const json& item : holder.at("attributes")) {
    const json& value = item.at("value");
    EXPECT_EQ(value.size(), 1u);
    const bool added = found
                           .emplace(item.at("key"), value.contains("stringValue")
                                                        ? value["stringValue"].get<std::string>()
                                                        : "#" + value.at("intValue").get<std::string>())
                           .second;
    EXPECT_TRUE(added) << item;
  }
  return found;
}

SpanRecord server_span() {
  SpanRecord span;
  span.trace = {0x0af7651916cd43dd, 0x8448eb211c80319c};
  span.span = 0xb7ad6b7169203331;
  span.parent = 0x00f067aa0ba902b7;
  span.start_ns = 1'800'000'000'000'000'001;
  span.end_ns = 1'800'000'000'250'000'000;
  span.peer = {IpAddress::v4(192, 0, 2, 7), 0};
  span.status = 200;
  span.tries = 1;
  return span;
}

SpanRecord client_span() {
  SpanRecord span = server_span();
  span.kind = SpanKind::kClient;
  span.tries = 0;
  span.peer = {IpAddress::v4(198, 51, 100, 1), 8080};
  return span;
}

TEST(OtlpEncoder, ARequestHasItsResourceItsScopeAndItsSpans) {
  const json request = encoded(server_span());
  const json& resource = request["resourceSpans"][0]["resource"];
  EXPECT_EQ(attributes_of(resource),
            (std::map<std::string, std::string>{
                {"service.name", "edge"}, {"service.instance.id", "p1"}, {"service.version", "1.2"}}));
  EXPECT_EQ(request["resourceSpans"][0]["scopeSpans"][0]["scope"],
            (json{{"name", "sluice-proxy"}, {"version", "1.2"}}));
  std::string two = otlp_head({"edge", "p1", "1.2"});
  l7::ByteRing ring(l7::ByteRing::kMinBytes);
  push_span(ring, server_span(), {});
  const auto message = ring.next().value();
  append_otlp_span(two, message);
  two += ',';
  append_otlp_span(two, message);
  two += kOtlpTail;
  EXPECT_EQ(json::parse(two)["resourceSpans"][0]["scopeSpans"][0]["spans"].size(), 2u);
}

TEST(OtlpEncoder, IdsAreHexadecimalAndTimesAreText) {
  const json span = span_of(encoded(server_span(), {{SpanText::kTracestate, "rojo=1"}}));
  EXPECT_EQ(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(span["spanId"], "b7ad6b7169203331");
  EXPECT_EQ(span["parentSpanId"], "00f067aa0ba902b7");
  EXPECT_EQ(span["traceState"], "rojo=1");
  EXPECT_EQ(span["startTimeUnixNano"], "1800000000000000001");
  EXPECT_EQ(span["endTimeUnixNano"], "1800000000250000000");
  EXPECT_EQ(span["kind"], 2);
  EXPECT_FALSE(span.contains("status"));
}

TEST(OtlpEncoder, ARootHasNoParent) {
  SpanRecord record = server_span();
  record.parent = 0;
  const json span = span_of(encoded(record));
  EXPECT_FALSE(span.contains("parentSpanId"));
  EXPECT_FALSE(span.contains("traceState"));
}

TEST(OtlpEncoder, AServerSpanSaysWhatWasAskedAndWhatCameOfIt) {
  const json span = span_of(encoded(server_span(), {{SpanText::kMethod, "GET"},
                                                    {SpanText::kPath, "/cart"},
                                                    {SpanText::kScheme, "https"},
                                                    {SpanText::kAuthority, "shop.example.com:8443"},
                                                    {SpanText::kUserAgent, "curl/8"},
                                                    {SpanText::kListener, "front"},
                                                    {SpanText::kVirtualHost, "shop"},
                                                    {SpanText::kRoute, "all"},
                                                    {SpanText::kCluster, "pages"}}));
  EXPECT_EQ(span["name"], "GET");
  EXPECT_EQ(attributes_of(span), (std::map<std::string, std::string>{{"http.request.method", "GET"},
                                                                     {"url.scheme", "https"},
                                                                     {"url.path", "/cart"},
                                                                     {"server.address", "shop.example.com"},
                                                                     {"server.port", "#8443"},
                                                                     {"client.address", "192.0.2.7"},
                                                                     {"user_agent.original", "curl/8"},
                                                                     {"network.protocol.version", "2"},
                                                                     {"http.response.status_code", "#200"},
                                                                     {"sluice.listener", "front"},
                                                                     {"sluice.virtual_host", "shop"},
                                                                     {"sluice.route", "all"},
                                                                     {"sluice.cluster", "pages"},
                                                                     {"sluice.outcome", "answered"},
                                                                     {"sluice.tries", "#1"}}));
}

TEST(OtlpEncoder, AClientSpanSaysWhichEndpointAndWhichTry) {
  SpanRecord record = client_span();
  record.tries = 2;
  record.http_version = 1;
  const json span = span_of(encoded(
      record, {{SpanText::kMethod, "GET"}, {SpanText::kPath, "/new/cart"}, {SpanText::kCluster, "pages"}}));
  EXPECT_EQ(span["kind"], 3);
  EXPECT_EQ(attributes_of(span),
            (std::map<std::string, std::string>{{"http.request.method", "GET"},
                                                {"server.address", "198.51.100.1"},
                                                {"server.port", "#8080"},
                                                {"url.full", "http://198.51.100.1:8080/new/cart"},
                                                {"http.request.resend_count", "#2"},
                                                {"network.protocol.version", "1.1"},
                                                {"http.response.status_code", "#200"},
                                                {"sluice.cluster", "pages"}}));
}

TEST(OtlpEncoder, ATryOverTlsIsOfHttps) {
  SpanRecord record = client_span();
  record.secure = true;
  record.peer = {IpAddress::parse("2001:db8::1").value(), 443};
  const auto attributes = attributes_of(span_of(encoded(record, {{SpanText::kPath, "/cart"}})));
  EXPECT_EQ(attributes.at("url.full"), "https://[2001:db8::1]:443/cart");
  EXPECT_EQ(attributes.at("server.address"), "2001:db8::1");
}

TEST(OtlpEncoder, ACallIsNamedByItsServiceAndMethod) {
  SpanRecord record = server_span();
  record.grpc = true;
  record.grpc_status = 5;
  const json span =
      span_of(encoded(record, {{SpanText::kMethod, "POST"}, {SpanText::kPath, "/shop.Catalogue/Find"}}));
  EXPECT_EQ(span["name"], "shop.Catalogue/Find");
  const auto attributes = attributes_of(span);
  EXPECT_EQ(attributes.at("rpc.system"), "grpc");
  EXPECT_EQ(attributes.at("rpc.service"), "shop.Catalogue");
  EXPECT_EQ(attributes.at("rpc.method"), "Find");
  EXPECT_EQ(attributes.at("rpc.grpc.status_code"), "#5");
}

TEST(OtlpEncoder, MethodsThatAreNotKnownMakeNoNames) {
  const json span = span_of(encoded(server_span(), {{SpanText::kMethod, "BREW"}}));
  EXPECT_EQ(span["name"], "HTTP");
  const auto attributes = attributes_of(span);
  EXPECT_EQ(attributes.at("http.request.method"), "_OTHER");
  EXPECT_EQ(attributes.at("http.request.method_original"), "BREW");
}

struct Judged {
  const char* what;
  SpanRecord span;
  bool error;
  const char* type;
};

SpanRecord with(SpanRecord span, uint16_t status, int grpc_status, Outcome outcome, SpanError error) {
  span.status = status;
  span.grpc = grpc_status >= 0;
  if (grpc_status >= 0) span.grpc_status = static_cast<uint8_t>(grpc_status);
  span.outcome = outcome;
  span.error = error;
  return span;
}

TEST(OtlpEncoder, WhatIsAnErrorFollowsTheConventions) {
  using enum Outcome;
  constexpr SpanError kNone = SpanError::kNone;
  const std::vector<Judged> cases{
      {"a good answer", with(server_span(), 200, -1, kAnswered, kNone), false, ""},
      {"the client's fault, seen by the server", with(server_span(), 404, -1, kAnswered, kNone), false, ""},
      {"the same, seen by the caller", with(client_span(), 404, -1, kAnswered, kNone), true, "404"},
      {"the server's fault", with(server_span(), 500, -1, kAnswered, kNone), true, "500"},
      {"the proxy's own 503", with(server_span(), 503, -1, kNoEndpoint, kNone), true, "no_endpoint"},
      {"the proxy's own 404", with(server_span(), 404, -1, kNoRoute, kNone), false, "no_route"},
      {"broken off after its head", with(server_span(), 200, -1, kUpstreamReset, kNone), true,
       "upstream_reset"},
      {"the client went", with(server_span(), 0, -1, kClientGone, kNone), false, ""},
      {"grpc, not found", with(server_span(), 200, 5, kAnswered, kNone), false, ""},
      {"the same, seen by the caller", with(client_span(), 200, 5, kAnswered, kNone), true, "NOT_FOUND"},
      {"grpc, internal", with(server_span(), 200, 13, kAnswered, kNone), true, "INTERNAL"},
      {"grpc, good", with(client_span(), 200, 0, kAnswered, kNone), false, ""},
      {"a try that was reset", with(client_span(), 0, -1, kAnswered, SpanError::kReset), true, "reset"},
      {"a try that was refused", with(client_span(), 0, -1, kAnswered, SpanError::kRefused), true, "refused"},
      {"a try that took too long", with(client_span(), 0, -1, kAnswered, SpanError::kTimeout), true,
       "timeout"},
      {"a try that nobody waits for", with(client_span(), 0, -1, kAnswered, SpanError::kCancelled), false,
       "cancelled"},
  };
  for (const Judged& item : cases) {
    const json span = span_of(encoded(item.span));
    const auto attributes = attributes_of(span);
    const auto type = attributes.find("error.type");
    EXPECT_EQ(type == attributes.end() ? "" : type->second, item.type) << item.what;
    EXPECT_EQ(span.contains("status") ? span["status"].dump() : "", item.error ? R"({"code":2})" : "")
        << item.what;
    EXPECT_EQ(attributes.contains("http.response.status_code"), item.span.status != 0) << item.what;
  }
}

TEST(OtlpEncoder, AuthoritiesAreSplit) {
  const std::map<std::string, std::pair<std::string, std::string>> cases{
      {"example.com", {"example.com", ""}},     {"example.com:80", {"example.com", "#80"}},
      {"[2001:db8::1]", {"2001:db8::1", ""}},   {"[2001:db8::1]:443", {"2001:db8::1", "#443"}},
      {"example.com:x", {"example.com:x", ""}}, {"example.com:99999", {"example.com:99999", ""}},
  };
  for (const auto& [authority, expected] : cases) {
    const auto attributes =
        attributes_of(span_of(encoded(server_span(), {{SpanText::kAuthority, authority}})));
    EXPECT_EQ(attributes.at("server.address"), expected.first);
    const auto port = attributes.find("server.port");
    EXPECT_EQ(port == attributes.end() ? "" : port->second, expected.second) << authority;
  }
}

TEST(OtlpEncoder, AnythingFromAClientIsStillJsonAndNotTooLong) {
  std::string noise;
  for (int i = 0; i < 5000; ++i) noise += static_cast<char>(i * 7);
  const auto attributes = attributes_of(span_of(encoded(
      server_span(), {{SpanText::kPath, noise}, {SpanText::kUserAgent, noise}, {SpanText::kMethod, noise}})));
  EXPECT_FALSE(attributes.at("url.path").empty());
  // Each byte has become three at most.
  EXPECT_LE(attributes.at("url.path").size(), 3 * 1024u);
}

TEST(SpanRecord, ARingThatIsFullDropsAndCounts) {
  l7::ByteRing ring(l7::ByteRing::kMinBytes);
  for (int i = 0; i < 100; ++i) push_span(ring, server_span(), {});
  EXPECT_GT(ring.dropped(), 0u);
  int read = 0;
  while (ring.next()) ++read;
  EXPECT_EQ(read + static_cast<int>(ring.dropped()), 100);
}

}  // namespace
}  // namespace sluice
