// Requests as data: bytes in, events out. Each case is fed whole, byte by byte and in pieces of seven bytes,
// with equal results.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/http1_script.h"

namespace sluice::l7 {
namespace {

struct Case {
  const char* name;
  std::string bytes;
  std::string events;
};

// What a server makes of the bytes; requests are answered as soon as they are whole.
std::string events_of(const std::string& bytes, size_t step, const Http1Settings& settings) {
  Http1Script server(Role::kServer, settings);
  server.answers = true;
  server.feed(bytes, step);
  return server.take_events();
}

void expect_events(const Case& test, const Http1Settings& settings = {}) {
  for (const size_t step : {0, 1, 7}) {
    EXPECT_EQ(events_of(test.bytes, step, settings), test.events)
        << test.name << ", in pieces of " << step << " bytes";
  }
}

std::string repeated(std::string_view text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

TEST(Http1Request, IsReadIntoTheFieldsOfHttp2) {
  const std::string get = "head :method=GET :scheme=http :path=/ :authority=a";
  const Case cases[] = {
      {"origin form", "GET /x?y=1 HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
       "head :method=GET :scheme=http :path=/x?y=1 :authority=a.example:80 END\n"},
      {"names in lower case, values as they are",
       "GET / HTTP/1.1\r\nHOST: a\r\nX-Some-Thing: A b\tC\r\nAccept:\r\n\r\n",
       get + " x-some-thing=A b\tC accept= END\n"},
      {"blanks around values", "GET / HTTP/1.1\r\nHost: \t a \t\r\nx:y  \r\n\r\n", get + " x=y END\n"},
      {"bytes above ASCII in values", "GET / HTTP/1.1\r\nHost: a\r\nx: \xc3\xa4\r\n\r\n",
       get + " x=\xc3\xa4 END\n"},
      {"absolute form", "GET http://A/p HTTP/1.1\r\nHost: a\r\n\r\n",
       "head :method=GET :scheme=http :path=/p :authority=A END\n"},
      {"absolute form without a path", "GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n",
       "head :method=GET :scheme=https :path=/ :authority=a END\n"},
      {"absolute form with a query only", "GET http://a?b=/ HTTP/1.1\r\nHost: a\r\n\r\n",
       "head :method=GET :scheme=http :path=/?b=/ :authority=a END\n"},
      {"absolute form of OPTIONS", "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
       "head :method=OPTIONS :scheme=http :path=* :authority=a END\n"},
      {"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
       "head :method=OPTIONS :scheme=http :path=* :authority=a END\n"},
      {"a method nobody knows", "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
       "head :method=BREW :scheme=http :path=/pot :authority=a END\n"},
      {"one empty line in front", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", get + " END\n"},
      {"HTTP/1.0 without a host", "GET / HTTP/1.0\r\n\r\n",
       "head :method=GET :scheme=http :path=/ :authority=no-host.invalid END\n"},
      {"an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n",
       "head :method=GET :scheme=http :path=/ :authority=no-host.invalid END\n"},
      {"fields of the connection",
       "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\n"
       "Proxy-Connection: keep-alive\r\nx-mine: 1\r\nUpgrade: foo/2\r\nx-other: 2\r\n\r\n",
       get + " x-other=2 END\n"},
      {"te: trailers is kept, other codings are not",
       "GET / HTTP/1.1\r\nHost: a\r\nTE: gzip;q=0.5, trailers\r\nConnection: TE\r\n\r\n",
       get + " te=trailers END\n"},
      {"expect", "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
       "head :method=PUT :scheme=http :path=/ :authority=a expect=100-continue content-length=1\n"
       "data x\nEND\n"},
      {"expect from HTTP/1.0", "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
       "head :method=PUT :scheme=http :path=/ :authority=no-host.invalid content-length=1\n"
       "data x\nEND\n"},
      {"several cookies", "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
       get + " cookie=a=1 cookie=b=2 END\n"},
  };
  for (const Case& test : cases) expect_events(test);
}

TEST(Http1Request, SchemeIsTheListenersIfTheRequestNamesNone) {
  Http1Settings settings;
  settings.secure = true;
  expect_events({"TLS", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                 "head :method=GET :scheme=https :path=/ :authority=a END\n"},
                settings);
}

TEST(Http1Request, BodyEndsWhereItsFramingSays) {
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
  const std::string head = "head :method=POST :scheme=http :path=/ :authority=a";
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string next = "GET /n HTTP/1.1\r\nHost: a\r\n\r\n";
  const std::string next_head = "head :method=GET :scheme=http :path=/n :authority=a END\n";
  const Case cases[] = {
      {"length", post + "Content-Length: 5\r\n\r\nhello" + next,
       head + " content-length=5\ndata hello\nEND\n" + next_head},
      {"length of zero", post + "Content-Length: 0\r\n\r\n" + next,
       head + " content-length=0 END\n" + next_head},
      {"none", post + "\r\n" + next, head + " END\n" + next_head},
      {"chunks", chunked + "5\r\nhello\r\n006\r\n world\r\n0\r\n\r\n" + next,
       head + "\ndata hello world\nEND\n" + next_head},
      {"no chunk but the last", chunked + "000\r\n\r\n" + next, head + "\nEND\n" + next_head},
      {"hexadecimal sizes", chunked + "a\r\n0123456789\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
       head + "\ndata 0123456789abcdefghijklmnopqrstuvwxyz\nEND\n"},
      {"the coding's name in capitals", post + "transfer-ENCODING: \tChunked \r\n\r\n1\r\nx\r\n0\r\n\r\n",
       head + "\ndata x\nEND\n"},
      {"chunk extensions", chunked + "1;a\r\nx\r\n1 ; b=\"c;\r;\"\r\n",
       head + "\ndata x\nreset chunk size line that does not end with CR LF\n"},
      {"chunk extensions with blanks", chunked + "1;a=b;c=\"d e\"\r\nx\r\n1 \t;b\r\ny\r\n0;z\r\n\r\n" + next,
       head + "\ndata xy\nEND\n" + next_head},
      {"trailers", chunked + "1\r\nx\r\n0\r\nX-Sum: 1 \r\ny: 2\r\n\r\n" + next,
       head + "\ndata x\ntrailers x-sum=1 y=2 END\n" + next_head},
      {"data that looks like the end", chunked + "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
       head + "\ndata \r\n0\r\n\r\n\nEND\n"},
  };
  for (const Case& test : cases) expect_events(test);
}

struct Refused {
  const char* name;
  std::string bytes;
  int status;
};

// What follows a refused request is never read as one.
void expect_refused(const Refused& test, const Http1Settings& settings = {}) {
  for (const size_t step : {0, 1, 7}) {
    Http1Script server(Role::kServer, settings);
    server.answers = true;
    server.feed(test.bytes + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", step);
    const std::string events = server.take_events();
    EXPECT_TRUE(events.starts_with("malformed " + std::to_string(test.status) + " "))
        << test.name << ", in pieces of " << step << " bytes: " << events;
    EXPECT_EQ(std::count(events.begin(), events.end(), '\n'), 1) << test.name << ": " << events;
    const std::string written = server.written();
    EXPECT_TRUE(written.starts_with("HTTP/1.1 " + std::to_string(test.status) + " ")) << test.name;
    EXPECT_TRUE(written.ends_with("\r\ncontent-length: 0\r\n\r\n") ||
                written.ends_with("\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"))
        << written;
    EXPECT_NE(written.find("connection: close\r\n"), std::string::npos) << test.name;
    EXPECT_TRUE(server.session.wants_close()) << test.name;
    EXPECT_FALSE(server.session.wants_input()) << test.name;
    EXPECT_EQ(server.left, "") << test.name;
  }
}

TEST(Http1Request, ShapesThatSmuggleAreRefused) {
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
  const Refused cases[] = {
      {"CL.TE", post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400},
      {"TE.CL", post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n", 400},
      {"two transfer-encodings", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"TE.TE, second of no meaning", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
       400},
      {"TE.TE, first of no meaning", post + "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"chunked twice", post + "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
      {"chunked not last", post + "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
      {"unknown coding", post + "Transfer-Encoding: gzip\r\n\r\n", 400},
      {"unknown coding before chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"coding that is no token before chunked", post + "Transfer-Encoding: g zip, chunked\r\n\r\n", 400},
      {"identity", post + "Transfer-Encoding: identity\r\n\r\n", 400},
      {"empty transfer-encoding", post + "Transfer-Encoding:\r\n\r\n", 400},
      {"quoted coding", post + "Transfer-Encoding: \"chunked\"\r\n\r\n", 400},
      {"coding with a prefix", post + "Transfer-Encoding: xchunked\r\n\r\n", 400},
      {"coding with a parameter", post + "Transfer-Encoding: chunked;q=1\r\n\r\n", 400},
      {"coding behind a vertical tab",
       post + "Transfer-Encoding: \x0b"
              "chunked\r\n\r\n",
       400},
      {"coding with a control character", post + "Transfer-Encoding: chunked\x01\r\n\r\n", 400},
      {"comma before the coding", post + "Transfer-Encoding: ,chunked, ,x\r\n\r\n", 400},
      {"blank before the colon", post + "Transfer-Encoding : chunked\r\n\r\n", 400},
      {"tab before the colon", post + "Transfer-Encoding\t: chunked\r\n\r\n", 400},
      {"content-length with blank before the colon", post + "Content-Length : 5\r\n\r\n", 400},
      {"folded line", post + "X: y\r\n Transfer-Encoding: chunked\r\n\r\n", 400},
      {"folded coding", post + "Transfer-Encoding:\r\n chunked\r\n\r\n", 400},
      {"blank line of blanks", post + "X: y\r\n \r\n\r\n", 400},
      {"transfer-encoding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"two equal content-lengths", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
      {"two content-lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
      {"list of content-lengths", post + "Content-Length: 5, 5\r\n\r\nhello", 400},
      {"content-length with a plus", post + "Content-Length: +5\r\n\r\nhello", 400},
      {"negative content-length", post + "Content-Length: -5\r\n\r\nhello", 400},
      {"content-length in hexadecimal", post + "Content-Length: 0x5\r\n\r\nhello", 400},
      {"content-length with a letter", post + "Content-Length: 5a\r\n\r\nhello", 400},
      {"content-length with a blank inside", post + "Content-Length: 1 5\r\n\r\nhello", 400},
      {"content-length of a fraction", post + "Content-Length: 5.0\r\n\r\nhello", 400},
      {"empty content-length", post + "Content-Length:\r\n\r\n", 400},
      {"content-length beyond 64 bits", post + "Content-Length: 18446744073709551621\r\n\r\nhello", 413},
      {"content-length beyond 63 bits", post + "Content-Length: 9223372036854775808\r\n\r\nhello", 413},
      {"bare line feed behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
      {"bare line feed behind a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400},
      {"bare line feed as the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
      {"bare line feed in front", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"bare carriage return in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: 1\r\n\r\n", 400},
      {"bare carriage return in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\r: y\r\n\r\n", 400},
      {"bare carriage return in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"carriage return twice", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400},
      {"NUL in a value", post + std::string("X: a\0b\r\n\r\n", 10), 400},
      {"NUL in a name", post + std::string("X\0: b\r\n\r\n", 9), 400},
      {"NUL in the target", std::string("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 28), 400},
      {"delete in a value", post + "X: a\x7f\r\n\r\n", 400},
      {"field without a colon", post + "X\r\n\r\n", 400},
      {"field without a name", post + ": x\r\n\r\n", 400},
      {"pseudo-header field", post + ":path: /admin\r\n\r\n", 400},
      {"name with a parenthesis", post + "X(y): z\r\n\r\n", 400},
      {"name with a byte above ASCII", post + "X\xc3\xa4: z\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"host twice", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400},
      {"no host", "GET / HTTP/1.1\r\nX: y\r\n\r\n", 400},
      {"two hosts in one", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
      {"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"host with a user", "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400},
      {"another host than the target's", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400},
      {"another port than the target's", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"target with a user", "GET http://user@a/ HTTP/1.1\r\nHost: user@a\r\n\r\n", 400},
      {"target without a host", "GET http:///x HTTP/1.1\r\nHost:\r\n\r\n", 400},
      {"target of another scheme", "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"target without a slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"target with a fragment", "GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"asterisk of GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"blank in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"tab for a blank", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"blank in front", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"blank behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
      {"method that is no token", "G{T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"HTTP/0.9", "GET /\r\n\r\n", 400},
      {"two empty lines in front", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"version with more digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
      {"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
      {"version 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"TLS", "\x16\x03\x01\x02\x03", 400},
      {"connection names content-length",
       post + "Connection: content-length\r\nContent-Length: 5\r\n\r\nhello", 400},
      {"connection names host", post + "Connection: close, HOST\r\n\r\n", 400},
      {"connection option that is no token", post + "Connection: a b\r\n\r\n", 400},
      {"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501},
      {"CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT of a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CONNECT with a body", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 1\r\n\r\nx", 400},
  };
  for (const Refused& test : cases) expect_refused(test);
}

TEST(Http1Request, LimitsAreKept) {
  Http1Settings settings;
  settings.max_head_size = 200;
  settings.headers.fields = 5;
  settings.headers.list_size = 500;
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n";
  expect_refused({"request line", "GET /" + std::string(200, 'x'), 414}, settings);
  expect_refused({"head", get + "x: " + std::string(180, 'x') + "\r\n\r\n", 431}, settings);
  expect_refused({"fields", get + repeated("a:b\r\n", 5) + "\r\n", 431}, settings);
  settings.headers.fields = 50;
  expect_refused({"list size", get + repeated("a:b\r\n", 20) + "\r\n", 431}, settings);
  settings.max_head_size = 4096;
  expect_refused({"long name", get + std::string(1500, 'n') + ": x\r\n\r\n", 431}, settings);
  expect_refused({"connection options", get + "Connection: " + repeated("a,", 33) + "\r\n\r\n", 400},
                 settings);
  expect_refused({"connection fields", get + repeated("Connection: a\r\n", 5) + "\r\n", 400}, settings);

  settings = {};
  settings.max_head_size = 46;
  expect_events({"a head of just the limit", "GET / HTTP/1.1\r\nHost: a\r\nx: 90123456789012\r\n\r\n",
                 "head :method=GET :scheme=http :path=/ :authority=a x=90123456789012 END\n"},
                settings);
}

// The head was good and has been taken; then its body turns out to be malformed.
TEST(Http1Request, MalformedBodyIsAnsweredAndEndsTheConnection) {
  const std::string extension(5000, 'e');
  const Case cases[] = {
      {"size that is no number", "x\r\n", "reset chunk size that is no number"},
      {"empty size", "\r\n", "reset chunk size that is no number"},
      {"size with a sign", "+5\r\nhello\r\n", "reset chunk size that is no number"},
      {"size with a prefix", "0x5\r\nhello\r\n", "reset chunk size that is no number"},
      {"size behind a blank", " 5\r\nhello\r\n", "reset chunk size that is no number"},
      {"blank behind the size", "5 \r\nhello\r\n", "reset chunk size that is no number"},
      {"garbage behind the size", "5 6\r\nhello\r\n", "reset chunk size that is no number"},
      {"letters behind the size", "5g\r\nhello\r\n", "reset chunk size that is no number"},
      {"size of 17 digits", "10000000000000005\r\nhello\r\n", "reset chunk size beyond all bounds"},
      {"size of many zeros", std::string(16, '0') + "\r\n\r\n", "reset chunk size beyond all bounds"},
      {"bare line feed behind the size", "5\nhello\r\n", "reset chunk size that is no number"},
      {"bare carriage return behind the size", "5\rxhello",
       "reset chunk size line that does not end with CR LF"},
      {"bare line feed in an extension", "5;a\nhello\r\n",
       "reset chunk extension with characters that are not allowed"},
      {"long extension", "5;" + extension + "\r\nhello\r\n", "reset chunk extensions longer than the limit"},
      {"long blanks", "5" + std::string(5000, ' ') + ";\r\nhello\r\n",
       "reset chunk extensions longer than the limit"},
      {"many extensions", repeated("1;" + std::string(999, 'e') + "\r\nx\r\n", 5),
       "data xxxx\nreset chunk extensions longer than the limit"},
      {"longer than its size", "5\r\nhello!\r\n", "data hello\nreset chunk longer than its size"},
      {"one byte more than its size", "5\r\nhello!\n0\r\n\r\n",
       "data hello\nreset chunk longer than its size"},
      {"data that ends with a line feed", "5\r\nhello\n0\r\n\r\n",
       "data hello\nreset chunk longer than its size"},
      {"data that ends with a carriage return", "5\r\nhello\rX",
       "data hello\nreset chunk longer than its size"},
      {"garbage behind the last chunk", "0\r\nX\r\n\r\n", "reset field line without a colon"},
      {"bare line feed behind the last chunk", "0\r\n\nGET / HTTP/1.1\r\n",
       "reset line feed without a carriage return"},
      {"content-length in trailers", "0\r\nContent-Length: 5\r\n\r\n",
       "reset field in trailers that does not belong there"},
      {"transfer-encoding in trailers", "0\r\nTransfer-Encoding: chunked\r\n\r\n",
       "reset field in trailers that does not belong there"},
      {"host in trailers", "0\r\nHost: b\r\n\r\n", "reset field in trailers that does not belong there"},
      {"connection in trailers", "0\r\nConnection: close\r\n\r\n",
       "reset field in trailers that does not belong there"},
      {"pseudo-header field in trailers", "0\r\n:path: /x\r\n\r\n", "reset field without a name"},
      {"folded trailers", "0\r\n x: y\r\n\r\n", "reset folded field line"},
      {"trailers without end", "0\r\n" + repeated("x: " + std::string(1000, 'y') + "\r\n", 40),
       "reset trailers larger than the limit"},
  };
  for (const Case& test : cases) {
    for (const size_t step : {0, 1, 7}) {
      Http1Script server(Role::kServer);
      server.feed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", step);
      server.take_events();
      server.feed(test.bytes + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", step);
      EXPECT_EQ(server.take_events(), test.events + "\n")
          << test.name << ", in pieces of " << step << " bytes";
      EXPECT_FALSE(server.stream.attached) << test.name;
      EXPECT_TRUE(server.session.wants_close()) << test.name;
      EXPECT_EQ(server.written(),
                "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
          << test.name;
    }
  }
}

// A second head would be part of the body of the first.
TEST(Http1Request, MalformedBodyBehindAResponsesHeadOnlyEndsTheConnection) {
  Http1Script server(Role::kServer);
  server.feed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  server.send({{":status", "200"}}, false);
  server.written();
  server.take_events();
  server.feed("x\r\n");
  EXPECT_EQ(server.take_events(), "reset chunk size that is no number\n");
  EXPECT_EQ(server.written(), "");
  EXPECT_TRUE(server.session.wants_close());
}

TEST(Http1Request, BytesBehindTheLastChunkAreTheNextRequest) {
  expect_events(
      {"trailing data", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{\r\n",
       "head :method=POST :scheme=http :path=/ :authority=a\nEND\nmalformed 400 not a request END\n"});
}

TEST(Http1Request, EndOfTheConnectionInsideOfOneResetsIt) {
  Http1Script idle(Role::kServer);
  idle.eof();
  EXPECT_EQ(idle.take_events(), "");
  EXPECT_TRUE(idle.session.wants_close());

  Http1Script in_head(Role::kServer);
  in_head.feed("GET / HT");
  in_head.eof();
  EXPECT_EQ(in_head.take_events(), "");
  EXPECT_TRUE(in_head.session.wants_close());

  for (const char* bytes : {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
                            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                            "GET / HTTP/1.1\r\nHost: a\r\n\r\n"}) {
    Http1Script server(Role::kServer);
    server.feed(bytes);
    server.take_events();
    server.eof();
    EXPECT_EQ(server.take_events(), "reset the client has closed the connection\n") << bytes;
    EXPECT_EQ(server.written(), "") << bytes;
    EXPECT_TRUE(server.session.wants_close()) << bytes;
    EXPECT_FALSE(server.session.wants_input()) << bytes;
  }
}

}  // namespace
}  // namespace sluice::l7
