#include "dataplane/l7/client_connection.h"

#include <algorithm>
#include <cstring>

#include "dataplane/l7/connection_view.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/tls_server_context.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

Exchange& exchange_of(const CodecStream& stream) {
  return *static_cast<Exchange*>(stream.owner);
}

std::unique_ptr<TlsSession> tls_session(WorkerContext& worker, int fd, size_t listener) {
  const auto& context = worker.config->listeners[listener].tls;
  return context ? context->open_session(fd) : nullptr;
}

std::shared_ptr<ListenerCounters> counters_of_listener(WorkerContext& worker, size_t listener) {
  const auto& counters = worker.config->listeners[listener].traffic->counters();
  return {counters, &counters->of(worker.index)};
}

Counter& of(std::array<Counter, kSpokenProtocols>& counters, SpokenProtocol protocol) {
  return counters[static_cast<size_t>(protocol)];
}

}  // namespace

ClientConnection::ClientConnection(WorkerContext& worker, int fd, const IpAddress& address, uint16_t port,
                                   size_t listener)
    : ClientConnection(worker, fd, address, port, listener, counters_of_listener(worker, listener)) {}

ClientConnection::ClientConnection(WorkerContext& worker, int fd, const IpAddress& address, uint16_t port,
                                   size_t listener, std::shared_ptr<ListenerCounters> counters)
    : Connection(worker, fd, counters->bytes, tls_session(worker, fd, listener)),
      counters_(std::move(counters)),
      address_(address),
      address_text_(address.to_string()),
      port_(port),
      born_(worker.config->settings),
      born_listener_(listener),
      listener_(listener),
      counted_in_(worker.config->listeners[listener].clients),
      active_at_(worker.loop.now()) {
  account().set_limit(settings().max_client_memory);
  hold(sizeof(*this));
}

bool ClientConnection::open() {
  if (!watch(false)) return false;
  of(counters_->clients, spoken_).add(1);
  if (handshaking()) {
    worker_.loop.timers().start(
        handshake_timer_, worker_.loop.now(), settings().tls->handshake_timeout,
        [](void* self) { static_cast<ClientConnection*>(self)->time_out_handshake(); }, this);
  } else if (!settings().http1_allowed) {
    speak_http2();
  }
  if (settings().max_client_age.count() != 0) {
    // Clients that came together do not go together.
    const double part = 0.9 + 0.2 * worker_.random.unit();
    age_due_ = worker_.loop.now() +
               std::chrono::duration_cast<std::chrono::milliseconds>(settings().max_client_age * part);
    guard_at(age_due_);
  }
  if (!handshaking()) watch_head(false, true);
  return true;
}

void ClientConnection::on_handshake_done(std::string_view protocol) {
  handshake_timer_.stop();
  watch_head(false, true);
  if (protocol == "h2" || !settings().http1_allowed) {
    speak_http2();
  } else {
    speak_http1();
  }
}

// An upgrade to HTTP/2 is the same connection, counted under what it began with.
void ClientConnection::count_protocol(SpokenProtocol protocol) {
  if (spoken_ == SpokenProtocol::kNone) of(counters_->connections, protocol).add(1);
  of(counters_->clients, spoken_).subtract(1);
  of(counters_->clients, protocol).add(1);
  spoken_ = protocol;
}

void ClientConnection::speak_http2() {
  count_protocol(SpokenProtocol::kHttp2);
  codec_.use_http2(Http2Session::Role::kServer, settings().http2, output(), worker_.headers).start();
  if (worker_.leaving) codec_.announce_goaway();
  wake_output();
}

void ClientConnection::speak_http1() {
  count_protocol(SpokenProtocol::kHttp1);
  codec_.use_http1(Http1Session::Role::kServer, settings().http1, output(), worker_.headers);
  if (worker_.leaving) codec_.announce_goaway();
}

// In cleartext the first bytes tell which version the client speaks. False: too few to know.
bool ClientConnection::decide(std::span<const uint8_t> input) {
  const size_t compared = std::min(input.size(), kClientPreface.size());
  if (!settings().http2_allowed || std::memcmp(input.data(), kClientPreface.data(), compared) != 0) {
    speak_http1();
    return true;
  }
  // "P" is how a POST begins, too.
  if (compared < kClientPreface.size()) return false;
  speak_http2();
  return true;
}

void ClientConnection::on_input(std::span<const uint8_t>& input) {
  active_at_ = worker_.loop.now();
  if (codec_.undecided() && !decide(input)) return;
  codec_.forgive(active_at_);
  const size_t offered = input.size();
  while (true) {
    const CodecEvent event = codec_.next(input);
    if (event.kind == CodecEvent::Kind::kNone) break;
    if (!on_event(event) || closed()) return;
  }
  watch_head(input.size() != offered, codec_.awaits_rest(input));
  hold(sizeof(*this) + codec_.capacity());
  end_turn();
}

// What HTTP/1.1 wants of the connection when all that has come is dealt with.
void ClientConnection::end_turn() {
  wake_output();
  if (codec_.is_http2() || codec_.undecided()) return;
  if (codec_.wants_abort()) {
    abort("the response broke off");
  } else if (codec_.wants_close()) {
    close_after_flush();
  } else {
    if (codec_.wants_end_of_output()) end_output_after_flush();
    read_on(codec_.wants_input());
  }
}

bool ClientConnection::on_end_of_input() {
  if (codec_.undecided() || codec_.is_http2()) return false;
  const CodecEvent event = codec_.http1().on_eof();
  if (event.kind != CodecEvent::Kind::kNone) on_event(event);
  if (closed()) return true;
  if (codec_.open_streams() == 0) return false;
  end_turn();
  return true;
}

