#include "dataplane/l7/upstream_connection.h"

#include <cstring>

#include "dataplane/l7/connection_view.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/upstream_pool.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

Exchange& exchange_of(const CodecStream& stream) {
  return *static_cast<Exchange*>(stream.owner);
}

}  // namespace

UpstreamConnection::UpstreamConnection(WorkerContext& worker, int fd, UpstreamPool& pool, WireBytes& bytes,
                                       std::shared_ptr<const ClusterSettings> settings,
                                       std::unique_ptr<TlsSession> tls)
    : Connection(worker, fd, bytes, std::move(tls)),
      pool_(&pool),
      settings_(std::move(settings)),
      connect_timeout_(settings_->connect_timeout) {
  hold(sizeof(*this));
}

bool UpstreamConnection::open() {
  if (!watch(true)) return false;
  worker_.loop.timers().start(
      connect_timer_, worker_.loop.now(), connect_timeout_,
      [](void* self) { static_cast<UpstreamConnection*>(self)->on_timeout(); }, this);
  return true;
}

ConnectionView UpstreamConnection::view() {
  ConnectionView view;
  view.upstream = true;
  view.address = pool_->id().address;
  view.port = pool_->id().port;
  view.protocol = codec_.undecided() ? "" : codec_.is_http2() ? "http2" : "http1";
  view.streams = codec_.open_streams();
  describe(view);
  if (!codec_.undecided() && codec_.goaway_received()) view.state = "draining";
  return view;
}

// The time is for both, connection and handshake.
void UpstreamConnection::on_timeout() {
  if (handshaking() && !connecting()) {
    time_out_handshake();
  } else {
    close("no connection within the time-out");
  }
}

void UpstreamConnection::on_connected(int error) {
  if (error != 0) {
    close(std::strerror(error));
  } else if (!handshaking()) {
    begin();
  }
}

void UpstreamConnection::on_handshake_done(std::string_view protocol) {
  if (settings_->protocol == HttpVersion::kHttp2 && protocol != "h2") {
    close("the endpoint does not speak HTTP/2 over TLS");
    return;
  }
  begin();
}

void UpstreamConnection::begin() {
  connect_timer_.stop();
  connected_ = true;
  if (settings_->protocol == HttpVersion::kHttp2) {
    codec_.use_http2(Http2Session::Role::kClient, settings_->http2, output(), worker_.headers).start();
  } else {
    codec_.use_http1(Http1Session::Role::kClient, settings_->http1, output(), worker_.headers);
  }
  wake_output();
  heard_at_ = worker_.loop.now();
  if (settings_->ping_interval.count() != 0) watch_silence(settings_->ping_interval);
  pool_->on_connected();
}

void UpstreamConnection::watch_silence(std::chrono::milliseconds at_most) {
  worker_.loop.timers().start(
      silence_timer_, worker_.loop.now(), at_most,
      [](void* self) { static_cast<UpstreamConnection*>(self)->on_silence(); }, this);
}

// An endpoint whose host or path has gone says nothing, and TCP may take it for one that has nothing to say:
// it is asked (PING, RFC 9113 section 6.7), and any byte is an answer.
void UpstreamConnection::on_silence() {
  const auto silence = std::chrono::duration_cast<std::chrono::milliseconds>(worker_.loop.now() - heard_at_);
  if (silence < settings_->ping_interval) {
    watch_silence(settings_->ping_interval - silence);
  } else if (!pinged_) {
    pinged_ = true;
    codec_.http2().ping(0);
    wake_output();
    watch_silence(settings_->ping_timeout);
  } else {
    pool_->note_silence();
    close("the endpoint does not answer a PING");
  }
}

void UpstreamConnection::on_input(std::span<const uint8_t>& input) {
  heard_at_ = worker_.loop.now();
  if (pinged_) {
    pinged_ = false;
    watch_silence(settings_->ping_interval);
  }
  codec_.forgive(heard_at_);
  // The next request waits until all of it is read: what stands behind a response is no answer to a request
  // that the server has not had (RFC 9112 section 9.2).
  in_input_ = true;
  while (true) {
    const CodecEvent event = codec_.next(input);
    if (event.kind == CodecEvent::Kind::kNone) break;
    if (!on_event(event) || closed()) {
      in_input_ = false;
      return;
    }
  }
  in_input_ = false;
  hold(sizeof(*this) + codec_.capacity());
  end_turn();
}

