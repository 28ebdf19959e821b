// A client's connection and its streams.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "dataplane/l7/codec.h"
#include "dataplane/l7/connection.h"
#include "dataplane/l7/settings.h"
#include "dataplane/l7/worker_context.h"
#include "lb/address.h"

namespace sluice::l7 {

struct ClientsTag;

class ClientConnection final : public Connection, public ListLink<ClientsTag> {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `listener`: the place of its listener in worker.config.
  ClientConnection(WorkerContext& worker, int fd, const IpAddress& address, uint16_t port, size_t listener);

  /// Begins to read. False if the socket cannot be watched; the object is then to be deleted.
  bool open();
  Codec& codec() { return codec_; }
  const IpAddress& address() const { return address_; }
  const std::string& address_text() const { return address_text_; }
  uint16_t port() const { return port_; }
  const RouteTable& routes() const { return *worker_.config->listeners[listener_].routes; }
  const PathRules& paths() const { return worker_.config->listeners[listener_].settings->paths; }
  /// Of the listener that it came in by.
  ListenerCounters& counters() { return *counters_; }
  /// nullptr: not counted. Of a route of routes(), and good for as long as worker.config is in use.
  RouteCounters* counters_of(const MatchedRoute& route) const {
    return worker_.config->listeners[listener_].route_counters[route.index()];
  }
  bool is_health_check(std::string_view path) const {
    return !settings().health_path.empty() && path == settings().health_path;
  }
  bool forwarded_for() const { return settings().forwarded_for; }
  /// `bytes` of a stream's body have left for the other side: its sender may go on.
  void consumed(CodecStream& stream, size_t bytes) {
    codec_.consumed(stream, bytes);
    if (!codec_.is_http2()) read_on(codec_.wants_input());
  }
  /// Whether the client has leave to send more of a stream's body.
  bool may_send(const CodecStream& stream) { return codec_.takes_data(stream) && !account().tight(); }
  /// The codec has been told to send something.
  void wrote() {
    wake_output();
    if (codec_.is_http2()) return;
    if (codec_.wants_end_of_output()) end_output_after_flush();
    // A tunnel that begins takes what its client has sent ahead.
    read_on(codec_.wants_input());
  }
  /// A stream of this connection has ended.
  void on_exchange_over();
  void shut(const char* why) { close(why); }
  /// For who lists the connections.
  ConnectionView view();
  /// The last survey that has seen it (connection_survey.h).
  uint64_t surveyed = 0;

  /// Counts what is done against this client.
  void note(Defence defence) { worker_.counters.client_defences[static_cast<size_t>(defence)].add(1); }
  /// Ends the connection for what the client does: its streams at once, and GOAWAY if it reads.
  void end_for(Defence why);
  /// Asks it to go for a reason that is no fault of its own, in two steps.
  void retire(Defence why);
  void weigh() override;
  /// No request is open.
  bool idle() { return !draining_ && !handshaking() && codec_.open_streams() == 0; }
  /// When bytes last came, or a request ended.
  Time active_at() const { return active_at_; }
  std::chrono::milliseconds stall_timeout() const { return settings().stall_timeout; }

  /// The listener as the configuration in force has it.
  const ListenerSettings& listener() const { return *worker_.config->listeners[listener_].settings; }
  const std::string& listener_name() const { return settings().name; }
  /// The listener's place in a new configuration.
  void move_to(size_t listener) { listener_ = listener; }
  /// First step of drain(): says that the end is near, and still takes requests (RFC 9113 section 6.8).
  void announce_drain();
  /// Asks the client to go: GOAWAY, and the connection closes after its last stream.
  void drain();
  void drain_after(std::chrono::milliseconds wait);

 private:
  static constexpr Time kNever = Time::max();

  void on_input(std::span<const uint8_t>& input) override;
  void on_closed(const char* why) override;
  void on_drained() override;
  void on_connected(int error) override;
  void on_handshake_done(std::string_view protocol) override;
  void on_write_blocked() override;
  bool on_end_of_input() override;
  bool decide(std::span<const uint8_t> input);
  void speak_http2();
  void speak_http1();
  void count_protocol(SpokenProtocol protocol);
  bool on_event(const CodecEvent& event);
  void on_head(const CodecEvent& event);
  bool upgrade(const CodecEvent& event);
  bool refuse_for_memory() const;
  void end_turn();
  void resume_streams();
  void drop_streams();
  void watch_head(bool progressed, bool waits_for_rest);
  void guard_at(Time due);
  void on_guard();
  bool answer_slow_head();
  const ListenerSettings& settings() const { return born_->listeners[born_listener_]; }

  ClientConnection(WorkerContext& worker, int fd, const IpAddress& address, uint16_t port, size_t listener,
                   std::shared_ptr<ListenerCounters> counters);

  std::shared_ptr<ListenerCounters> counters_;
  IpAddress address_;
  std::string address_text_;
  uint16_t port_;
  // What the codec was made with, which a new configuration does not change.
  std::shared_ptr<const ProxySettings> born_;
  size_t born_listener_;
  size_t listener_;
  Codec codec_;
  std::shared_ptr<LimitedCount> counted_in_;  // of the listener's clients
  Timer handshake_timer_;
  Timer drain_timer_;
  Timer guard_timer_;  // for whichever of the times below is due first
  Time guard_due_ = kNever;
  Time head_since_ = kNever;  // when a head or frame began that is not whole
  Time age_due_ = kNever;
  Time active_at_;
  uint32_t requests_ = 0;
  uint32_t watched_block_ = 0;  // the stream of head_since_, if it is about a header block
  bool draining_ = false;
  SpokenProtocol spoken_ = SpokenProtocol::kNone;
  bool retiring_ = false;
};

}  // namespace sluice::l7