// False: nothing more is to be read.
bool ClientConnection::on_event(const CodecEvent& event) {
  using Kind = CodecEvent::Kind;
  switch (event.kind) {
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
      if (event.defence != Defence::kNone) note(event.defence);
      exchange_of(*event.stream).on_client_gone();
      break;
    case Kind::kWritable:
      if (event.stream == nullptr) {
        resume_streams();
      } else {
        exchange_of(*event.stream).on_client_writable();
      }
      break;
    case Kind::kSettings:
      resume_streams();
      break;
    case Kind::kFatal:
      if (event.defence != Defence::kNone) note(event.defence);
      drop_streams();
      close_after_flush();
      return false;
    default:
      break;
  }
  return true;
}

void ClientConnection::on_head(const CodecEvent& event) {
  if (event.head.error != nullptr) {
    if (event.defence != Defence::kNone) note(event.defence);
    codec_.refuse(event.stream_id, event.error);
    return;
  }
  if (account().tight() && codec_.is_http2()) {
    note(Defence::kClientMemoryStreams);
    codec_.refuse(event.stream_id, Http2Error::kRefusedStream);
    return;
  }
  if (++requests_ == settings().max_client_requests) retire(Defence::kClientRequests);
  if (!codec_.is_http2() && upgrade(event)) return;
  Exchange& exchange = worker_.exchanges.take();
  codec_.accept(event.stream_id, exchange.down, &exchange);
  if (worker_.memory.level() != MemoryLevel::kCalm && refuse_for_memory()) {
    note(Defence::kMemoryStreams);
    exchange.on_overload(*this, event);
    return;
  }
  exchange.on_request(*this, event);
}

// Short of memory, the proxy goes on serving those who take little of it.
bool ClientConnection::refuse_for_memory() const {
  constexpr size_t kModest = 64 * 1024;
  return account().held() > kModest;
}

// Goes on in HTTP/2 if the request asks for it (RFC 7540 section 3.2); its answer is the one of stream 1.
bool ClientConnection::upgrade(const CodecEvent& event) {
  const auto wanted = settings().http2_allowed && !handshaking() && tls() == nullptr
                          ? codec_.http1().h2c_upgrade()
                          : std::nullopt;
  if (!wanted) return false;
  codec_.http1().switch_to_h2c();
  count_protocol(SpokenProtocol::kHttp2);
  Http2Session& http2 =
      codec_.use_http2(Http2Session::Role::kServer, settings().http2, output(), worker_.headers);
  if (!http2.start_upgraded(wanted->payload(), true)) {
    http2.goaway(Http2Error::kProtocolError, "HTTP2-Settings is no settings payload");
    close_after_flush();
    return true;
  }
  Exchange& exchange = worker_.exchanges.take();
  codec_.accept(1, exchange.down, &exchange);
  exchange.on_request(*this, event);
  return true;
}

void ClientConnection::resume_streams() {
  codec_.for_each_writable([](CodecStream& stream) { exchange_of(stream).on_client_writable(); });
}

void ClientConnection::on_drained() {
  resume_streams();
}

void ClientConnection::drain_after(std::chrono::milliseconds wait) {
  worker_.loop.timers().start(
      drain_timer_, worker_.loop.now(), wait,
      [](void* self) { static_cast<ClientConnection*>(self)->drain(); }, this);
}

void ClientConnection::retire(Defence why) {
  // Long enough for the announcement to arrive before the client is held to it.
  constexpr std::chrono::milliseconds kNotice{1000};
  if (retiring_ || draining_) return;
  retiring_ = true;
  note(why);
  announce_drain();
  drain_after(kNotice + std::chrono::milliseconds(worker_.random.below(kNotice.count() + 1)));
}

void ClientConnection::announce_drain() {
  if (codec_.undecided() || draining_) return;
  codec_.announce_goaway();
  wake_output();
}

void ClientConnection::drain() {
  if (draining_) return;
  draining_ = true;
  if (codec_.undecided()) {
    close_after_flush();
    return;
  }
  codec_.goaway(Http2Error::kNoError, "the proxy drains");
  wake_output();
  on_exchange_over();
}

void ClientConnection::on_exchange_over() {
  active_at_ = worker_.loop.now();
  if (draining_ && codec_.open_streams() == 0) {
    close_after_flush();
  } else if (!closed()) {
    // The next request may have come already, or the connection is at its end.
    end_turn();
  }
}

ConnectionView ClientConnection::view() {
  ConnectionView view;
  view.place = listener_name();
  view.address = address_;
  view.port = peer_port();
  view.protocol = codec_.undecided() ? "" : codec_.is_http2() ? "http2" : "http1";
  view.streams = codec_.open_streams();
  describe(view);
  if (draining_) view.state = "draining";
  return view;
}

void ClientConnection::on_connected(int /*error*/) {}

void ClientConnection::drop_streams() {
  codec_.drop_streams_above(0, [](CodecStream& stream) { exchange_of(stream).on_client_gone(); });
}

void ClientConnection::on_closed(const char* /*why*/) {
  drop_streams();
  handshake_timer_.stop();
  drain_timer_.stop();
  if (spoken_ == SpokenProtocol::kNone) of(counters_->connections, spoken_).add(1);
  of(counters_->clients, spoken_).subtract(1);
  guard_timer_.stop();
  counted_in_->give_back();
  worker_.shared->clients.give_back();
  ++worker_.clients_gone;
  ListLink<ClientsTag>::unlink();
  worker_.closed.emplace_back(this);
}

}  // namespace sluice::l7