void UpstreamConnection::end_turn() {
  wake_output();
  if (!close_if_spent() && !codec_.is_http2()) {
    if (codec_.wants_end_of_output()) end_output_after_flush();
    read_on(codec_.wants_input());
  }
  if (!closed()) pool_->serve_pending();
}

// Whether no request can follow: endpoints that have said so may wait for our end.
bool UpstreamConnection::close_if_spent() {
  const bool spent = codec_.wants_close() || (codec_.spent() && codec_.open_streams() == 0);
  if (spent) close_after_flush();
  return spent;
}

bool UpstreamConnection::on_end_of_input() {
  if (codec_.undecided() || codec_.is_http2()) return false;
  const CodecEvent event = codec_.http1().on_eof();
  if (event.kind != CodecEvent::Kind::kNone) on_event(event);
  if (closed()) return true;
  if (codec_.open_streams() == 0) return false;
  end_turn();
  return true;
}

bool UpstreamConnection::on_event(const CodecEvent& event) {
  using Kind = CodecEvent::Kind;
  switch (event.kind) {
    case Kind::kHead:
      exchange_of(*event.stream).on_response(event);
      break;
    case Kind::kInformational:
      exchange_of(*event.stream).on_informational();
      break;
    case Kind::kData:
      exchange_of(*event.stream).on_response_data(event.data, event.end_stream);
      break;
    case Kind::kTrailers:
      exchange_of(*event.stream).on_response_trailers();
      break;
    case Kind::kReset:
      note(event.defence);
      exchange_of(*event.stream)
          .on_upstream_gone(
              event.error == Http2Error::kRefusedStream ? Exchange::Loss::kRefused : Exchange::Loss::kBroken,
              event.error);
      break;
    case Kind::kWritable:
      if (event.stream == nullptr) {
        resume_streams();
      } else {
        exchange_of(*event.stream).on_upstream_writable();
      }
      break;
    case Kind::kSettings:
      resume_streams();
      break;
    case Kind::kGoAway:
      on_goaway(event.stream_id);
      break;
    case Kind::kFatal:
      note(event.defence);
      drop_streams();
      close_after_flush();
      return false;
    default:
      break;
  }
  return true;
}

void UpstreamConnection::note(Defence defence) {
  if (defence == Defence::kNone) return;
  worker_.counters.endpoint_defences[static_cast<size_t>(defence)].add(1);
}

// Their requests are told at once, not when the connection has closed.
void UpstreamConnection::drop_streams() {
  codec_.drop_streams_above(
      0, [](CodecStream& stream) { exchange_of(stream).on_upstream_gone(Exchange::Loss::kBroken); });
}

void UpstreamConnection::resume_streams() {
  codec_.for_each_writable([](CodecStream& stream) { exchange_of(stream).on_upstream_writable(); });
}

void UpstreamConnection::on_drained() {
  resume_streams();
  if (!closed()) pool_->serve_pending();  // those that found the output full
}

void UpstreamConnection::leave(CodecStream& stream) {
  if (!stream.attached) {
    // The connection may have become free for the next request by what was just sent.
    if (!codec_.is_http2() && !closed() && !in_input_) end_turn();
    return;
  }
  codec_.reset(stream, Http2Error::kCancel);
  if (codec_.is_http2()) {
    wake_output();
    if (!in_input_) close_if_spent();
  } else {
    close("the request was given up");  // HTTP/1.1 has no other way to say so
  }
}

// Streams above `last_processed` were not looked at: the request can be sent elsewhere (RFC 9113
// section 6.8).
void UpstreamConnection::on_goaway(uint32_t last_processed) {
  codec_.drop_streams_above(last_processed, [](CodecStream& stream) {
    exchange_of(stream).on_upstream_gone(Exchange::Loss::kGoAway);
  });
}

void UpstreamConnection::on_closed(const char* why) {
  connect_timer_.stop();
  silence_timer_.stop();
  pool_->forget(*this, why);
  drop_streams();
  worker_.closed.emplace_back(this);
}

}  // namespace sluice::l7
