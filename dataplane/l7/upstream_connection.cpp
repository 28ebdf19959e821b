#include "dataplane/l7/upstream_connection.h"

#include <cstring>

#include "dataplane/l7/exchange.h"
#include "dataplane/l7/upstream_pool.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

Exchange& exchange_of(const CodecStream& stream) {
  return *static_cast<Exchange*>(stream.owner);
}

}  // namespace

UpstreamConnection::UpstreamConnection(WorkerContext& worker, int fd, UpstreamPool& pool,
                                       std::shared_ptr<const ClusterSettings> settings)
    : Connection(worker, fd),
      pool_(&pool),
      settings_(std::move(settings)),
      codec_(Http2Session::Role::kClient, settings_->http2, output(), worker.headers),
      connect_timeout_(settings_->connect_timeout) {
  codec_.start();
}

bool UpstreamConnection::open() {
  if (!watch(true)) return false;
  worker_.loop.timers().start(
      connect_timer_, worker_.loop.now(), connect_timeout_,
      [](void* self) { static_cast<UpstreamConnection*>(self)->close("no connection within the time-out"); },
      this);
  return true;
}

void UpstreamConnection::on_connected(int error) {
  connect_timer_.stop();
  if (error != 0) {
    close(std::strerror(error));
    return;
  }
  connected_ = true;
  wake_output();
  pool_->on_connected();
}

void UpstreamConnection::on_input(std::span<const uint8_t>& input) {
  while (true) {
    const CodecEvent event = codec_.next(input);
    using Kind = CodecEvent::Kind;
    switch (event.kind) {
      case Kind::kNone:
        wake_output();
        pool_->serve_pending();
        close_if_spent();
        return;
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
        exchange_of(*event.stream).on_upstream_gone(event.error == Http2Error::kRefusedStream);
        break;
      case Kind::kWritable:
        if (event.stream != nullptr) {
          exchange_of(*event.stream).on_upstream_writable();
          break;
        }
        [[fallthrough]];
      case Kind::kSettings:
        resume_streams();
        break;
      case Kind::kGoAway:
        on_goaway(event.stream_id);
        break;
      case Kind::kFatal:
        close_after_flush();
        return;
      case Kind::kPong:
        break;
    }
    if (closed()) return;
  }
}

void UpstreamConnection::resume_streams() {
  auto& streams = worker_.streams;
  streams.clear();
  blocked_ = false;
  codec_.for_each_stream([&streams](CodecStream& stream) {
    if (stream.blocked) streams.push_back(&stream);
  });
  for (CodecStream* stream : streams) exchange_of(*stream).on_upstream_writable();
}

void UpstreamConnection::on_drained() {
  if (blocked_) resume_streams();
}

void UpstreamConnection::leave(CodecStream& stream) {
  if (!stream.attached) return;
  codec_.reset(stream, Http2Error::kCancel);
  wake_output();
}

// Streams above `last_processed` were not looked at: the request can be sent elsewhere (RFC 9113
// section 6.8).
void UpstreamConnection::on_goaway(uint32_t last_processed) {
  std::vector<CodecStream*> refused;
  codec_.for_each_stream([&](CodecStream& stream) {
    if (stream.id > last_processed) refused.push_back(&stream);
  });
  for (CodecStream* stream : refused) {
    codec_.detach(*stream);
    exchange_of(*stream).on_upstream_gone(true);
  }
}

void UpstreamConnection::close_if_spent() {
  if (codec_.goaway_received() && codec_.open_streams() == 0) close_after_flush();
}

void UpstreamConnection::on_closed(const char* why) {
  connect_timer_.stop();
  std::vector<CodecStream*> streams;
  codec_.for_each_stream([&streams](CodecStream& stream) { streams.push_back(&stream); });
  UpstreamPool* pool = pool_;
  pool->forget(*this, why);
  for (CodecStream* stream : streams) {
    codec_.detach(*stream);
    exchange_of(*stream).on_upstream_gone(false);
  }
  worker_.closed.emplace_back(this);
}

}  // namespace sluice::l7
