// Our sessions against nghttp2's, in one process over byte arrays: whatever one end sends, the other
// receives, for random messages, windows and places where the bytes are cut.
#include "dataplane/l7/http2_session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "lb/l7/random.h"
#include "tests/unit/http2_ends.h"

namespace sluice::l7 {
namespace {

using Kind = CodecEvent::Kind;

TestFields some_fields(Random& random, size_t most) {
  TestFields fields;
  for (size_t left = random.below(most + 1); left > 0; --left) {
    std::string value(random.below(random.below(20) == 0 ? 5000 : 30), ' ');
    for (char& c : value) c = static_cast<char>('!' + random.below(90));
    fields.push_back({"x-" + std::to_string(random.below(8)), value, random.below(5) == 0});
  }
  return fields;
}

std::string some_body(Random& random) {
  constexpr std::array<size_t, 4> kMost = {1, 100, 20'000, 150'000};
  std::string body(random.below(kMost[random.below(kMost.size())]), ' ');
  for (char& c : body) c = static_cast<char>(random());
  return body;
}

std::vector<Plan> some_plans(Random& random) {
  std::vector<Plan> plans(1 + random.below(30));
  for (size_t i = 0; i < plans.size(); ++i) {
    Plan& plan = plans[i];
    plan.request.head = {
        {":method", "POST"}, {":scheme", "http"}, {":path", "/x"}, {":authority", "a.example"}};
    plan.request.head.push_back({std::string(kNumber), std::to_string(i)});
    for (TestField& field : some_fields(random, 5)) plan.request.head.push_back(std::move(field));
    plan.request.body = some_body(random);
    if (random.below(3) == 0) plan.request.trailers = some_fields(random, 3);
    for (size_t left = random.below(5) == 0 ? 2 : 0; left > 0; --left) {
      plan.informational.push_back({{":status", "103"}, {"link", "x"}});
    }
    plan.response.head = {{":status", "200"}};
    for (TestField& field : some_fields(random, 5)) plan.response.head.push_back(std::move(field));
    plan.response.body = some_body(random);
    if (random.below(3) == 0) plan.response.trailers = some_fields(random, 3);
    plan.answer_at_once = random.below(2) == 0;
  }
  return plans;
}

// Hands bytes over in pieces.
void deliver(const Bytes& bytes, Random& random, const std::function<void(std::span<const uint8_t>)>& feed) {
  const size_t most = random.below(10) == 0 ? 1 : random.below(2) == 0 ? 50 : 40'000;
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = std::min<size_t>(bytes.size() - at, 1 + random.below(most));
    feed(std::span(bytes).subspan(at, size));
    at += size;
  }
}

void expect_same(const std::vector<Plan>& plans, const std::map<size_t, Received>& requests,
                 const std::map<size_t, Received>& responses) {
  ASSERT_EQ(requests.size(), plans.size());
  ASSERT_EQ(responses.size(), plans.size());
  for (size_t i = 0; i < plans.size(); ++i) {
    const Received& request = requests.at(i);
    const Received& response = responses.at(i);
    ASSERT_TRUE(request.whole && response.whole);
    ASSERT_EQ(request.message.head, plans[i].request.head);
    ASSERT_TRUE(request.message.body == plans[i].request.body);
    ASSERT_EQ(request.message.trailers, plans[i].request.trailers);
    ASSERT_EQ(response.informational, plans[i].informational);
    ASSERT_EQ(response.message.head, plans[i].response.head);
    ASSERT_TRUE(response.message.body == plans[i].response.body);
    ASSERT_EQ(response.message.trailers, plans[i].response.trailers);
  }
}

void play(uint64_t seed, bool we_serve) {
  SCOPED_TRACE(seed);
  Random random(seed);
  const std::vector<Plan> plans = some_plans(random);
  Theirs theirs(!we_serve, plans, random);
  Ours ours(we_serve, plans, random);
  size_t asked = 0;
  for (int turn = 0; ours.received.size() < plans.size() || theirs.received.size() < plans.size(); ++turn) {
    ASSERT_LT(turn, 20'000) << "no progress: " << ours.received.size() << " and " << theirs.received.size()
                            << " of " << plans.size();
    // A client that has not seen its server's SETTINGS would not know how many streams it may open.
    if (turn > 2 && asked < plans.size() && random.below(2) == 0) {
      if (we_serve) {
        theirs.ask(asked++);
      } else if (ours.can_ask()) {
        ours.ask(asked++);
      }
    }
    ours.go_on();
    if (testing::Test::HasFatalFailure()) return;
    deliver(ours.take(), random, [&](auto piece) { theirs.feed(piece); });
    if (testing::Test::HasFatalFailure()) return;
    deliver(theirs.take(), random, [&](auto piece) { ours.feed(piece); });
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_TRUE(theirs.errors.empty());
  expect_same(plans, we_serve ? ours.received : theirs.received, we_serve ? theirs.received : ours.received);
}

TEST(Http2Session, OurServerAndAnNghttp2ClientUnderstandEachOther) {
  for (uint64_t seed = 1; seed <= 60 && !HasFailure(); ++seed) play(seed, true);
}

TEST(Http2Session, OurClientAndAnNghttp2ServerUnderstandEachOther) {
  for (uint64_t seed = 1; seed <= 60 && !HasFailure(); ++seed) play(seed, false);
}

// --- where the bytes are cut

/// All that a session says about `bytes`, cut at each of `cuts`; bodies put together again.
std::string story(Http2Session::Role role, const Bytes& bytes, const std::vector<size_t>& cuts) {
  const Http2Settings settings;
  ChunkPool chunks;
  ByteQueue output(chunks);
  HeaderList scratch;
  Http2Session session(role, settings, output, scratch);
  session.start();
  std::map<uint32_t, CodecStream> streams;
  if (role == Http2Session::Role::kClient) {
    const TestFields get = {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};
    for (uint32_t id = 1; id < 10; id += 2) session.open(streams[id], nullptr, list_of(get), true, false);
  }
  std::string told;
  std::string last_data;
  const auto say = [&](const CodecEvent& event) {
    const std::string stream = std::to_string(event.stream_id);
    if (event.kind == Kind::kData) {
      if (last_data != stream) told += "\ndata " + stream + " ";
      last_data = event.end_stream ? "" : stream;
      told.append(event.data.begin(), event.data.end());
      if (event.end_stream) told += " end";
      return;
    }
    last_data.clear();
    told += "\n" + std::to_string(static_cast<int>(event.kind)) + " " + stream +
            (event.end_stream ? " end" : "") + " " + std::to_string(static_cast<uint32_t>(event.error));
    if (event.kind == Kind::kHead || event.kind == Kind::kTrailers || event.kind == Kind::kInformational) {
      for (const TestField& field : fields_of(session.headers()))
        told += " " + field.name + "=" + field.value;
    }
    if (event.kind == Kind::kHead && event.stream == nullptr) {
      session.accept(event.stream_id, streams[event.stream_id], nullptr);
    }
  };
  Bytes unread;
  size_t from = 0;
  for (size_t i = 0; i <= cuts.size(); ++i) {
    const size_t to = i == cuts.size() ? bytes.size() : cuts[i];
    unread.insert(unread.end(), bytes.begin() + static_cast<ptrdiff_t>(from),
                  bytes.begin() + static_cast<ptrdiff_t>(to));
    from = to;
    const Bytes copy(unread);
    std::span<const uint8_t> input(copy);
    while (true) {
      const CodecEvent event = session.next(input);
      if (event.kind == Kind::kNone) break;
      say(event);
    }
    unread.assign(input.begin(), input.end());
  }
  told += "\nsent:";
  while (!output.empty()) {
    for (const uint8_t byte : output.front()) told += " " + std::to_string(byte);
    output.consume(output.front().size());
  }
  return told;
}

// What an nghttp2 client asks, or its server answers.
Bytes recording(bool of_client) {
  Random random(5);
  std::vector<Plan> plans(5);
  for (size_t i = 0; i < plans.size(); ++i) {
    plans[i].request.head = {{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};
    plans[i].request.head.push_back({std::string(kNumber), std::to_string(i)});
    plans[i].response.head = {{":status", "200"}, {"x-response", std::to_string(i)}};
    if (i % 2 == 0) plans[i].request.body = plans[i].response.body = std::string(50 * i, 'b');
    if (i > 2) plans[i].request.trailers = plans[i].response.trailers = {{"x-checksum", "1"}};
    if (i == 1) plans[i].informational = {{{":status", "103"}, {"link", "x"}}};
  }
  Theirs client(false, plans, random);
  Theirs server(true, plans, random);
  for (size_t i = 0; i < plans.size(); ++i) client.ask(i);
  Bytes recorded;
  for (int turn = 0; turn < 20; ++turn) {
    for (const bool client_turn : {true, false}) {
      const Bytes bytes = client_turn ? client.take() : server.take();
      if (client_turn == of_client) recorded.insert(recorded.end(), bytes.begin(), bytes.end());
      (client_turn ? server : client).feed(bytes);
    }
  }
  EXPECT_EQ(client.received.size(), plans.size());
  return recorded;
}

void expect_cuts_say_nothing(Http2Session::Role role, const Bytes& bytes) {
  const std::string whole = story(role, bytes, {});
  EXPECT_NE(whole.find("x-checksum"), std::string::npos) << whole;
  EXPECT_NE(whole.find("bbbbbbbb"), std::string::npos);
  std::vector<size_t> all;
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    all.push_back(cut);
    ASSERT_EQ(story(role, bytes, {cut}), whole) << "cut at " << cut;
  }
  EXPECT_EQ(story(role, bytes, all), whole) << "byte by byte";
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<size_t> some;
    for (size_t at = 1 + random.below(200); at < bytes.size(); at += 1 + random.below(200))
      some.push_back(at);
    ASSERT_EQ(story(role, bytes, some), whole) << "round " << round;
  }
}

TEST(Http2Session, WhereARequestIsCutSaysNothing) {
  expect_cuts_say_nothing(Http2Session::Role::kServer, recording(true));
}

TEST(Http2Session, WhereAResponseIsCutSaysNothing) {
  expect_cuts_say_nothing(Http2Session::Role::kClient, recording(false));
}

// --- a connection that began as HTTP/1.1 (RFC 7540 section 3.2)

TEST(Http2Session, AnUpgradedConnectionHasItsFirstStreamAndThePeersSettings) {
  const Http2Settings settings;
  ChunkPool chunks;
  ByteQueue output(chunks);
  HeaderList scratch;
  Http2Session session(Http2Session::Role::kServer, settings, output, scratch);
  // INITIAL_WINDOW_SIZE=3
  const Bytes payload = {0, 4, 0, 0, 0, 3};
  ASSERT_TRUE(session.start_upgraded(payload, true));
  CodecStream stream;
  session.accept(1, stream, nullptr);
  EXPECT_TRUE(stream.remote_closed);
  session.send_headers(stream, list_of({{":status", "200"}}), false);
  const Bytes body(5, 'x');
  EXPECT_EQ(session.send_data(stream, body, true), 3u);
  // The preface still comes, and the next stream is 3.
  Bytes input(kClientPreface.begin(), kClientPreface.end());
  for (const uint8_t byte : Bytes{0, 0, 0, 4, 0, 0, 0, 0, 0}) input.push_back(byte);
  for (const uint8_t byte : Bytes{0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 9}) input.push_back(byte);
  std::span<const uint8_t> left(input);
  EXPECT_EQ(session.next(left).kind, Kind::kSettings);
  const CodecEvent writable = session.next(left);
  EXPECT_EQ(writable.kind, Kind::kWritable);
  EXPECT_EQ(writable.stream, &stream);
  EXPECT_EQ(session.send_data(stream, std::span(body).subspan(3), true), 2u);
  EXPECT_FALSE(stream.attached);
}

TEST(Http2Session, AnUpgradeWithWrongSettingsIsNone) {
  const Http2Settings settings;
  ChunkPool chunks;
  ByteQueue output(chunks);
  HeaderList scratch;
  for (const Bytes& payload : {Bytes{0, 4, 0, 0, 0}, Bytes{0, 5, 0, 0, 0, 1}}) {
    Http2Session session(Http2Session::Role::kServer, settings, output, scratch);
    EXPECT_FALSE(session.start_upgraded(payload, true));
  }
}

// --- memory

TEST(Http2Session, AnIdleSessionIsSmall) {
  EXPECT_LE(sizeof(Http2Session), 320u);
  const Http2Settings settings;
  ChunkPool chunks;
  ByteQueue output(chunks);
  HeaderList scratch;
  Http2Session session(Http2Session::Role::kServer, settings, output, scratch);
  session.start();
  EXPECT_EQ(session.capacity(), 0u);
  output.clear();
  EXPECT_EQ(chunks.in_use(), 0u);
}

}  // namespace
}  // namespace sluice::l7
