// A connection to an endpoint, and the streams that requests have on it.
#pragma once

#include <memory>
#include <span>

#include "dataplane/l7/codec.h"
#include "dataplane/l7/connection.h"
#include "dataplane/l7/settings.h"
#include "dataplane/l7/timer_wheel.h"

namespace sluice::l7 {

class UpstreamPool;

class UpstreamConnection final : public Connection {
 public:
  UpstreamConnection(WorkerContext& worker, int fd, UpstreamPool& pool, WireBytes& bytes,
                     std::shared_ptr<const ClusterSettings> settings, std::unique_ptr<TlsSession> tls);

  /// Waits for the connection to be made. False if the socket cannot be watched.
  bool open();
  /// Whether a request can be sent now.
  bool has_room() {
    // Heads are written whatever waits: an endpoint that does not read gets no more of them.
    return connected_ && !closed() && output().size() < settings_->http2.output_limit && codec_.can_open() &&
           !(in_input_ && !codec_.is_http2());
  }
  /// Whether what a request brings as its body would have to wait, even that of a new one.
  bool holds_up_bodies() { return codec_.is_http2() && codec_.http2().send_window_closed(); }
  bool connected() const { return connected_; }
  Codec& codec() { return codec_; }
  /// `bytes` of a stream's body have left for the other side: its sender may go on.
  void consumed(CodecStream& stream, size_t bytes) {
    codec_.consumed(stream, bytes);
    if (!codec_.is_http2()) read_on(codec_.wants_input());
  }
  /// The codec has been told to send something.
  void wrote() {
    wake_output();
    if (codec_.wants_end_of_output()) end_output_after_flush();
  }
  /// Nobody waits for the stream any more: cancels it if it is still open.
  void leave(CodecStream& stream);
  void shut(const char* why) { close(why); }
  /// For who lists the connections; its cluster is not in it.
  ConnectionView view();

 private:
  void on_input(std::span<const uint8_t>& input) override;
  void on_closed(const char* why) override;
  void on_drained() override;
  void on_connected(int error) override;
  void on_handshake_done(std::string_view protocol) override;
  void on_timeout();
  void watch_silence(std::chrono::milliseconds at_most);
  void on_silence();
  bool on_end_of_input() override;
  bool on_event(const CodecEvent& event);
  void begin();
  void end_turn();
  bool close_if_spent();
  void resume_streams();
  void drop_streams();
  void note(Defence defence);
  void on_goaway(uint32_t last_processed);

  UpstreamPool* pool_;
  std::shared_ptr<const ClusterSettings> settings_;
  Codec codec_;
  Timer connect_timer_;
  std::chrono::milliseconds connect_timeout_;
  Timer silence_timer_;
  std::chrono::steady_clock::time_point heard_at_{};  // the last byte from it
  bool pinged_ = false;                               // and nothing heard since
  bool connected_ = false;
  // Bytes are being read that came before any request that is sent now: in HTTP/1.1 they could be taken for
  // its answer.
  bool in_input_ = false;
};

}  // namespace sluice::l7
