#include "dataplane/l7/client_connection.h"

#include "dataplane/l7/exchange.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

Exchange& exchange_of(const CodecStream& stream) {
  return *static_cast<Exchange*>(stream.owner);
}

}  // namespace

ClientConnection::ClientConnection(WorkerContext& worker, int fd, const IpAddress& address, size_t listener)
    : Connection(worker, fd),
      address_(address),
      address_text_(address.to_string()),
      born_(worker.config->settings),
      born_listener_(listener),
      listener_(listener),
      codec_(Http2Session::Role::kServer, settings().http2, output(), worker.headers) {
  codec_.start();
  wake_output();
}

void ClientConnection::on_input(std::span<const uint8_t>& input) {
  while (true) {
    const CodecEvent event = codec_.next(input);
    using Kind = CodecEvent::Kind;
    switch (event.kind) {
      case Kind::kNone:
        wake_output();
        return;
      case Kind::kHead:
        on_head(event);
        break;
      case Kind::kData:
        exchange_of(*event.stream).on_request_data(event.data, event.end_stream);
        break;
      case Kind::kTrailers:
        exchange_of(*event.stream).on_request_trailers();
        break;
      case Kind::kReset:
        exchange_of(*event.stream).on_client_gone();
        break;
      case Kind::kWritable:
        if (event.stream != nullptr) {
          exchange_of(*event.stream).on_client_writable();
          break;
        }
        [[fallthrough]];
      case Kind::kSettings:
        resume_streams();
        break;
      case Kind::kFatal:
        close_after_flush();
        return;
      case Kind::kInformational:
      case Kind::kGoAway:
      case Kind::kPong:
        break;
    }
    if (closed()) return;
  }
}

void ClientConnection::on_head(const CodecEvent& event) {
  if (event.head.error != nullptr) {
    codec_.refuse(event.stream_id, event.error);
    return;
  }
  Exchange& exchange = worker_.exchanges.take();
  codec_.accept(event.stream_id, exchange.down, &exchange);
  exchange.on_request(*this, event);
}

void ClientConnection::resume_streams() {
  auto& streams = worker_.streams;
  streams.clear();
  blocked_ = false;
  codec_.for_each_stream([&streams](CodecStream& stream) {
    if (stream.blocked) streams.push_back(&stream);
  });
  for (CodecStream* stream : streams) exchange_of(*stream).on_client_writable();
}

void ClientConnection::on_drained() {
  if (blocked_) resume_streams();
}

void ClientConnection::drain() {
  draining_ = true;
  codec_.goaway(Http2Error::kNoError, "the proxy drains");
  wake_output();
  on_exchange_over();
}

void ClientConnection::on_exchange_over() {
  if (draining_ && codec_.open_streams() == 0) close_after_flush();
}

void ClientConnection::on_connected(int /*error*/) {}

void ClientConnection::on_closed(const char* /*why*/) {
  std::vector<CodecStream*> streams;
  codec_.for_each_stream([&streams](CodecStream& stream) { streams.push_back(&stream); });
  for (CodecStream* stream : streams) {
    codec_.detach(*stream);
    exchange_of(*stream).on_client_gone();
  }
  ListLink<ClientsTag>::unlink();
  worker_.closed.emplace_back(this);
}

}  // namespace sluice::l7
