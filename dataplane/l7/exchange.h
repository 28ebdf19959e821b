// One request and its response on their way through the proxy: the stream that it came on, the stream that it
// goes to, the bytes between them for which the next side has no room yet, and what is done when the way
// fails.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/l7/byte_queue.h"
#include "dataplane/l7/codec_event.h"
#include "dataplane/l7/exchange_trace.h"
#include "dataplane/l7/header_list.h"
#include "dataplane/l7/intrusive_list.h"
#include "dataplane/l7/outcome.h"
#include "dataplane/l7/request_keys.h"
#include "dataplane/l7/request_record.h"
#include "dataplane/l7/timer_wheel.h"
#include "lb/l7/body_pace.h"
#include "lb/l7/endpoint.h"
#include "lb/l7/retry_decision.h"
#include "lb/l7/route_table.h"

namespace sluice::l7 {

struct ConfigInUse;
struct ListenerSettings;
struct RouteCounters;
struct WorkerContext;
class ClientConnection;
class ClusterRuntime;
class UpstreamConnection;
class UpstreamPool;
struct PendingTag;

class Exchange : public ListLink<PendingTag> {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Exchange(WorkerContext& worker);
  ~Exchange();

  // --- told by the client's connection
  /// A request has come; worker.headers holds its fields and `down` is its stream, accepted.
  void on_request(ClientConnection& client, const CodecEvent& event);
  /// Instead of on_request(): a request has come that the proxy has no memory for.
  void on_overload(ClientConnection& client, const CodecEvent& event);
  void on_request_data(std::span<const uint8_t> data, bool end);
  void on_request_trailers();
  /// The client takes more.
  void on_client_writable() { pump_response(); }
  /// The client has reset the stream or its connection is lost. Ends the exchange.
  void on_client_gone();

  // --- told by the upstream pool
  /// A connection has room; sends the request there.
  void start(UpstreamConnection& upstream);
  /// It changes the stream's protocol (RFC 8441): not every connection takes that.
  bool extended_connect() const { return extended_connect_; }
  /// More follows the request's head.
  bool brings_body() const { return !request_ended_ || !to_upstream_.empty() || !replay_.empty(); }
  /// The request waits in `pool`.
  void wait_in(UpstreamPool& pool);
  /// There will be no connection. Ends the exchange, or tries elsewhere.
  void on_no_connection(Outcome outcome);

  // --- told by the upstream's connection
  void on_informational();
  void on_response(const CodecEvent& event);
  void on_response_data(std::span<const uint8_t> data, bool end);
  void on_response_trailers();
  void on_upstream_writable() { pump_request(); }
  /// How a stream was lost.
  enum class Loss : uint8_t {
    kGoAway,   ///< the endpoint ends its connection in order, and has not looked at the request
    kRefused,  ///< the endpoint has not looked at the request
    kBroken,   ///< the stream was reset, or the connection is lost
  };
  /// The stream is gone. Ends the exchange, or tries elsewhere. `error`: what the endpoint has reset it with.
  void on_upstream_gone(Loss loss, Http2Error error = Http2Error::kInternalError);

  /// Clears what the last request left, keeping memory of a usual size.
  void recycle();

  CodecStream down;  ///< the client's stream
  CodecStream up;    ///< the upstream's

 private:
  void begin(ClientConnection& client, const CodecEvent& event);
  void begin_beside(const Exchange& original, ClusterRuntime& cluster, MemoryAccount& account);
  // What it holds.
  size_t footprint() const;
  void charge_to(MemoryAccount& account);
  void charge();
  void uncharge();
  void keep_for_later();
  void note_stall(bool moved);
  // Where to.
  bool normalize_path();
  bool follow(const MatchedRoute& route);
  void prepare_request(const MatchedRoute& route);
  bool within_rate_limit(const MatchedRoute& route);
  void answer_redirect(const MatchedRoute& route);
  void answer_directly(const DirectResponse& response);
  const HeaderList& client_head(const HeaderList& fields);

  // Copies for clusters that mirror the route.
  void start_copies(const MatchedRoute& route);
  void begin_copy(Exchange& original, ClusterRuntime& cluster);
  void feed_copies(std::span<const uint8_t> data, bool end);
  void feed_copies(const HeaderList& trailers);
  void on_copied_data(std::span<const uint8_t> data, bool end);
  void leave_copies();
  void on_copy_answered(bool end);
  void on_copy_answer_data(size_t bytes, bool end);
  void finish_copy(Outcome outcome);

  // A second try beside a slow first one.
  void start_hedge();
  void begin_hedge(Exchange& original);
  bool in_flight() const;
  void on_hedge_answered(const CodecEvent& event);
  void take_over(Exchange& hedge);
  void drop_hedge();
  void end_hedge();
  void on_hedge_lost(Outcome outcome);

  // Trying and trying again.
  void dispatch();
  UpstreamPool* choose_pool();
  bool retry(TryOutcome outcome);
  bool move_elsewhere();
  void begin_anew();
  TryOutcome outcome_of_answer(const CodecEvent& response) const;
  void keep_for_replay(std::span<const uint8_t> data);
  void leave_upstream();
  void leave_connection();

