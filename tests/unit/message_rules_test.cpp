#include "dataplane/l7/message_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/nghttp2_hpack.h"

namespace sluice::l7 {
namespace {

using namespace std::string_literals;

struct Case {
  const char* what;
  TestFields fields;
  const char* error = nullptr;  ///< part of the reason; nullptr: well formed
};

TestFields get_and(TestFields more) {
  TestFields fields = {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a.example"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}
TestFields ok_and(TestFields more) {
  more.insert(more.begin(), {":status", "200"});
  return more;
}

void expect_all(const std::vector<Case>& cases, const auto& check) {
  for (const Case& c : cases) {
    const char* error = check(list_of(c.fields));
    if (c.error == nullptr) {
      EXPECT_STREQ(error, nullptr) << c.what;
    } else {
      EXPECT_THAT(std::string(error == nullptr ? "no error" : error), testing::HasSubstr(c.error)) << c.what;
    }
  }
}
const char* request_error(const HeaderList& fields) {
  return check_request(fields).error;
}
const char* response_error(const HeaderList& fields) {
  return check_response(fields).error;
}

// RFC 9113 section 8.3.1.
TEST(MessageRules, PseudoFieldsOfRequests) {
  expect_all(
      {
          {"the usual four", get_and({})},
          {"in another order",
           {{":authority", "a"}, {":path", "/"}, {":scheme", "https"}, {":method", "POST"}}},
          {"host instead of :authority",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "a"}}},
          {"an asterisk for OPTIONS",
           {{":method", "OPTIONS"}, {":scheme", "http"}, {":path", "*"}, {":authority", "a"}}},
          {"a query", {{":method", "GET"}, {":scheme", "http"}, {":path", "/?a=b"}, {":authority", "a"}}},
          {"an address and port",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "[2001:db8::1]:80"}}},
          {"no :method", {{":scheme", "http"}, {":path", "/"}, {":authority", "a"}}, ":method is missing"},
          {"no :scheme", {{":method", "GET"}, {":path", "/"}, {":authority", "a"}}, ":scheme is missing"},
          {"no :path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}}, ":path is missing"},
          {"no authority", {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}}, "are missing"},
          {"nothing", {}, ":method is missing"},
          {"an empty :method",
           {{":method", ""}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
           ":method is missing"},
          {"an empty :path",
           {{":method", "GET"}, {":scheme", "http"}, {":path", ""}, {":authority", "a"}},
           ":path"},
          {"an empty :authority beside a host",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", ""}, {"host", "a"}},
           "no authority"},
          {"an empty :authority",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", ""}},
           "no authority"},
          {":method twice", get_and({{":method", "GET"}}), "twice"},
          {":path twice", get_and({{":path", "/"}}), "twice"},
          {":authority twice", get_and({{":authority", "a.example"}}), "twice"},
          {":scheme twice", get_and({{":scheme", "http"}}), "twice"},
          {":status", get_and({{":status", "200"}}), ":status in a request"},
          {"an unknown pseudo-header field", get_and({{":foo", "bar"}}), "field name"},
          {"a lone colon", get_and({{":", "bar"}}), "field name"},
          {"a pseudo-header field behind a regular one",
           {{":method", "GET"}, {":scheme", "http"}, {"x", "y"}, {":path", "/"}, {":authority", "a"}},
           "behind a regular one"},
          {"an asterisk for GET",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "*"}, {":authority", "a"}},
           "no path"},
          {"a path in absolute form",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "http://b/"}, {":authority", "a"}},
           "no path"},
          {"a path with a fragment",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/#x"}, {":authority", "a"}},
           "no path"},
          {"user information",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "u@a"}},
           "no authority"},
          {"a host that differs from :authority", get_and({{"host", "b.example"}}), "differ"},
          {"the same host in capitals", get_and({{"host", "A.Example"}})},
          {"host twice",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "a"}, {"host", "a"}},
           "host twice"},
          {"an empty host before another", get_and({{"host", ""}, {"host", "a.example"}}), "host twice"},
          {"an empty host", get_and({{"host", ""}}), "no authority"},
      },
      request_error);
}

