#include "dataplane/l7/access_format.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "dataplane/l7/access_log.h"
#include "tests/unit/count_allocations.h"
#include "tests/unit/documentation.h"

namespace sluice::l7 {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using Members = std::vector<std::pair<std::string, std::string>>;

/// A request of which all is known.
struct FullRecord {
  HeaderList request;
  HeaderList response;
  HeaderList trailers;
  EndpointId endpoint{IpAddress::v4(192, 0, 2, 11), 50051};
  RequestRecord record;

  FullRecord() {
    request.add(HeaderToken::kMethod, "POST");
    request.add(HeaderToken::kScheme, "https");
    request.add(HeaderToken::kPath, "/internal/buy");
    request.add(HeaderToken::kAuthority, "backend");
    request.add(HeaderToken::kUserAgent, "agent \"7\"");
    request.add("x-tenant", "blue");
    response.add("x-cache", "hit");
    trailers.add(HeaderToken::kGrpcMessage, "gone");
    // 2026-11-21T12:57:52.058Z, of `date -u -d ... +%s`.
    record.began = std::chrono::system_clock::time_point(std::chrono::seconds(1795265872) + milliseconds(58));
    record.outcome = Outcome::kUpstreamReset;
    record.events = 1u << static_cast<uint32_t>(RequestEvent::kReset) |
                    1u << static_cast<uint32_t>(RequestEvent::kCutShort);
    record.status = 200;
    record.grpc_status = GrpcStatus::kUnavailable;
    record.client_address = "2001:db8::7";
    record.client_port = 4711;
    record.protocol = ClientProtocol::kHttp2;
    record.listener = "front";
    record.tls_version = "TLSv1.3";
    record.server_name = "shop.example.com";
    record.alpn = "h2";
    record.request = &request;
    record.path = "/shop/buy?n=1";
    record.authority = "shop.example.com:8443";
    record.request_bytes = 12;
    record.virtual_host = "shop";
    record.route = "buy";
    record.cluster = "carts";
    record.endpoint = &endpoint;
    record.tries = 2;
    record.response = &response;
    record.trailers = &trailers;
    record.response_bytes = 3456;
    record.whole = microseconds(1'234'567);
    record.until_request_end = microseconds(1'005);
    record.until_answer = microseconds(0);
    record.endpoint_took = microseconds(999'999);
    record.trace_id = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
                       0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36};
    record.span_id = {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7};
  }
};

/// One of which as little is known as can be.
struct EmptyRecord {
  HeaderList none;
  RequestRecord record;
  EmptyRecord() { record.request = &none; }
};

std::string written(const AccessFormat& format, const RequestRecord& record) {
  std::string line;
  format.write(record, line);
  return line;
}

std::string text_line(std::string_view format, const RequestRecord& record) {
  const auto made = AccessFormat::text(format);
  return made ? written(*made, record) : made.error().message;
}

std::string json_line(const Members& members, const RequestRecord& record) {
  const auto made = AccessFormat::json(members);
  return made ? written(*made, record) : made.error().message;
}

TEST(AccessFormat, EachFieldHasItsValue) {
  const std::map<std::string, std::string> expected{
      {"%START_TIME%", "2026-11-21T12:57:52.058Z"},
      {"%PROTOCOL%", "HTTP/2"},
      {"%RESPONSE_CODE%", "200"},
      {"%GRPC_STATUS%", "UNAVAILABLE"},
      {"%GRPC_STATUS_NUMBER%", "14"},
      {"%OUTCOME%", "upstream_reset"},
      {"%RESPONSE_FLAGS%", "reset,cut_short"},
      {"%BYTES_RECEIVED%", "12"},
      {"%BYTES_SENT%", "3456"},
      {"%DURATION%", "1234.567"},
      {"%REQUEST_DURATION%", "1.005"},
      {"%RESPONSE_DURATION%", "0.000"},
      {"%UPSTREAM_DURATION%", "999.999"},
      {"%DOWNSTREAM_REMOTE_ADDRESS%", "[2001:db8::7]:4711"},
      {"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "2001:db8::7"},
      {"%LISTENER%", "front"},
      {"%VIRTUAL_HOST%", "shop"},
      {"%ROUTE_NAME%", "buy"},
      {"%UPSTREAM_CLUSTER%", "carts"},
      {"%UPSTREAM_HOST%", "192.0.2.11:50051"},
      {"%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2"},
      {"%UPSTREAM_PATH%", "/internal/buy"},
      {"%DOWNSTREAM_TLS_VERSION%", "TLSv1.3"},
      {"%REQUESTED_SERVER_NAME%", "shop.example.com"},
      {"%DOWNSTREAM_ALPN%", "h2"},
      {"%TRACE_ID%", "4bf92f3577b34da6a3ce929d0e0e4736"},
      {"%SPAN_ID%", "00f067aa0ba902b7"},
      {"%REQ(:path)%", "/shop/buy?n=1"},
      {"%RESP(x-cache)%", "hit"},
      {"%TRAILER(grpc-message)%", "gone"},
  };
  const FullRecord full;
  for (const auto& [format, value] : expected)
    EXPECT_EQ(text_line(format, full.record), value + "\n") << format;
  EXPECT_EQ(expected.size(), kAccessFields) << "a field has no example here";
}

TEST(AccessFormat, WhatIsNotThereIsADash) {
  const EmptyRecord empty;
  for (const AccessFieldText& field : kAccessFieldTexts) {
    const std::string format = fmt::format("%{}{}%", field.name, field.argument ? "(x)" : "");
    const std::string line = text_line(format, empty.record);
    const std::map<std::string_view, std::string> always{{"START_TIME", "1970-01-01T00:00:00.000Z"},
                                                         {"PROTOCOL", "HTTP/2"},
                                                         {"OUTCOME", "answered"},
                                                         {"BYTES_RECEIVED", "0"},
                                                         {"BYTES_SENT", "0"},
                                                         {"DURATION", "0.000"},
                                                         {"UPSTREAM_REQUEST_ATTEMPT_COUNT", "0"},
                                                         {"DOWNSTREAM_REMOTE_ADDRESS", ":0"}};
    EXPECT_EQ(line, always.contains(field.name) ? always.at(field.name) + "\n" : "-\n") << format;
  }
}

TEST(AccessFormat, HeaderFieldsAreFoundByAnyCaseWithAnotherInTheirPlaceAndCutToLength) {
  const FullRecord full;
  EXPECT_EQ(text_line("%req(X-Tenant)% %REQ(:Method)% %REQ(:SCHEME)%", full.record), "blue POST https\n");
  EXPECT_EQ(text_line("%REQ(x-none?x-tenant)%", full.record), "blue\n");
  EXPECT_EQ(text_line("%REQ(x-none?x-none)%", full.record), "-\n");
  EXPECT_EQ(text_line("%REQ(x-tenant?:method):2%|%OUTCOME:4%", full.record), "bl|upst\n");
  EXPECT_EQ(text_line("\"%REQ(user-agent)%\"", full.record), "\"agent \\\"7\\\"\"\n");
}

TEST(AccessFormat, AsTheClientSentThemArePathAndAuthority) {
  const FullRecord full;
  EXPECT_EQ(text_line("%REQ(:path)% %REQ(:authority)%", full.record),
            "/shop/buy?n=1 shop.example.com:8443\n");
}

TEST(AccessFormat, ValuesHaveAnEnd) {
  FullRecord full;
  const std::string path(100'000, 'p');
  full.record.path = path;
  EXPECT_EQ(text_line("%REQ(:path)%", full.record).size(), AccessFormat::kMaxValueBytes + 1);
}

TEST(AccessFormat, PercentSignsStandTwice) {
  const FullRecord full;
  EXPECT_EQ(text_line("100%% %RESPONSE_CODE%%%", full.record), "100% 200%\n");
}

TEST(AccessFormat, ErrorsSayWhereAndWhatIsAccepted) {
  const auto error = [](std::string_view format) {
    const auto made = AccessFormat::text(format);
    return made ? "none" : made.error().message;
  };
  EXPECT_THAT(error("status %RESPONSE_KODE%"),
              HasSubstr("at character 8: found unknown field 'RESPONSE_KODE'; "
                        "accepted: START_TIME, "));
  EXPECT_THAT(error("a %OUTCOME"), HasSubstr("at character 3: found a '%' without a second one"));
  EXPECT_THAT(error("%OUTCOME(x)%"), HasSubstr("at character 9: found '(' behind OUTCOME"));
  EXPECT_THAT(error("%REQ%"), HasSubstr("at character 5: found REQ without the name of a header field"));
  EXPECT_THAT(error("%REQ(x"), HasSubstr("at character 5: found REQ without the name"));
  EXPECT_THAT(error("%REQ()%"), HasSubstr("at character 6: found ''; accepted: the name of a header field"));
  EXPECT_THAT(error("%REQ(a?b c)%"), HasSubstr("at character 8: found 'b c'; accepted: the name"));
  EXPECT_THAT(error("%REQ(a)x%"), HasSubstr("at character 8: found no '%' at the end of field REQ"));
  EXPECT_THAT(error("%REQ(a):0%"), HasSubstr("at character 9: found no number of bytes"));
  EXPECT_THAT(error("%REQ(a):5000%"), HasSubstr("accepted: 1 to 4096"));
  EXPECT_THAT(error("%REQ(a):5"), HasSubstr("found no '%' at the end"));
  EXPECT_THAT(error("%%%"), HasSubstr("at character 3: found a '%' without a second one"));
  EXPECT_THAT(error("two\nlines %OUTCOME%"), HasSubstr("at character 4: found a control character"));
  EXPECT_THAT(error(""), HasSubstr("empty format"));
}

TEST(AccessFormat, JsonHasNumbersStringsAndNulls) {
  const FullRecord full;
  const EmptyRecord empty;
  const Members members{{"status", "%RESPONSE_CODE%"},
                        {"host", "%UPSTREAM_HOST%"},
                        {"ms", "%DURATION%"},
                        {"call \"x\"", "%REQ(:method)% \"%REQ(user-agent)%\""},
                        {"fixed", "edge-1"}};
  EXPECT_EQ(json_line(members, full.record),
            "{\"status\":200,\"host\":\"192.0.2.11:50051\",\"ms\":1234.567,"
            "\"call \\\"x\\\"\":\"POST \\\"agent \\\"7\\\"\\\"\",\"fixed\":\"edge-1\"}\n");
  EXPECT_EQ(json_line(members, empty.record),
            "{\"status\":null,\"host\":null,\"ms\":0.000,\"call \\\"x\\\"\":\"- "
            "\\\"-\\\"\",\"fixed\":\"edge-1\"}\n");
  EXPECT_THAT(json_line({{"a", "%OUTCOME%"}, {"b", "%X%"}}, full.record), HasSubstr("'b': at character 1"));
  EXPECT_THAT(json_line({}, full.record), HasSubstr("no member"));
}

TEST(AccessFormat, TheDefaultsAreGood) {
  const FullRecord full;
  EXPECT_EQ(text_line(AccessFormat::kDefaultText, full.record),
            "2026-11-21T12:57:52.058Z [2001:db8::7]:4711 \"POST /shop/buy?n=1 HTTP/2\" "
            "\"shop.example.com:8443\" 200 "
            "UNAVAILABLE upstream_reset reset,cut_short 12 3456 1234.567 999.999 buy carts 192.0.2.11:50051 "
            "2 \"-\" "
            "\"agent \\\"7\\\"\"\n");
  const auto made = AccessFormat::json(AccessFormat::default_members());
  ASSERT_TRUE(made);
  const auto parsed = nlohmann::json::parse(written(*made, full.record));
  EXPECT_EQ(parsed.size(), AccessFormat::default_members().size());
  EXPECT_EQ(parsed["path"], "/shop/buy?n=1");
}

TEST(AccessFormat, TellsWhichFieldsOfAnswersItNeeds) {
  const auto made = AccessFormat::text("%RESP(X-Cache?server)% %TRAILER(x-cache)% %REQ(x-other)%");
  ASSERT_TRUE(made);
  ASSERT_EQ(made->response_fields().size(), 2u);
  EXPECT_EQ(made->response_fields()[0].name, "x-cache");
  EXPECT_EQ(made->response_fields()[1].token, HeaderToken::kServer);
}

TEST(AccessFormat, ALineTakesNoMemoryOfItsOwn) {
  const FullRecord full;
  const auto text = AccessFormat::text(AccessFormat::kDefaultText);
  const auto json = AccessFormat::json(AccessFormat::default_members());
  std::string line;
  line.reserve(4096);
  const uint64_t before = allocations_so_far();
  text->write(full.record, line);
  json->write(full.record, line);
  EXPECT_EQ(allocations_so_far(), before);
}

TEST(AccessLogFilter, SamplesAndTakesWhatFailedOrWasSlow) {
  Random random(3);
  FullRecord good;
  good.record.outcome = Outcome::kAnswered;
  good.record.grpc_status.reset();
  const FullRecord failed;
  const auto taken = [&random](const AccessLogFilter& filter, const RequestRecord& record) {
    int count = 0;
    for (int i = 0; i < 10'000; ++i) count += filter.takes(record, random) ? 1 : 0;
    return count;
  };
  EXPECT_EQ(taken({}, good.record), 10'000);
  EXPECT_EQ(taken({.sample_per_million = 0}, good.record), 0);
  EXPECT_EQ(taken({.sample_per_million = 0}, failed.record), 10'000);
  EXPECT_EQ(taken({.sample_per_million = 0, .always_failed = false}, failed.record), 0);
  EXPECT_NEAR(taken({.sample_per_million = 100'000}, good.record), 1000, 150);
  const AccessLogFilter slow{.sample_per_million = 0, .always_slower_than = milliseconds(1000)};
  EXPECT_EQ(taken(slow, good.record), 10'000) << "it took 1.2 s";
  good.record.whole = milliseconds(1000);
  EXPECT_EQ(taken(slow, good.record), 0);
}

TEST(RequestRecord, FailedIsWhatServersAndProxyGetWrong) {
  RequestRecord record;
  record.status = 404;
  EXPECT_FALSE(record.failed());
  record.status = 500;
  EXPECT_TRUE(record.failed());
  record.status = 200;
  record.grpc_status = GrpcStatus::kNotFound;
  EXPECT_FALSE(record.failed());
  record.grpc_status = GrpcStatus::kUnavailable;
  EXPECT_TRUE(record.failed());
  record.grpc_status.reset();
  record.outcome = Outcome::kDirect;
  EXPECT_FALSE(record.failed());
  record.outcome = Outcome::kNoRoute;
  EXPECT_TRUE(record.failed());
}

TEST(AccessLogDocs, ListEveryFieldAndFlagAsTheCodeHasItAndNoOther) {
  auto rows = sluice::test::documented_rows("access-log.md");
  // Rows of the configuration's fields are not the log's.
  std::erase_if(rows, [](const auto& row) {
    return row.first.ends_with("_percent") || row.first.starts_with("always_");
  });
  for (const AccessFieldText& field : kAccessFieldTexts) {
    const std::string name = fmt::format("%{}{}%", field.name, field.argument ? "(header)" : "");
    EXPECT_EQ(rows[name],
              fmt::format("| `{}` | {} | {} |", name, field.number ? "number" : "text", field.help));
    rows.erase(name);
  }
  for (const RequestEventText& event : kRequestEventTexts) {
    EXPECT_EQ(rows[std::string(event.name)], fmt::format("| `{}` | {} |", event.name, event.help));
    rows.erase(std::string(event.name));
  }
  for (const auto& [name, row] : rows) ADD_FAILURE() << "not in the code: " << row;
}

TEST(AccessLogDocs, NameTheMembersOfJson) {
  const std::string page = sluice::test::text_of(sluice::test::kDocs + "access-log.md");
  size_t at = page.find("with the members");
  for (const auto& [name, format] : AccessFormat::default_members()) {
    const size_t found = page.find("`" + name + "`", at);
    ASSERT_NE(found, std::string::npos) << name << " is not there, or not in its order";
    at = found;
  }
}

}  // namespace
}  // namespace sluice::l7