  // The request's and the response's way.
  const HeaderList& upstream_head();
  void send_or_keep(std::span<const uint8_t> data, bool end);
  void note_asked();
  void pump_request();
  void pump_response();
  void credit_client(size_t sent);
  void send_response_head(const HeaderList& fields, bool end);
  void end_answer();
  void record_result(RequestResult result);
  RequestResult take_grpc_status();
  void record_lost_try(RequestResult result);

  // What is told of it.
  void note_end_of_try(TryEnd end);
  void note(RequestEvent event) { events_ |= 1u << static_cast<uint32_t>(event); }
  void begin_log(const ListenerSettings& listener);
  void keep_response_fields(const HeaderList& fields);
  RequestRecord record(Outcome outcome) const;
  void write_log(Outcome outcome);

  // Its trace.
  void begin_trace(const ListenerSettings& listener);
  void keep_request_texts();
  void begin_try_span();
  SpanRecord begin_span_record(SpanKind kind, Time began) const;
  void end_try_span();
  void end_trace(Outcome outcome);

  // Time.
  bool set_deadline_of_request();
  void arm();
  void on_timer();
  bool end_slow_body(Time now);
  Time next_due() const;

  // The end.
  void answer(Outcome outcome);
  void fail(Outcome outcome, Http2Error error = Http2Error::kInternalError);
  void finish_if_done();
  void finish(Outcome outcome);
  void count(Outcome outcome);

  static constexpr Time kNever = Time::max();
  static constexpr uint32_t kMaxTried = 8;

  WorkerContext& worker_;
  MemoryAccount* account_ = nullptr;  // of its client, while it is in use
  size_t charged_ = 0;                // bytes there, or among those that the worker keeps
  ClientConnection* client_ = nullptr;
  UpstreamConnection* upstream_ = nullptr;
  UpstreamPool* pool_ = nullptr;     // of the endpoint, while the request counts there
  UpstreamPool* waiting_ = nullptr;  // while it waits for a connection
  ClusterRuntime* cluster_ = nullptr;
  const MatchedRoute* route_ = nullptr;
  const RoutePolicy* policy_ = nullptr;        // of the route
  ConfigInUse* config_ = nullptr;              // what policy_ is part of
  const ListenerSettings* logging_ = nullptr;  // if its listener has an access log; part of config_ too
  RouteCounters* route_counters_ = nullptr;

  std::vector<Exchange*> copies_;  // those that still run
  Exchange* original_ = nullptr;   // of a copy, as long as it runs
  Exchange* hedge_ = nullptr;      // the second try, as long as it runs
  Exchange* hedged_ = nullptr;     // of a second try: whose it is

  HeaderList request_;
  HeaderList request_trailers_;
  HeaderList response_trailers_;
  HeaderList logged_fields_;      // of the response's head
  std::string client_path_;       // as it was sent; "": as request_ has it
  std::string client_authority_;  // likewise
  ByteQueue to_upstream_;
  ByteQueue to_client_;
  std::vector<uint8_t> replay_;  // the body so far, as long as the request may have to be sent again
  uint64_t sent_ = 0;            // bytes of the body sent in this try
  uint64_t credited_ = 0;        // bytes of it that the client may send more for
  uint64_t received_ = 0;        // bytes of it that have come
  uint64_t answered_ = 0;        // bytes of the answer's body

  Timer timer_;
  Time deadline_ = kNever;      // of the answer
  Time try_deadline_ = kNever;  // of this try, or of waiting for a connection
  Time retry_at_ = kNever;
  Time hedge_at_ = kNever;
  Time stalled_since_ = kNever;  // the client takes nothing of what waits for it
  BodyPace pace_;                // of the request's body
  Time began_at_{};
  Time active_at_{};  // when bytes last moved
  Time asked_at_{};   // when the endpoint had all of the request, or its head if it does not wait for more
  Time request_ended_at_{};
  Time answer_began_at_{};

  std::optional<uint64_t> hash_;  // for hash policies
  NewCookie cookie_;
  std::array<const EndpointState*, kMaxTried> tried_{};
  uint32_t informational_bytes_ = 0;  // of informational responses
  uint32_t informational_ = 0;
  uint32_t tries_ = 0;
  uint32_t moves_ = 0;   // from connections that ended in order
  uint32_t events_ = 0;  // of RequestEvent
  EndpointId endpoint_;  // of the last try
  ExchangeTrace trace_;
  SpanTexts trace_texts_;  // of the request's span
  Outcome outcome_ = Outcome::kAnswered;
  bool is_copy_ = false;       // has no client, and nobody waits for its answer
  bool grpc_timeout_ = false;  // deadline_ is the client's, and is told to the upstream
  bool counts_as_retry_ = false;
  bool replayable_ = false;
  bool recorded_ = false;  // the endpoint's result of this try is known
  bool head_method_ = false;
  bool extended_connect_ = false;
  bool grpc_ = false;
  bool request_ended_ = false;  // the client has sent all
  bool request_has_trailers_ = false;
  bool response_begun_ = false;  // its final head went to the client
  bool response_ended_ = false;  // the upstream has sent all
  bool response_has_trailers_ = false;
  bool response_has_length_ = false;
  uint16_t status_ = 0;  // that went to the client
  std::optional<GrpcStatus> grpc_status_;
  ClientProtocol protocol_ = ClientProtocol::kHttp2;
  bool endpoint_answered_ = false;  // the response is the endpoint's
};

}  // namespace sluice::l7
