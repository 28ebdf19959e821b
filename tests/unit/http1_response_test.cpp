// Responses as data: bytes in, events out; whole, byte by byte and in pieces of seven bytes.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/http1_script.h"

namespace sluice::l7 {
namespace {

const Fields kHead = {{":method", "HEAD"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};

enum class After { kReusable, kClosing };

struct Case {
  const char* name;
  Fields request;
  std::string bytes;
  bool eof;
  std::string events;
  After after;
};

void expect_response(const Case& test) {
  for (const size_t step : {0, 1, 7}) {
    const std::string where = std::string(test.name) + ", in pieces of " + std::to_string(step) + " bytes";
    Http1Script client(Role::kClient);
    client.open(test.request);
    client.feed(test.bytes, step);
    if (test.eof) client.eof();
    EXPECT_EQ(client.take_events(), test.events) << where;
    EXPECT_EQ(client.session.can_open(), test.after == After::kReusable) << where;
    EXPECT_EQ(client.session.wants_close(), test.after == After::kClosing) << where;
    EXPECT_EQ(client.session.goaway_received(), test.after == After::kClosing) << where;
    EXPECT_EQ(client.session.open_streams(), 0u) << where;
    EXPECT_FALSE(client.stream.attached) << where;
  }
}

TEST(Http1Response, EndsWhereItsFramingSays) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const Case cases[] = {
      {"length", kGet, ok + "Content-Length: 5\r\n\r\nhello", false,
       "head :status=200 content-length=5\ndata hello\nEND\n", After::kReusable},
      {"length of zero", kGet, ok + "content-length: 0\r\n\r\n", false,
       "head :status=200 content-length=0 END\n", After::kReusable},
      {"chunks", kGet, ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false,
       "head :status=200\ndata abc\nEND\n", After::kReusable},
      {"trailers", kGet, ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nGrpc-Status: 0\r\n\r\n",
       false, "head :status=200\ndata abc\ntrailers grpc-status=0 END\n", After::kReusable},
      {"end of the connection", kGet, ok + "\r\nabc", true, "head :status=200\ndata abc\nEND\n",
       After::kClosing},
      {"end of the connection of HTTP/1.0", kGet, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabc",
       true, "head :status=200\ndata abc\nEND\n", After::kClosing},
      {"answer to HEAD", kHead, ok + "Content-Length: 5\r\n\r\n", false,
       "head :status=200 content-length=5 END\n", After::kReusable},
      {"chunked answer to HEAD", kHead, ok + "Transfer-Encoding: chunked\r\n\r\n", false,
       "head :status=200 END\n", After::kReusable},
      {"204", kGet, "HTTP/1.1 204 No Content\r\n\r\n", false, "head :status=204 END\n", After::kReusable},
      {"304", kGet, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false,
       "head :status=304 content-length=5 END\n", After::kReusable},
      {"no reason", kGet, "HTTP/1.1 204 \r\n\r\n", false, "head :status=204 END\n", After::kReusable},
      {"no reason and no blank", kGet, "HTTP/1.1 204\r\n\r\n", false, "head :status=204 END\n",
       After::kReusable},
      {"connection: close", kGet, "HTTP/1.1 204 x\r\nConnection: close\r\n\r\n", false,
       "head :status=204 END\n", After::kClosing},
      {"HTTP/1.0", kGet, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false,
       "head :status=200 content-length=1\ndata x\nEND\n", After::kClosing},
      {"HTTP/1.0 that keeps the connection", kGet,
       "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", false,
       "head :status=200 content-length=1\ndata x\nEND\n", After::kReusable},
      {"informational responses", kGet,
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
       false, "informational :status=100\ninformational :status=103 link=x\nhead :status=204 END\n",
       After::kReusable},
      {"fields of the connection", kGet,
       "HTTP/1.1 204 x\r\nKeep-Alive: 5\r\nConnection: keep-alive, x\r\nx: y\r\nUpgrade: h2c\r\nz: 1\r\n\r\n",
       false, "head :status=204 z=1 END\n", After::kReusable},
      {"more than the response", kGet, ok + "Content-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n", false,
       "head :status=200 content-length=1\ndata x\nEND\n"
       "fatal bytes from the server that no request has asked for\n",
       After::kClosing},
      {"end of an idle connection", kGet, "HTTP/1.1 204 x\r\n\r\n", true, "head :status=204 END\n",
       After::kClosing},
  };
  for (const Case& test : cases) expect_response(test);
}

TEST(Http1Response, MalformedOneResetsTheRequest) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::string lost = "reset the server has closed the connection inside of a response\n";
  const Case cases[] = {
      {"no response", kGet, "SSH-2.0-x\r\n", false, "reset not a response\n", After::kClosing},
      {"empty line in front", kGet, "\r\n" + ok + "\r\n", false, "reset not a response\n", After::kClosing},
      {"status of two digits", kGet, "HTTP/1.1 20 OK\r\n\r\n", false, "reset status line that is none\n",
       After::kClosing},
      {"status of four digits", kGet, "HTTP/1.1 2000 OK\r\n\r\n", false, "reset status line that is none\n",
       After::kClosing},
      {"two blanks", kGet, "HTTP/1.1  200 OK\r\n\r\n", false, "reset status line that is none\n",
       After::kClosing},
      {"HTTP/2", kGet, "HTTP/2.0 200 OK\r\n\r\n", false, "reset status line that is none\n", After::kClosing},
      {"no version", kGet, "HTTP 200 OK\r\n\r\n", false, "reset status line that is none\n", After::kClosing},
      {"bare line feed", kGet, "HTTP/1.1 200 OK\n\n", false, "reset line feed without a carriage return\n",
       After::kClosing},
      {"bare carriage return in the reason", kGet, "HTTP/1.1 200 O\rK\r\n\r\n", false,
       "reset status line that is none\n", After::kClosing},
      {"content-length with transfer-encoding", kGet,
       ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false,
       "reset content-length with transfer-encoding\n", After::kClosing},
      {"two content-lengths", kGet, ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", false,
       "reset several content-lengths\n", After::kClosing},
      {"content-length that is no number", kGet, ok + "Content-Length: -1\r\n\r\n", false,
       "reset content-length that is no number\n", After::kClosing},
      {"transfer-encoding of HTTP/1.0", kGet, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false,
       "reset transfer-encoding in HTTP/1.0\n", After::kClosing},
      {"other coding", kGet, ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", false,
       "reset transfer-encoding other than chunked\n", After::kClosing},
      {"folded line", kGet, ok + "x: y\r\n z\r\n\r\n", false, "reset folded field line\n", After::kClosing},
      {"blank before the colon", kGet, ok + "x : y\r\n\r\n", false,
       "reset white space before a field's colon\n", After::kClosing},
      {"101 that nobody asked for", kGet, "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
       false, "reset status 101 is not for HTTP/2\n", After::kClosing},
      {"head larger than the limit", kGet, ok + "x: " + std::string(40000, 'y') + "\r\n\r\n", false,
       "reset head larger than the limit\n", After::kClosing},
      {"chunk longer than its size", kGet, ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", false,
       "head :status=200\ndata x\nreset chunk longer than its size\n", After::kClosing},
      {"end before the head", kGet, "", true, lost, After::kClosing},
      {"end inside of the head", kGet, "HTTP/1.1 20", true, lost, After::kClosing},
      {"end inside of a length", kGet, ok + "Content-Length: 5\r\n\r\nhel", true,
       "head :status=200 content-length=5\ndata hel\n" + lost, After::kClosing},
      {"end inside of chunks", kGet, ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", true,
       "head :status=200\ndata abc\n" + lost, After::kClosing},
      {"end inside of trailers", kGet, ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n", true,
       "head :status=200\n" + lost, After::kClosing},
  };
  for (const Case& test : cases) expect_response(test);
}

TEST(Http1Response, TooManyInformationalOnesAreAnAttack) {
  Http1Script client(Role::kClient);
  client.open(kGet);
  for (int i = 0; i < 100; ++i) client.feed("HTTP/1.1 103 x\r\n\r\n");
  EXPECT_TRUE(client.stream.attached);
  client.take_events();
  client.feed("HTTP/1.1 103 x\r\n\r\n");
  EXPECT_EQ(client.take_events(), "reset too many informational responses\n");
}

TEST(Http1Response, BytesOnAnIdleConnectionAreNoAnswerToTheNextRequest) {
  Http1Script client(Role::kClient);
  client.feed("HTTP/1.1 408 Request Timeout\r\n\r\n");
  EXPECT_EQ(client.take_events(), "fatal bytes from the server that no request has asked for\n");
  EXPECT_FALSE(client.session.can_open());
}

TEST(Http1Response, BeforeTheRequestIsSentKeepsTheConnectionOnlyIfTheRestIsSent) {
  const Fields post = {{":method", "POST"}, {":path", "/"}, {":authority", "a"}, {"content-length", "10"}};
  Http1Script patient(Role::kClient);
  patient.open(post, false);
  patient.send_data("12345", false);
  patient.feed("HTTP/1.1 204 x\r\n\r\n");
  EXPECT_TRUE(patient.stream.attached);
  EXPECT_FALSE(patient.session.can_open());
  patient.send_data("67890", true);
  EXPECT_FALSE(patient.stream.attached);
  EXPECT_TRUE(patient.session.can_open());

  Http1Script hasty(Role::kClient);
  hasty.open(post, false);
  hasty.feed("HTTP/1.1 204 x\r\n\r\n");
  hasty.session.reset(hasty.stream, Http2Error::kCancel);
  EXPECT_FALSE(hasty.session.can_open());
  EXPECT_TRUE(hasty.session.wants_close());

  Http1Script left_alone(Role::kClient);
  left_alone.open(post, false);
  left_alone.feed("HTTP/1.1 204 x\r\n\r\n");
  left_alone.take_events();
  left_alone.eof();
  EXPECT_EQ(left_alone.take_events(), "");
  EXPECT_FALSE(left_alone.stream.attached);
  EXPECT_TRUE(left_alone.session.wants_close());
}

}  // namespace
}  // namespace sluice::l7
