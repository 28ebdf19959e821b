// One request and its response on their way through the proxy: the stream that it came on, the stream that it
// goes to, and the bytes between them for which the next side has no room yet.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/l7/byte_queue.h"
#include "dataplane/l7/codec_event.h"
#include "dataplane/l7/header_list.h"
#include "dataplane/l7/intrusive_list.h"
#include "dataplane/l7/timer_wheel.h"
#include "lb/l7/endpoint.h"

namespace sluice::l7 {

struct WorkerContext;
class ClientConnection;
class UpstreamConnection;
class UpstreamPool;
class ClusterRuntime;
struct PendingTag;

/// Answers that the proxy gives itself.
struct LocalReply {
  uint16_t status;
  uint8_t grpc_status;      ///< to a gRPC client, which gets it as a status and not as a page
  std::string_view reason;  ///< the body, or grpc-message
};

class Exchange : public ListLink<PendingTag> {
 public:
  explicit Exchange(WorkerContext& worker);

  // --- told by the client's connection
  /// A request has come; worker.headers holds its fields and `down` is its stream, accepted.
  void on_request(ClientConnection& client, ClusterRuntime& cluster, const CodecEvent& event);
  void on_request_data(std::span<const uint8_t> data, bool end);
  void on_request_trailers();
  /// The client takes more.
  void on_client_writable() { pump_response(); }
  /// The client has reset the stream or its connection is lost. Ends the exchange.
  void on_client_gone();

  // --- told by the upstream pool
  /// A connection has room; sends the request there.
  void start(UpstreamConnection& upstream);
  /// The request waits in `pool`.
  void wait_in(UpstreamPool& pool) { waiting_ = &pool; }
  /// There will be no connection. Ends the exchange, or tries elsewhere.
  void on_no_connection(const LocalReply& reply);

  // --- told by the upstream's connection
  void on_informational();
  void on_response(const CodecEvent& event);
  void on_response_data(std::span<const uint8_t> data, bool end);
  void on_response_trailers();
  void on_upstream_writable() { pump_request(); }
  /// The stream was reset (or never processed), or its connection is lost. Ends the exchange, or tries
  /// elsewhere.
  void on_upstream_gone(Http2Error error);

  /// Clears what the last request left, keeping memory of a usual size.
  void recycle();

  /// Whether the request is HEAD, whose response has no body.
  bool head_method() const { return head_method_; }

  CodecStream down;  ///< the client's stream
  CodecStream up;    ///< the upstream's

 private:
  void dispatch();
  void pump_request();
  void pump_response();
  void send_response_head(const HeaderList& fields, bool end);
  void reply(const LocalReply& reply);
  void leave_upstream();
  void finish_if_done();
  void finish();

  WorkerContext& worker_;
  ClientConnection* client_ = nullptr;
  UpstreamConnection* upstream_ = nullptr;
  ClusterRuntime* cluster_ = nullptr;
  EndpointState* endpoint_ = nullptr;  // as long as the request counts there
  UpstreamPool* waiting_ = nullptr;    // while the request waits for a connection
  HeaderList request_;
  HeaderList request_trailers_;
  HeaderList response_trailers_;
  ByteQueue to_upstream_;
  ByteQueue to_client_;
  bool head_method_ = false;
  bool grpc_ = false;
  bool request_ended_ = false;  // the client has sent all
  bool request_has_trailers_ = false;
  bool response_begun_ = false;  // its final head went to the client
  bool response_ended_ = false;  // the upstream has sent all
  bool response_has_trailers_ = false;
};

}  // namespace sluice::l7