// RFC 9113 section 8.5 and RFC 8441 section 4.
TEST(MessageRules, Connect) {
  expect_all(
      {
          {"CONNECT", {{":method", "CONNECT"}, {":authority", "a:443"}}},
          {"with a path", {{":method", "CONNECT"}, {":authority", "a:443"}, {":path", "/"}}, "neither"},
          {"with a scheme", {{":method", "CONNECT"}, {":authority", "a"}, {":scheme", "http"}}, "neither"},
          {"without authority", {{":method", "CONNECT"}}, "takes :authority"},
          {"with a host only", {{":method", "CONNECT"}, {"host", "a"}}, "takes :authority"},
          {"with an empty authority", {{":method", "CONNECT"}, {":authority", ""}}, "no authority"},
          {"extended",
           {{":method", "CONNECT"},
            {":protocol", "websocket"},
            {":scheme", "https"},
            {":path", "/chat"},
            {":authority", "a"}}},
          {"extended without a path",
           {{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":authority", "a"}},
           ":path"},
          {"extended without a scheme",
           {{":method", "CONNECT"}, {":protocol", "websocket"}, {":path", "/"}, {":authority", "a"}},
           ":scheme"},
          {"with an empty :protocol",
           {{":method", "CONNECT"},
            {":protocol", ""},
            {":scheme", "http"},
            {":path", "/"},
            {":authority", "a"}},
           ":protocol"},
          {":protocol with another method", get_and({{":protocol", "websocket"}}), "without CONNECT"},
      },
      request_error);
  EXPECT_TRUE(check_request(list_of({{":method", "CONNECT"}, {":authority", "a:443"}})).connect);
  EXPECT_FALSE(check_request(list_of(get_and({}))).connect);
}

// RFC 9113 sections 8.2.1 and 8.2.2.
TEST(MessageRules, FieldsOfRequests) {
  expect_all(
      {
          {"usual ones",
           get_and({{"accept", "*/*"}, {"x-empty", ""}, {"te", "trailers"}, {"cookie", "a=b; c"}})},
          {"a token's every character", get_and({{"!#$%&'*+-.^_`|~09az", "x"}})},
          {"bytes above ASCII in a value", get_and({{"x", "\xc3\xa4"}})},
          {"a tab within a value", get_and({{"x", "a\tb"}})},
          {"a capital letter in a name", get_and({{"X", "y"}}), "field name"},
          {"a capital letter in a known name", get_and({{"Transfer-encoding", "chunked"}}), "field name"},
          {"an empty name", get_and({{"", "y"}}), "field name"},
          {"a space in a name", get_and({{"x y", "z"}}), "field name"},
          {"a space behind a known name", get_and({{"transfer-encoding ", "chunked"}}), "field name"},
          {"a colon in a name", get_and({{"x:y", "z"}}), "field name"},
          {"a line break in a name", get_and({{"x\r\ny", "z"}}), "field name"},
          {"NUL in a name", get_and({{"x\0y"s, "z"}}), "field name"},
          {"bytes above ASCII in a name", get_and({{"\xc3\xa4", "z"}}), "field name"},
          {"DEL in a name", get_and({{"x\x7f", "z"}}), "field name"},
          {"CR in a value", get_and({{"x", "a\rb"}}), "field value"},
          {"LF in a value", get_and({{"x", "a\nb"}}), "field value"},
          {"NUL in a value", get_and({{"x", "a\0b"s}}), "field value"},
          {"a space before a value", get_and({{"x", " a"}}), "field value"},
          {"a space behind a value", get_and({{"x", "a "}}), "field value"},
          {"a tab before a value", get_and({{"x", "\ta"}}), "field value"},
          {"a tab behind a value", get_and({{"x", "a\t"}}), "field value"},
          {"nothing but a space", get_and({{"x", " "}}), "field value"},
          {"CR in :path",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/\r"}, {":authority", "a"}},
           "field value"},
          {"connection", get_and({{"connection", "close"}}), "connection-specific"},
          {"keep-alive", get_and({{"keep-alive", "1"}}), "connection-specific"},
          {"proxy-connection", get_and({{"proxy-connection", "close"}}), "connection-specific"},
          {"transfer-encoding", get_and({{"transfer-encoding", "chunked"}}), "connection-specific"},
          {"upgrade", get_and({{"upgrade", "h2c"}}), "connection-specific"},
          {"te: gzip", get_and({{"te", "gzip"}}), "te other"},
          {"te: trailers, gzip", get_and({{"te", "trailers, gzip"}}), "te other"},
          {"an empty te", get_and({{"te", ""}}), "te other"},
      },
      request_error);
}

