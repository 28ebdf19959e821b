// Streams that share a connection's window and its output: who waits gets its turn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <vector>

#include "dataplane/l7/http2_session.h"
#include "tests/unit/nghttp2_hpack.h"

namespace sluice::l7 {
namespace {

using testing::ElementsAre;

constexpr uint32_t kFirstWindow = 65535;  // of the connection

/// A client whose uploads never end, and the server's frames.
class Uploads {
 public:
  explicit Uploads(uint32_t stream_window) {
    session_.start();
    settings(stream_window);
    const TestFields post = {{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};
    for (uint32_t id : {1, 3, 5}) session_.open(streams[id], nullptr, list_of(post), false, false);
    output_.clear();
  }

  void settings(uint32_t stream_window) {
    constexpr uint8_t kInitialWindowSize = 4;
    feed(FrameType::kSettings, 0,
         {0, kInitialWindowSize, byte(stream_window, 24), byte(stream_window, 16), byte(stream_window, 8),
          byte(stream_window, 0)});
  }
  void open_window(uint32_t id, uint32_t bytes) {
    feed(FrameType::kWindowUpdate, id, {byte(bytes, 24), byte(bytes, 16), byte(bytes, 8), byte(bytes, 0)});
  }
  /// Offers far more than there is room for; how much was taken.
  size_t send(uint32_t id) {
    const size_t taken = session_.send_data(streams[id], body_, false);
    output_.clear();
    return taken;
  }
  /// Lets those send that the session calls; {stream, bytes}, in order.
  std::vector<std::pair<uint32_t, size_t>> resume() {
    std::vector<std::pair<uint32_t, size_t>> sent;
    while (CodecStream* stream = session_.next_writable()) sent.emplace_back(stream->id, send(stream->id));
    return sent;
  }

 private:
  static uint8_t byte(uint32_t value, int shift) { return static_cast<uint8_t>(value >> shift); }

  void feed(FrameType type, uint32_t id, std::vector<uint8_t> payload) {
    std::vector<uint8_t> frame(kFrameHeaderBytes);
    write_frame_header({static_cast<uint32_t>(payload.size()), type, 0, id}, frame.data());
    frame.insert(frame.end(), payload.begin(), payload.end());
    for (std::span<const uint8_t> input(frame); session_.next(input).kind != CodecEvent::Kind::kNone;) {
    }
  }

  const Http2Settings settings_;
  ChunkPool chunks_;
  ByteQueue output_{chunks_};
  HeaderList scratch_;
  Http2Session session_{Http2Session::Role::kClient, settings_, output_, scratch_};
  std::vector<uint8_t> body_ = std::vector<uint8_t>(200'000);

 public:
  Http2Session& session() { return session_; }
  std::map<uint32_t, CodecStream> streams;
};

TEST(Http2SendQueue, ASmallWindowGoesRoundAmongThoseThatWait) {
  Uploads uploads(1 << 20);
  EXPECT_EQ(uploads.send(1), kFirstWindow);
  EXPECT_EQ(uploads.send(3), 0u);
  EXPECT_EQ(uploads.send(5), 0u);
  std::vector<std::pair<uint32_t, size_t>> order;
  for (int turn = 0; turn < 6; ++turn) {
    uploads.open_window(0, 1000);
    for (const auto& sent : uploads.resume()) order.push_back(sent);
  }
  EXPECT_THAT(order, ElementsAre(std::pair(1u, 1000u), std::pair(3u, 1000u), std::pair(5u, 1000u),
                                 std::pair(1u, 1000u), std::pair(3u, 1000u), std::pair(5u, 1000u)));
}

TEST(Http2SendQueue, NobodyIsCalledWithoutRoom) {
  Uploads uploads(1 << 20);
  uploads.send(1);
  uploads.send(3);
  EXPECT_THAT(uploads.resume(), ElementsAre());
}

TEST(Http2SendQueue, WhoseOwnWindowIsClosedDoesNotWaitForTheConnections) {
  Uploads uploads(10);
  EXPECT_EQ(uploads.send(1), 10u);
  EXPECT_THAT(uploads.resume(), ElementsAre());
  // A change of the first window is one of all streams' (RFC 9113 section 6.9.2).
  uploads.settings(15);
  EXPECT_THAT(uploads.resume(), ElementsAre(std::pair(1u, 5u)));
}

TEST(Http2SendQueue, AStreamThatHasEndedHasNoPlace) {
  Uploads uploads(1 << 20);
  uploads.send(1);
  uploads.send(3);
  uploads.send(5);
  uploads.session().reset(uploads.streams[1], Http2Error::kCancel);
  uploads.open_window(0, 1000);
  EXPECT_THAT(uploads.resume(), ElementsAre(std::pair(3u, 1000u)));
}

TEST(Http2SendQueue, APlaceMovesWithTheStream) {
  Uploads uploads(1 << 20);
  uploads.send(1);
  CodecStream elsewhere;
  static_cast<CodecStreamState&>(elsewhere) = uploads.streams[1];
  uploads.session().replace(uploads.streams[1], elsewhere);
  uploads.open_window(0, 1000);
  EXPECT_EQ(uploads.session().next_writable(), &elsewhere);
}

}  // namespace
}  // namespace sluice::l7
