// What an HTTP/1 session tells its connection between messages.
#include "dataplane/l7/http1_session.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/count_allocations.h"
#include "tests/unit/http1_script.h"

namespace sluice::l7 {
namespace {

const std::string kGetHead = "head :method=GET :scheme=http :path=/ :authority=a END\n";
const std::string kPostText = "POST / HTTP/1.1\r\nHost: a\r\n";

// --- one message after the other

TEST(Http1Session, RequestsSentAheadWaitForTheResponseBefore) {
  Http1Script server(Role::kServer);
  server.feed(kGetText + kGetText + kGetText);
  EXPECT_EQ(server.take_events(), kGetHead);
  EXPECT_EQ(server.left, kGetText + kGetText);
  EXPECT_FALSE(server.session.wants_input());
  server.turn();
  EXPECT_EQ(server.take_events(), "");

  server.send(kNoContent, true);
  EXPECT_TRUE(server.session.wants_input());
  server.turn();
  EXPECT_EQ(server.take_events(), kGetHead);
  EXPECT_EQ(server.left, kGetText);
  EXPECT_EQ(server.stream.id, 2u);
  server.send(kNoContent, true);
  server.turn();
  EXPECT_EQ(server.take_events(), kGetHead);
  EXPECT_EQ(server.left, "");
  EXPECT_TRUE(server.session.wants_input());
}

TEST(Http1Session, AnswerBeforeTheBodyIsRead) {
  // The exchange has answered and wants no more of the body: it is read and dropped.
  Http1Script server(Role::kServer);
  server.feed(kPostText + "Content-Length: 10\r\n\r\n123");
  server.send({{":status", "413"}}, true);
  EXPECT_TRUE(server.stream.attached);
  server.session.reset(server.stream, Http2Error::kNoError);
  EXPECT_FALSE(server.stream.attached);
  EXPECT_FALSE(server.session.wants_close());
  server.take_events();
  server.feed("4567890" + kGetText, 1);
  EXPECT_EQ(server.take_events(), kGetHead);

  // The same in chunks.
  Http1Script chunked(Role::kServer);
  chunked.feed(kPostText + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  chunked.send({{":status", "413"}}, true);
  chunked.session.reset(chunked.stream, Http2Error::kNoError);
  chunked.take_events();
  chunked.feed("2\r\nde\r\n0\r\nx: y\r\n\r\n" + kGetText, 1);
  EXPECT_EQ(chunked.take_events(), kGetHead);

  // Malformed ones end the connection, without another answer.
  Http1Script malformed(Role::kServer);
  malformed.feed(kPostText + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  malformed.send({{":status", "413"}}, true);
  malformed.session.reset(malformed.stream, Http2Error::kNoError);
  malformed.take_events();
  malformed.written();
  malformed.feed("x" + kGetText, 1);
  EXPECT_EQ(malformed.take_events(), "");
  EXPECT_EQ(malformed.written(), "");
  EXPECT_TRUE(malformed.session.wants_close());
}

TEST(Http1Session, BodyThatIsGivenUpEndsTheConnection) {
  Http1Script server(Role::kServer);
  server.feed(kPostText + "Content-Length: 10\r\n\r\n123");
  server.session.give_up_body();
  server.send({{":status", "408"}, {"content-length", "0"}}, true);
  EXPECT_EQ(server.written(),
            "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  server.session.reset(server.stream, Http2Error::kNoError);
  EXPECT_TRUE(server.session.wants_close());
}

TEST(Http1Session, LongBodyThatNobodyWantsEndsTheConnection) {
  Http1Settings settings;
  settings.stream_window = 100;
  Http1Script known(Role::kServer, settings);
  known.feed(kPostText + "Content-Length: 102\r\n\r\n1");
  known.send({{":status", "413"}}, true);
  known.session.reset(known.stream, Http2Error::kNoError);
  EXPECT_TRUE(known.session.wants_close());

  Http1Script unknown(Role::kServer, settings);
  unknown.feed(kPostText + "Transfer-Encoding: chunked\r\n\r\n");
  unknown.send({{":status", "413"}}, true);
  unknown.session.reset(unknown.stream, Http2Error::kNoError);
  unknown.feed("64\r\n" + std::string(100, 'x') + "\r\n");
  EXPECT_FALSE(unknown.session.wants_close());
  unknown.feed("1\r\nx\r\n");
  EXPECT_TRUE(unknown.session.wants_close());
}

TEST(Http1Session, ClientThatWaitsInVainFor100IsNotKept) {
  const std::string request = kPostText + "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n";
  Http1Script refused(Role::kServer);
  refused.feed(request);
  refused.send({{":status", "417"}}, true);
  EXPECT_EQ(refused.written(),
            "HTTP/1.1 417 Expectation Failed\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  refused.session.reset(refused.stream, Http2Error::kNoError);
  EXPECT_TRUE(refused.session.wants_close());

  Http1Script told(Role::kServer);
  told.feed(request);
  told.send({{":status", "100"}}, false);
  EXPECT_EQ(told.written(), "HTTP/1.1 100 Continue\r\n\r\n");
  told.feed("body");
  told.send(kNoContent, true);
  EXPECT_EQ(told.written(), "HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_FALSE(told.session.wants_close());

  Http1Script impatient(Role::kServer);
  impatient.feed(request + "body");
  impatient.send(kNoContent, true);
  EXPECT_EQ(impatient.written(), "HTTP/1.1 204 No Content\r\n\r\n");
}

TEST(Http1Session, ResetEndsTheConnection) {
  Http1Script server(Role::kServer);
  server.feed(kGetText);
  server.session.reset(server.stream, Http2Error::kInternalError);
  EXPECT_FALSE(server.stream.attached);
  EXPECT_TRUE(server.session.wants_close());
  EXPECT_FALSE(server.session.wants_abort());
  EXPECT_EQ(server.written(), "");

  // A response in chunks shows that it is not whole; one that ends with the connection does not.
  for (const bool old : {false, true}) {
    Http1Script broken(Role::kServer);
    broken.feed(old ? "GET / HTTP/1.0\r\n\r\n" : kGetText);
    broken.send({{":status", "200"}}, false);
    broken.send_data("half", false);
    broken.session.reset(broken.stream, Http2Error::kInternalError);
    EXPECT_TRUE(broken.session.wants_close());
    EXPECT_EQ(broken.session.wants_abort(), old);
  }

  Http1Script client(Role::kClient);
  client.open(kGet);
  client.session.reset(client.stream, Http2Error::kCancel);
  EXPECT_FALSE(client.session.can_open());
  EXPECT_TRUE(client.session.wants_close());
}

TEST(Http1Session, GoAwayIsConnectionClose) {
  Http1Script announced(Role::kServer);
  announced.session.announce_goaway();
  EXPECT_FALSE(announced.session.wants_close());
  announced.feed(kGetText);
  announced.send(kNoContent, true);
  EXPECT_EQ(announced.written(), "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(announced.session.wants_close());

  Http1Script busy(Role::kServer);
  busy.feed(kGetText + kGetText);
  busy.session.goaway(Http2Error::kNoError);
  EXPECT_TRUE(busy.session.goaway_sent());
  EXPECT_FALSE(busy.session.wants_close());
  busy.send(kNoContent, true);
  EXPECT_EQ(busy.written(), "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(busy.session.wants_close());
  busy.take_events();
  busy.turn();
  EXPECT_EQ(busy.take_events(), "");

  Http1Script idle(Role::kServer);
  idle.session.goaway(Http2Error::kNoError);
  EXPECT_TRUE(idle.session.wants_close());
}

TEST(Http1Session, LateHeadIsAnswered408) {
  Http1Script server(Role::kServer);
  server.feed("GET / HTTP/1.1\r\nhost: a\r\nx");
  EXPECT_TRUE(server.session.time_out_head());
  EXPECT_EQ(server.written(),
            "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  EXPECT_TRUE(server.session.wants_close());
  // The rest of it is nobody's.
  server.feed(": y\r\n\r\n");
  EXPECT_EQ(server.take_events(), "");
  EXPECT_EQ(server.left, "");
}

TEST(Http1Session, NoHeadIsDueInsideOfARequestNorFromAServer) {
  Http1Script server(Role::kServer);
  server.feed("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na");
  EXPECT_FALSE(server.session.time_out_head());
  server.send({{":status", "413"}, {"content-length", "0"}}, true);
  server.written();
  server.session.reset(server.stream, Http2Error::kNoError);
  EXPECT_FALSE(server.session.time_out_head()) << "a body that is read to its end has had its answer";
  Http1Script client(Role::kClient);
  EXPECT_FALSE(client.session.time_out_head()) << "who has been asked nothing owes no head";
  client.open({{":method", "GET"}, {":path", "/"}, {":authority", "a"}});
  client.written();
  EXPECT_FALSE(client.session.time_out_head());
  EXPECT_EQ(server.written() + client.written(), "");
}

TEST(Http1Session, MalformedRequestMayBeAnsweredAsAStream) {
  Http1Script server(Role::kServer);
  server.refuses = false;
  server.feed("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(server.take_events(), "malformed 400 host is missing END\n");
  EXPECT_TRUE(server.stream.remote_closed);
  server.send({{":status", "400"}, {"content-length", "2"}}, false);
  server.send_data("no", true);
  EXPECT_EQ(server.written(), "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
  EXPECT_TRUE(server.session.wants_close());
}

// --- memory

TEST(Http1Session, OutputLimitBoundsWhatIsTaken) {
  Http1Settings settings;
  settings.output_limit = 1000;
  Http1Script server(Role::kServer, settings);
  server.feed(kGetText);
  EXPECT_FALSE(server.session.can_send(server.stream));
  server.send({{":status", "200"}, {"content-length", "5000"}}, false);
  const size_t head = server.written().size();
  EXPECT_GT(head, 0u);
  EXPECT_TRUE(server.session.can_send(server.stream));
  EXPECT_EQ(server.send_data(std::string(5000, 'x'), true), 1000u);
  EXPECT_TRUE(server.stream.blocked);
  EXPECT_FALSE(server.stream.local_closed);
  EXPECT_FALSE(server.session.can_send(server.stream));
  EXPECT_EQ(server.send_data("x", false), 0u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(server.written(), std::string(1000, 'x'));
    EXPECT_EQ(server.send_data(std::string(1000, 'x'), i == 3), 1000u);
    EXPECT_FALSE(server.stream.blocked);
  }
  EXPECT_FALSE(server.stream.attached);
}

TEST(Http1Session, InputStopsWhileMoreThanTheWindowWaits) {
  Http1Settings settings;
  settings.stream_window = 100;
  Http1Script server(Role::kServer, settings);
  server.feed(kPostText + "Content-Length: 1000\r\n\r\n" + std::string(100, 'x'));
  EXPECT_TRUE(server.session.wants_input());
  server.feed("x");
  EXPECT_FALSE(server.session.wants_input());
  server.session.consumed(server.stream, 1);
  EXPECT_TRUE(server.session.wants_input());
  server.feed(std::string(300, 'x'));
  server.session.consumed(server.stream, 299);
  EXPECT_FALSE(server.session.wants_input());
  server.session.consumed(server.stream, 1);
  EXPECT_TRUE(server.session.wants_input());
}

TEST(Http1Session, HoldsNoMemory) {
  static_assert(sizeof(Http1Session) <= 256);
  Http1Script server(Role::kServer);
  server.feed(kPostText + "Content-Length: 1000\r\n\r\n" + std::string(100, 'x'));
  EXPECT_EQ(server.session.capacity(), 0u);
}

// A request in chunks through a server's and a client's session and its response back, again and again.
TEST(Http1Session, AllocatesNothingPerMessage) {
  const Http1Settings settings;
  ChunkPool chunks;
  ByteQueue to_client(chunks);
  ByteQueue to_server(chunks);
  HeaderList fields;
  Http1Session server(Role::kServer, settings, to_client, fields);
  Http1Session client(Role::kClient, settings, to_server, fields);
  CodecStream down;
  CodecStream up;
  const std::string request = kPostText +
                              "Connection: x-mine\r\nX-Mine: 1\r\nAccept: text/html,application/xhtml+xml\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";
  const std::string response = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

  const auto proxy_once = [&] {
    std::span<const uint8_t> input = bytes_of(request);
    for (CodecEvent event = server.next(input); event.kind != CodecEvent::Kind::kNone;
         event = server.next(input)) {
      if (event.kind == CodecEvent::Kind::kHead) {
        server.accept(event.stream_id, down, nullptr);
        client.open(up, nullptr, fields, event.end_stream, false);
      } else if (event.kind == CodecEvent::Kind::kData) {
        client.send_data(up, event.data, event.end_stream);
      } else {
        client.send_headers(up, fields, true);
      }
    }
    input = bytes_of(response);
    for (CodecEvent event = client.next(input); event.kind != CodecEvent::Kind::kNone;
         event = client.next(input)) {
      if (event.kind == CodecEvent::Kind::kHead) {
        server.send_headers(down, fields, event.end_stream);
      } else {
        server.send_data(down, event.data, event.end_stream);
      }
    }
    const size_t bytes = to_client.size() + to_server.size();
    to_client.clear();
    to_server.clear();
    return bytes;
  };

  const size_t bytes = proxy_once();
  EXPECT_GT(bytes, 150u);
  const uint64_t before = allocations_so_far();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(proxy_once(), bytes);
  EXPECT_EQ(allocations_so_far() - before, 0u);
}

}  // namespace
}  // namespace sluice::l7
