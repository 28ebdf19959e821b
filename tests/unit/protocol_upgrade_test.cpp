// Upgrades from HTTP/1.1: WebSocket and CONNECT as tunnels, h2c as an offer.
#include "dataplane/l7/protocol_upgrade.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/http1_script.h"

namespace sluice::l7 {
namespace {

// The handshake of RFC 6455 section 1.3.
constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const std::string kWebSocketText =
    "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const Fields kWebSocket = {{":method", "CONNECT"}, {":protocol", "websocket"},
                           {":scheme", "http"},    {":path", "/chat"},
                           {":authority", "a"},    {"sec-websocket-version", "13"}};

std::string text(const WebSocketAccept& accept) {
  return {accept.data(), accept.size()};
}

// The key that a client's request has, and what a server answers to it.
std::string answer_to(const std::string& request) {
  const size_t at = request.find("sec-websocket-key: ") + 19;
  return text(websocket_accept(std::string_view(request).substr(at, 24)));
}

TEST(ProtocolUpgrade, WebSocketAcceptIsThatOfRfc6455) {
  EXPECT_EQ(text(websocket_accept(kKey)), kAccept);
}

TEST(ProtocolUpgrade, WebSocketKeysDiffer) {
  const WebSocketKey one = make_websocket_key();
  const WebSocketKey other = make_websocket_key();
  EXPECT_NE(one, other);
  EXPECT_EQ(std::string_view(one.data() + 22, 2), "==");
}

TEST(ProtocolUpgrade, H2cSettingsAreBase64Url) {
  struct Case {
    std::string text;
    int size;  // -1: refused
    std::string bytes;
  };
  const Case cases[] = {
      {"", 0, ""},
      {"AAMAAABkAAQAAP__", 12, std::string("\0\3\0\0\0\x64\0\4\0\0\xff\xff", 12)},
      {"-_8", 2, "\xfb\xff"},
      {"AA", 1, std::string(1, '\0')},
      {"A", -1, ""},
      {"AA==", -1, ""},
      {"AA+/", -1, ""},
      {"A A ", -1, ""},
      {std::string(256, 'A'), 192, std::string(192, '\0')},
      {std::string(260, 'A'), -1, ""},
  };
  for (const Case& test : cases) {
    const auto settings = H2cSettings::decode(test.text);
    ASSERT_EQ(settings.has_value(), test.size >= 0) << test.text;
    if (!settings) continue;
    const auto payload = settings->payload();
    EXPECT_EQ(std::string(payload.begin(), payload.end()), test.bytes) << test.text;
  }
}

// --- h2c

std::string h2c_request(std::string_view connection, std::string_view upgrade, std::string_view more = "") {
  std::string request = "GET / HTTP/1.1\r\nHost: a\r\n";
  request.append("Connection: ").append(connection).append("\r\nUpgrade: ").append(upgrade).append("\r\n");
  return request.append(more).append("\r\n");
}

// Whether the request offers it, asked as a connection does: before next().
std::optional<H2cSettings> offer_in(const std::string& request, const Http1Settings& settings = {}) {
  ChunkPool chunks;
  ByteQueue output(chunks);
  HeaderList fields;
  Http1Session session(Role::kServer, settings, output, fields);
  std::span<const uint8_t> input = bytes_of(request);
  const CodecEvent event = session.next(input);
  EXPECT_EQ(event.kind, CodecEvent::Kind::kHead) << request;
  EXPECT_EQ(event.head.error, nullptr) << request;
  EXPECT_EQ(fields.find(HeaderToken::kUpgrade), nullptr);
  EXPECT_EQ(fields.find(HeaderToken::kHttp2Settings), nullptr);
  return session.h2c_upgrade();
}

TEST(ProtocolUpgrade, H2cIsOfferedByARequestThatHasAllOfIt) {
  const std::string payload = "HTTP2-Settings: AAMAAABk\r\n";
  const auto offer = offer_in(h2c_request("Upgrade, HTTP2-Settings", "h2c", payload));
  ASSERT_TRUE(offer);
  const auto bytes = offer->payload();
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), std::string("\0\3\0\0\0\x64", 6));
  EXPECT_TRUE(offer_in(h2c_request("upgrade,http2-settings", "foo, H2C", payload)));

  EXPECT_FALSE(offer_in(h2c_request("Upgrade", "h2c", payload)));
  EXPECT_FALSE(offer_in(h2c_request("HTTP2-Settings", "h2c", payload)));
  EXPECT_FALSE(offer_in(h2c_request("Upgrade, HTTP2-Settings", "h2", payload)));
  EXPECT_FALSE(offer_in(h2c_request("Upgrade, HTTP2-Settings", "h2c", payload + payload)));
  EXPECT_FALSE(offer_in(h2c_request("Upgrade, HTTP2-Settings", "h2c", "HTTP2-Settings: a*\r\n")));
  EXPECT_FALSE(offer_in(h2c_request("Upgrade, HTTP2-Settings", "h2c", payload + "Content-Length: 1\r\n")));
  Http1Settings without;
  without.h2c = false;
  EXPECT_FALSE(offer_in(h2c_request("Upgrade, HTTP2-Settings", "h2c", payload), without));
}