// What would be two messages, or another one, for an HTTP/1.1 server behind a proxy that puts texts together.
TEST(MessageRules, SmugglingShapes) {
  expect_all(
      {
          {"a request line in :method",
           {{":method", "GET / HTTP/1.1"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
           ":method is no token"},
          {"a space in :path",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/ HTTP/1.1"}, {":authority", "a"}},
           "no path"},
          {"a tab in :path",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/\tx"}, {":authority", "a"}},
           "no path"},
          {"a line break in :path",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/\r\nhost: b"}, {":authority", "a"}},
           "field value"},
          {"a URI in :scheme",
           {{":method", "GET"}, {":scheme", "http://b/?"}, {":path", "/"}, {":authority", "a"}},
           "no scheme"},
          {"a digit before :scheme",
           {{":method", "GET"}, {":scheme", "1http"}, {":path", "/"}, {":authority", "a"}},
           "no scheme"},
          {"a path in :authority",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a/b"}},
           "no authority"},
          {"a space in :authority",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a b"}},
           "no authority"},
          {"bytes above ASCII in :authority",
           {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "\xc3\xa4"}},
           "no authority"},
          {"a backslash in host", get_and({{"host", "a\\b"}}), "no authority"},
          {"content-length with a plus", get_and({{"content-length", "+1"}}), "no number"},
          {"content-length with a minus", get_and({{"content-length", "-1"}}), "no number"},
          {"content-length in hex", get_and({{"content-length", "0x10"}}), "no number"},
          {"content-length with a space within", get_and({{"content-length", "1 2"}}), "no number"},
          {"an empty content-length", get_and({{"content-length", ""}}), "no number"},
          {"a list of equal content-lengths", get_and({{"content-length", "5, 5"}}), "no number"},
          {"content-length beyond 63 bits", get_and({{"content-length", "9223372036854775808"}}),
           "no number"},
          {"two content-lengths", get_and({{"content-length", "1"}, {"content-length", "2"}}), "twice"},
          {"two equal content-lengths", get_and({{"content-length", "1"}, {"content-length", "1"}}), "twice"},
          {"content-length and transfer-encoding",
           get_and({{"content-length", "1"}, {"transfer-encoding", "chunked"}}), "connection-specific"},
      },
      request_error);
}

// RFC 9113 section 8.3.2.
TEST(MessageRules, Responses) {
  expect_all(
      {
          {"200", ok_and({})},
          {"fields", ok_and({{"content-type", "text/plain"}, {"trailer", "x"}})},
          {"an informational one", {{":status", "103"}, {"link", "</x>"}}},
          {"599", {{":status", "599"}}},
          {"no :status", {{"x", "y"}}, ":status is missing"},
          {"nothing", {}, ":status is missing"},
          {":status twice", ok_and({{":status", "200"}}), "twice"},
          {":status behind a field", {{"x", "y"}, {":status", "200"}}, "behind a regular one"},
          {":path", ok_and({{":path", "/"}}), "of a request"},
          {":method", ok_and({{":method", "GET"}}), "of a request"},
          {"an unknown pseudo-header field", ok_and({{":foo", "bar"}}), "field name"},
          {"two digits", {{":status", "20"}}, "no status code"},
          {"four digits", {{":status", "2000"}}, "no status code"},
          {"letters", {{":status", "2xx"}}, "no status code"},
          {"099", {{":status", "099"}}, "no status code"},
          {"an empty :status", {{":status", ""}}, "no status code"},
          {"a sign", {{":status", "+20"}}, "no status code"},
          {"101", {{":status", "101"}}, "101"},
          {"connection", ok_and({{"connection", "close"}}), "connection-specific"},
          {"transfer-encoding", ok_and({{"transfer-encoding", "chunked"}}), "connection-specific"},
          {"a capital letter", ok_and({{"Server", "x"}}), "field name"},
          {"a line break", ok_and({{"x", "a\r\nset-cookie: b"}}), "field value"},
          {"two content-lengths", ok_and({{"content-length", "1"}, {"content-length", "1"}}), "twice"},
          {"no number in content-length", ok_and({{"content-length", "many"}}), "no number"},
      },
      response_error);
}

// RFC 9113 section 8.1, RFC 9110 section 6.5.1.
TEST(MessageRules, Trailers) {
  expect_all(
      {
          {"none", {}},
          {"those of gRPC", {{"grpc-status", "0"}, {"grpc-message", ""}}},
          {":status", {{":status", "200"}}, "pseudo-header field in trailers"},
          {":path", {{":path", "/"}}, "pseudo-header field in trailers"},
          {"an unknown pseudo-header field", {{":foo", "bar"}}, "field name"},
          {"content-length", {{"content-length", "1"}}, "does not belong"},
          {"host", {{"host", "a"}}, "does not belong"},
          {"transfer-encoding", {{"transfer-encoding", "chunked"}}, "connection-specific"},
          {"connection", {{"connection", "close"}}, "connection-specific"},
          {"a capital letter", {{"Grpc-status", "0"}}, "field name"},
          {"a line break", {{"grpc-message", "a\nb"}}, "field value"},
      },
      check_trailers);
}

TEST(MessageRules, WhatAHeadSays) {
  MessageHead head = check_request(list_of(get_and({{"content-length", "9223372036854775807"}})));
  EXPECT_EQ(head.content_length, 9223372036854775807);
  EXPECT_FALSE(head.head_method);
  head =
      check_request(list_of({{":method", "HEAD"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}}));
  EXPECT_TRUE(head.head_method);
  EXPECT_EQ(head.content_length, -1);
  head = check_response(list_of({{":status", "404"}, {"content-length", "0"}}));
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(head.content_length, 0);
}

// Each byte value, at each place.
TEST(MessageRules, AllCharacters) {
  constexpr std::string_view kAllowed = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
  for (int c = 0; c < 256; ++c) {
    const auto character = static_cast<char>(c);
    const std::string in_the_middle = "a"s + character + "a";
    EXPECT_EQ(is_lower_field_name(in_the_middle), kAllowed.find(character) != std::string_view::npos) << c;
    EXPECT_EQ(is_field_value(in_the_middle), c != 0 && c != '\r' && c != '\n') << c;
    const bool may_stand_at_the_end = c != 0 && c != '\r' && c != '\n' && c != ' ' && c != '\t';
    EXPECT_EQ(is_field_value("a"s + character), may_stand_at_the_end) << c;
    EXPECT_EQ(is_field_value(character + "a"s), may_stand_at_the_end) << c;
    EXPECT_EQ(parse_content_length("1"s + character).has_value(), c >= '0' && c <= '9') << c;
    const auto accepts = [](const std::string& path, const std::string& authority) {
      return check_request(
                 list_of(
                     {{":method", "GET"}, {":scheme", "http"}, {":path", path}, {":authority", authority}}))
                 .error == nullptr;
    };
    EXPECT_EQ(accepts("/"s + character + "a", "a"), c > ' ' && c != 0x7f && c != '#') << c;
    EXPECT_EQ(accepts("/", "a"s + character + "a"),
              c > ' ' && c < 0x7f && "@/?#\\"s.find(character) == std::string::npos)
        << c;
  }
}

}  // namespace
}  // namespace sluice::l7
