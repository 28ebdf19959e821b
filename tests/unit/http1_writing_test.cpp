// Commands in, bytes out: how an HTTP/1 session writes responses and requests.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/http1_script.h"

namespace sluice::l7 {
namespace {

const Fields kPost = {{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};

Fields with(Fields fields, const Fields& more) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

// --- what a server writes

struct Response {
  const char* name;
  std::string request;
  Fields head;
  std::string body;
  Fields trailers;
  std::string written;
  bool closes;
};

TEST(Http1Session, WritesResponses) {
  const std::string old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
  const std::string old_keep = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
  const Response cases[] = {
      {"length",
       kGetText,
       {{":status", "200"}, {"content-length", "2"}, {"x-y", "z"}},
       "hi",
       {},
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-y: z\r\n\r\nhi",
       false},
      {"no length",
       kGetText,
       {{":status", "200"}},
       "hello world, good day",
       {},
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n15\r\nhello world, good day\r\n0\r\n\r\n",
       false},
      {"trailers",
       kGetText,
       {{":status", "200"}},
       "hi",
       {{"grpc-status", "0"}},
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n",
       false},
      {"trailers behind a length are left out",
       kGetText,
       {{":status", "200"}, {"content-length", "2"}},
       "hi",
       {{"grpc-status", "0"}},
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
       false},
      {"no body",
       kGetText,
       {{":status", "404"}},
       "",
       {},
       "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
       false},
      {"a status without a phrase",
       kGetText,
       {{":status", "299"}},
       "",
       {},
       "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n",
       false},
      {"204 has no length",
       kGetText,
       {{":status", "204"}, {"content-length", "0"}},
       "",
       {},
       "HTTP/1.1 204 No Content\r\n\r\n",
       false},
      {"304 keeps the length",
       kGetText,
       {{":status", "304"}, {"content-length", "9"}},
       "",
       {},
       "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
       false},
      {"HEAD keeps the length, and a body is not sent",
       "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
       {{":status", "200"}, {"content-length", "2"}},
       "hi",
       {},
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
       false},
      {"HEAD without a length",
       "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
       {{":status", "200"}},
       "",
       {},
       "HTTP/1.1 200 OK\r\n\r\n",
       false},
      {"a client that asks to close",
       "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
       kNoContent,
       "",
       {},
       "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
       true},
      {"HTTP/1.0",
       old,
       {{":status", "200"}, {"content-length", "2"}},
       "hi",
       {},
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
       true},
      {"HTTP/1.0 that keeps the connection",
       old_keep,
       {{":status", "200"}, {"content-length", "2"}},
       "hi",
       {},
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nhi",
       false},
      {"HTTP/1.0 without a length",
       old_keep,
       {{":status", "200"}},
       "hi",
       {{"x", "y"}},
       "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi",
       true},
      {"fields of the connection are not sent",
       kGetText,
       {{":status", "204"},
        {"connection", "x"},
        {"keep-alive", "1"},
        {"upgrade", "y"},
        {"transfer-encoding", "z"}},
       "",
       {},
       "HTTP/1.1 204 No Content\r\n\r\n",
       false},
      {"less than the length promised",
       kGetText,
       {{":status", "200"}, {"content-length", "3"}},
       "hi",
       {},
       "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi",
       true},
      {"more than the length promised",
       kGetText,
       {{":status", "200"}, {"content-length", "1"}},
       "hi",
       {},
       "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nh",
       true},
  };
  for (const Response& test : cases) {
    Http1Script server(Role::kServer);
    server.feed(test.request);
    ASSERT_TRUE(server.stream.remote_closed) << test.name;
    server.send(test.head, test.body.empty() && test.trailers.empty());
    if (!test.body.empty()) server.send_data(test.body, test.trailers.empty());
    if (!test.trailers.empty()) server.send(test.trailers, true);
    EXPECT_EQ(server.written(), test.written) << test.name;
    EXPECT_FALSE(server.stream.attached) << test.name;
    EXPECT_EQ(server.session.wants_close(), test.closes) << test.name;
    EXPECT_FALSE(server.session.wants_abort()) << test.name;
  }
}

TEST(Http1Session, WritesInformationalResponsesButNotToHttp10) {
  for (const bool old : {false, true}) {
    Http1Script server(Role::kServer);
    server.feed(old ? "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" : kGetText);
    server.send({{":status", "103"}, {"link", "x"}}, false);
    server.send(kNoContent, true);
    EXPECT_EQ(server.written(),
              old ? "HTTP/1.1 204 No Content\r\nconnection: keep-alive\r\n\r\n"
                  : "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
  }
}

TEST(Http1Session, HeadLargerThanAChunkIsWrittenWhole) {
  const std::string value(20000, 'v');
  Http1Script server(Role::kServer);
  server.feed(kGetText);
  server.send({{":status", "204"}, {"x", value}}, true);
  EXPECT_EQ(server.written(), "HTTP/1.1 204 No Content\r\nx: " + value + "\r\n\r\n");
}

// --- what a client writes

struct Request {
  const char* name;
  Fields head;
  std::string body;
  Fields trailers;
  std::string written;
};

TEST(Http1Session, WritesRequests) {
  const Request cases[] = {
      {"GET", with(kGet, {{"accept", "*/*"}}), "", {}, "GET / HTTP/1.1\r\nhost: a\r\naccept: */*\r\n\r\n"},
      {"host instead of an authority",
       {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"x", "y"}, {"host", "b"}},
       "",
       {},
       "GET / HTTP/1.1\r\nhost: b\r\nx: y\r\n\r\n"},
      {"host beside an authority", with(kGet, {{"host", "a"}}), "", {}, "GET / HTTP/1.1\r\nhost: a\r\n\r\n"},
      {"POST without a body", kPost, "", {}, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
      {"POST whose length is zero",
       with(kPost, {{"content-length", "0"}}),
       "",
       {},
       "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"},
      {"length",
       with(kPost, {{"content-length", "2"}}),
       "hi",
       {},
       "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"},
      {"no length",
       kPost,
       "hi",
       {},
       "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
      {"trailers",
       kPost,
       "hi",
       {{"x", "y"}},
       "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\n"},
      {"cookie crumbs",
       with(kGet, {{"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}}),
       "",
       {},
       "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1; b=2\r\nx: y\r\n\r\n"},
      {"te",
       with(kGet, {{"te", "trailers"}}),
       "",
       {},
       "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n"},
      {"asterisk",
       {{":method", "OPTIONS"}, {":scheme", "http"}, {":path", "*"}, {":authority", "a"}},
       "",
       {},
       "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n"},
  };
  for (const Request& test : cases) {
    Http1Script client(Role::kClient);
    ASSERT_TRUE(client.session.can_open());
    client.open(test.head, test.body.empty() && test.trailers.empty());
    EXPECT_FALSE(client.session.can_open()) << test.name;
    if (!test.body.empty()) client.send_data(test.body, test.trailers.empty());
    if (!test.trailers.empty()) client.send(test.trailers, true);
    EXPECT_EQ(client.written(), test.written) << test.name;
    EXPECT_TRUE(client.stream.local_closed) << test.name;
    client.feed("HTTP/1.1 204 x\r\n\r\n");
    EXPECT_TRUE(client.session.can_open()) << test.name;
  }
}

}  // namespace
}  // namespace sluice::l7