TEST(ProtocolUpgrade, H2cSwitchIsAnswered) {
  Http1Script server(Role::kServer);
  server.session.switch_to_h2c();
  EXPECT_EQ(server.written(),
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n");
}

// --- tunnels of a server

TEST(ProtocolUpgrade, WebSocketBecomesATunnel) {
  for (const size_t step : {0, 1}) {
    Http1Script server(Role::kServer);
    server.feed(kWebSocketText + "early", step);
    EXPECT_EQ(server.take_events(),
              "head :method=CONNECT :protocol=websocket :scheme=http :path=/chat :authority=a "
              "sec-websocket-version=13\n");
    EXPECT_FALSE(server.stream.remote_closed);
    EXPECT_EQ(server.left, "early");
    EXPECT_FALSE(server.session.wants_input());

    server.send({{":status", "200"}, {"sec-websocket-protocol", "x"}, {"content-length", "9"}}, false);
    EXPECT_EQ(server.written(),
              "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: x\r\nconnection: upgrade\r\n"
              "upgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    EXPECT_TRUE(server.session.wants_input());
    server.turn();
    server.feed(" up\r\n\r\n", step);
    EXPECT_EQ(server.take_events(), "data early up\r\n\r\n\n");
    server.send_data("down", false);
    EXPECT_EQ(server.written(), "down");

    server.eof();
    EXPECT_EQ(server.take_events(), "END\n");
    EXPECT_FALSE(server.session.wants_close());
    server.send_data("last", true);
    EXPECT_EQ(server.written(), "last");
    EXPECT_TRUE(server.session.wants_close());
    EXPECT_FALSE(server.stream.attached);
  }
}

TEST(ProtocolUpgrade, OurEndOfATunnelLeavesTheOtherOpen) {
  Http1Script server(Role::kServer);
  server.feed(kWebSocketText);
  server.send({{":status", "200"}}, false);
  server.take_events();
  server.send_data("bye", true);
  EXPECT_TRUE(server.session.wants_end_of_output());
  EXPECT_FALSE(server.session.wants_close());
  server.feed("still here");
  EXPECT_EQ(server.take_events(), "data still here\n");
  server.eof();
  EXPECT_TRUE(server.session.wants_close());
}

TEST(ProtocolUpgrade, RefusedWebSocketLeavesAnOrdinaryConnection) {
  Http1Script server(Role::kServer);
  server.feed(kWebSocketText + "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  server.take_events();
  server.send({{":status", "403"}, {"content-length", "2"}}, false);
  server.send_data("no", true);
  EXPECT_EQ(server.written(), "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
  EXPECT_FALSE(server.stream.attached);
  EXPECT_FALSE(server.session.wants_close());
  server.turn();
  EXPECT_EQ(server.take_events(), "head :method=GET :scheme=http :path=/ :authority=a END\n");
}

TEST(ProtocolUpgrade, HandshakeThatIsNoneIsAnOrdinaryRequest) {
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n";
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const std::string upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  const std::string head = "head :method=GET :scheme=http :path=/ :authority=a";
  const std::string key_field = " sec-websocket-key=dGhlIHNhbXBsZSBub25jZQ==";
  const std::pair<std::string, std::string> cases[] = {
      {get + upgrade + "\r\n", head + " END\n"},
      {get + upgrade + "Sec-WebSocket-Key: short\r\n\r\n", head + " sec-websocket-key=short END\n"},
      {get + "Upgrade: websocket\r\n" + key + "\r\n", head + key_field + " END\n"},
      {get + "Connection: Upgrade\r\n" + key + "\r\n", head + key_field + " END\n"},
      {get + upgrade + key + "Content-Length: 1\r\n\r\nx",
       head + key_field + " content-length=1\ndata x\nEND\n"},
  };
  for (const auto& [bytes, events] : cases) {
    Http1Script server(Role::kServer);
    server.feed(bytes);
    EXPECT_EQ(server.take_events(), events) << bytes;
  }
  Http1Settings without;
  without.websocket = false;
  Http1Script server(Role::kServer, without);
  server.feed(get + upgrade + key + "\r\n");
  EXPECT_EQ(server.take_events(), head + key_field + " END\n");
}

TEST(ProtocolUpgrade, ConnectIsATunnelWhereItIsServed) {
  Http1Settings settings;
  settings.connect = true;
  Http1Script server(Role::kServer, settings);
  server.feed("CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\nearly");
  EXPECT_EQ(server.take_events(), "head :method=CONNECT :authority=b:443\n");
  server.send({{":status", "200"}}, false);
  EXPECT_EQ(server.written(), "HTTP/1.1 200 OK\r\n\r\n");
  server.turn();
  EXPECT_EQ(server.take_events(), "data early\n");
}

// A client may have sent ahead what was meant for the tunnel: it must not be read as a request.
TEST(ProtocolUpgrade, RefusedConnectIsTheEndOfItsConnection) {
  Http1Settings settings;
  settings.connect = true;
  Http1Script server(Role::kServer, settings);
  server.feed("CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n" + kGetText);
  server.take_events();
  server.send({{":status", "403"}, {"content-length", "0"}}, true);
  EXPECT_EQ(server.written(), "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  server.turn();
  EXPECT_EQ(server.take_events(), "");
  EXPECT_TRUE(server.session.wants_close());
}

// --- tunnels of a client

TEST(ProtocolUpgrade, ExtendedConnectBecomesAnUpgrade) {
  for (const size_t step : {0, 1}) {
    Http1Script client(Role::kClient);
    client.open(kWebSocket, false);
    const std::string request = client.written();
    EXPECT_TRUE(
        request.starts_with("GET /chat HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\n"
                            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: "))
        << request;
    EXPECT_EQ(client.send_data("up", false), 0u);
    EXPECT_TRUE(client.stream.blocked);
    client.feed("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
                    answer_to(request) + "\r\nSec-WebSocket-Protocol: x\r\n\r\ndown",
                step);
    EXPECT_EQ(client.take_events(), "head :status=200 sec-websocket-protocol=x\nwritable\ndata down\n");
    EXPECT_TRUE(client.stream.tunnel);
    EXPECT_EQ(client.send_data("up", true), 2u);
    EXPECT_EQ(client.written(), "up");
    EXPECT_TRUE(client.session.wants_end_of_output());
    client.feed("last");
    client.eof();
    EXPECT_EQ(client.take_events(), "data last\nEND\n");
    EXPECT_TRUE(client.session.wants_close());
    EXPECT_FALSE(client.session.can_open());
  }
}

TEST(ProtocolUpgrade, RefusedExtendedConnectLeavesAnOrdinaryConnection) {
  Http1Script client(Role::kClient);
  client.open(kWebSocket, false);
  client.send_data("up", false);
  client.written();
  client.feed("HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno");
  EXPECT_EQ(client.take_events(), "head :status=403 content-length=2\ndata no\nEND\n");
  EXPECT_FALSE(client.stream.attached);
  EXPECT_TRUE(client.session.can_open());
  EXPECT_EQ(client.send_data("up", false), 2u);
  EXPECT_EQ(client.written(), "");
}

TEST(ProtocolUpgrade, AnswerThatTakesNoNoticeOfItIsNoTunnel) {
  Http1Script client(Role::kClient);
  client.open(kWebSocket, false);
  client.feed("HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nno");
  EXPECT_EQ(client.take_events(), "head :status=200 content-length=2\ndata no\nEND\n");
  EXPECT_FALSE(client.stream.tunnel);
  EXPECT_TRUE(client.session.can_open());
}

TEST(ProtocolUpgrade, WrongAnswerToTheHandshakeIsRefused) {
  const std::string connection = "HTTP/1.1 101 x\r\nConnection: Upgrade\r\n";
  const std::string wrong = "reset the server's answer to the WebSocket handshake is wrong\n";
  const std::pair<std::string, std::string> cases[] = {
      {connection + "Upgrade: websocket\r\n\r\n", wrong},
      {connection + "Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
       wrong},
      {connection + "Upgrade: h2c\r\n\r\n", wrong},
      {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", "reset status 101 is not for HTTP/2\n"},
  };
  for (const auto& [bytes, events] : cases) {
    Http1Script client(Role::kClient);
    client.open(kWebSocket, false);
    client.feed(bytes);
    EXPECT_EQ(client.take_events(), events) << bytes;
    EXPECT_TRUE(client.session.wants_close());
  }
}

TEST(ProtocolUpgrade, ConnectIsPassedOn) {
  Http1Script client(Role::kClient);
  client.open({{":method", "CONNECT"}, {":authority", "b:443"}}, false);
  EXPECT_EQ(client.written(), "CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n");
  client.feed("HTTP/1.1 200 x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(client.take_events(), "reset content-length with transfer-encoding\n");

  Http1Script other(Role::kClient);
  other.open({{":method", "CONNECT"}, {":authority", "b:443"}}, false);
  other.written();
  other.feed("HTTP/1.1 200 x\r\nContent-Length: 3\r\n\r\ndown");
  EXPECT_EQ(other.take_events(), "head :status=200\ndata down\n");
  other.send_data("up", false);
  EXPECT_EQ(other.written(), "up");
}

}  // namespace
}  // namespace sluice::l7
