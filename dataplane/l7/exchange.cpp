#include "dataplane/l7/exchange.h"

#include <array>
#include <charconv>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/upstream_connection.h"
#include "dataplane/l7/upstream_pool.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

// A request whose headers took more than this gives the memory back.
constexpr size_t kKeptHeaderBytes = 8 * 1024;

constexpr LocalReply kNoEndpoint{503, 14, "no healthy endpoint"};
constexpr LocalReply kUpstreamReset{502, 14, "the upstream ended the stream before it answered"};
constexpr LocalReply kUpstreamRefused{503, 14, "the upstream refused the stream"};

bool is_grpc(std::string_view content_type) {
  return content_type.starts_with("application/grpc");
}

}  // namespace

Exchange::Exchange(WorkerContext& worker)
    : worker_(worker), to_upstream_(worker.chunks), to_client_(worker.chunks) {}

void Exchange::recycle() {
  client_ = nullptr;
  upstream_ = nullptr;
  cluster_ = nullptr;
  endpoint_ = nullptr;
  waiting_ = nullptr;
  for (HeaderList* list : {&request_, &request_trailers_, &response_trailers_}) {
    list->shrink(kKeptHeaderBytes);
    list->clear();
  }
  to_upstream_.clear();
  to_client_.clear();
  head_method_ = grpc_ = request_ended_ = request_has_trailers_ = false;
  response_begun_ = response_ended_ = response_has_trailers_ = false;
}

// --- the request's way

void Exchange::on_request(ClientConnection& client, ClusterRuntime& cluster, const CodecEvent& event) {
  client_ = &client;
  cluster_ = &cluster;
  request_ended_ = event.end_stream;
  head_method_ = event.head.head_method;
  std::swap(request_, worker_.headers);
  grpc_ = is_grpc(request_.get(HeaderToken::kContentType));
  dispatch();
}

void Exchange::dispatch() {
  const auto endpoint = cluster_->pick(worker_);
  if (!endpoint) {
    reply(kNoEndpoint);
    return;
  }
  UpstreamPool& pool = cluster_->pool(*endpoint);
  endpoint_ = &pool.endpoint();
  endpoint_->start_request();
  pool.submit(*this);
}

void Exchange::start(UpstreamConnection& upstream) {
  upstream_ = &upstream;
  waiting_ = nullptr;
  const bool end = request_ended_ && to_upstream_.empty() && !request_has_trailers_;
  upstream.codec().open(up, this, request_, end, head_method_);
  upstream.wake_output();
  if (!end) pump_request();
}

void Exchange::on_request_data(std::span<const uint8_t> data, bool end) {
  request_ended_ = end;
  size_t sent = 0;
  if (upstream_ != nullptr && up.attached && to_upstream_.empty()) {
    sent = upstream_->codec().send_data(up, data, end);
    client_->codec().consumed(down, sent);
    upstream_->wake_output();
    if (up.blocked) upstream_->note_blocked();
  }
  if (sent < data.size()) to_upstream_.append(data.subspan(sent));
  client_->wake_output();
}

void Exchange::on_request_trailers() {
  request_ended_ = true;
  request_has_trailers_ = true;
  std::swap(request_trailers_, worker_.headers);
  pump_request();
}

void Exchange::pump_request() {
  if (upstream_ == nullptr || !up.attached || up.local_closed) return;
  Http2Session& codec = upstream_->codec();
  while (!to_upstream_.empty()) {
    const auto piece = to_upstream_.front();
    const bool end = request_ended_ && !request_has_trailers_ && piece.size() == to_upstream_.size();
    const size_t sent = codec.send_data(up, piece, end);
    to_upstream_.consume(sent);
    client_->codec().consumed(down, sent);
    if (sent < piece.size()) break;
  }
  if (up.blocked) upstream_->note_blocked();
  if (to_upstream_.empty() && request_ended_ && up.attached && !up.local_closed) {
    if (request_has_trailers_) {
      codec.send_headers(up, request_trailers_, true);
    } else {
      codec.send_data(up, {}, true);
    }
  }
  upstream_->wake_output();
  client_->wake_output();
  finish_if_done();
}

// --- the response's way

void Exchange::send_response_head(const HeaderList& fields, bool end) {
  client_->codec().send_headers(down, fields, end);
  client_->wake_output();
}

void Exchange::on_informational() {
  send_response_head(worker_.headers, false);
}

void Exchange::on_response(const CodecEvent& event) {
  response_begun_ = true;
  response_ended_ = event.end_stream;
  send_response_head(worker_.headers, event.end_stream);
  if (event.end_stream) finish_if_done();
}

void Exchange::on_response_data(std::span<const uint8_t> data, bool end) {
  response_ended_ = end;
  size_t sent = 0;
  if (to_client_.empty()) {
    sent = client_->codec().send_data(down, data, end);
    upstream_->codec().consumed(up, sent);
    upstream_->wake_output();
    client_->wake_output();
    if (down.blocked) client_->note_blocked();
  }
  if (sent < data.size()) to_client_.append(data.subspan(sent));
  if (end) finish_if_done();
}

void Exchange::on_response_trailers() {
  response_ended_ = true;
  response_has_trailers_ = true;
  std::swap(response_trailers_, worker_.headers);
  pump_response();
}

void Exchange::pump_response() {
  if (!response_begun_ || down.local_closed || !down.attached) return;
  Http2Session& codec = client_->codec();
  while (!to_client_.empty()) {
    const auto piece = to_client_.front();
    const bool end = response_ended_ && !response_has_trailers_ && piece.size() == to_client_.size();
    const size_t sent = codec.send_data(down, piece, end);
    to_client_.consume(sent);
    if (upstream_ != nullptr) upstream_->codec().consumed(up, sent);
    if (sent < piece.size()) break;
  }
  if (down.blocked) client_->note_blocked();
  if (to_client_.empty() && response_ended_ && down.attached && !down.local_closed) {
    if (response_has_trailers_) {
      codec.send_headers(down, response_trailers_, true);
    } else {
      codec.send_data(down, {}, true);
    }
  }
  if (upstream_ != nullptr) upstream_->wake_output();
  client_->wake_output();
  finish_if_done();
}

// --- the end

void Exchange::reply(const LocalReply& reply) {
  HeaderList& fields = worker_.outgoing;
  fields.clear();
  std::array<char, 8> digits;
  const auto number = [&digits](unsigned value) {
    return std::string_view(
        digits.data(),
        static_cast<size_t>(std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr -
                            digits.data()));
  };
  response_begun_ = true;
  response_ended_ = true;
  to_client_.clear();
  if (grpc_) {
    fields.add(HeaderToken::kStatus, "200");
    fields.add(HeaderToken::kContentType, "application/grpc");
    fields.add(HeaderToken::kGrpcStatus, number(reply.grpc_status));
    fields.add(HeaderToken::kGrpcMessage, reply.reason);
    send_response_head(fields, true);
  } else {
    fields.add(HeaderToken::kStatus, number(reply.status));
    fields.add(HeaderToken::kContentType, "text/plain");
    fields.add(HeaderToken::kContentLength, number(static_cast<unsigned>(reply.reason.size() + 1)));
    send_response_head(fields, head_method_);
    if (!head_method_) {
      to_client_.append({reinterpret_cast<const uint8_t*>(reply.reason.data()), reply.reason.size()});
      static constexpr uint8_t kNewline = '\n';
      to_client_.append({&kNewline, 1});
      pump_response();
      return;
    }
  }
  finish_if_done();
}

void Exchange::leave_upstream() {
  if (waiting_ != nullptr) {
    waiting_->withdraw(*this);
    waiting_ = nullptr;
  }
  if (upstream_ != nullptr) {
    upstream_->leave(up);
    upstream_ = nullptr;
  }
  if (endpoint_ != nullptr) {
    endpoint_->end_request();
    endpoint_ = nullptr;
  }
}

void Exchange::finish_if_done() {
  if (client_ == nullptr || !response_ended_ || !to_client_.empty()) return;
  if (down.attached && !down.local_closed) return;
  // The response is whole. What the client still wants to send nobody reads: RFC 9113 section 8.1.
  if (down.attached) client_->codec().reset(down, Http2Error::kNoError);
  finish();
}

void Exchange::finish() {
  leave_upstream();
  client_->on_exchange_over();
  worker_.exchanges.give_back(*this);
}

void Exchange::on_client_gone() {
  finish();
}

void Exchange::on_no_connection(const LocalReply& reply_with) {
  waiting_ = nullptr;
  leave_upstream();
  reply(reply_with);
}

void Exchange::on_upstream_gone(Http2Error error) {
  leave_upstream();
  if (!response_begun_) {
    reply(error == Http2Error::kRefusedStream ? kUpstreamRefused : kUpstreamReset);
    return;
  }
  // A response that broke off must not look whole.
  client_->codec().reset(down, error == Http2Error::kNoError ? Http2Error::kInternalError : error);
  client_->wake_output();
  finish();
}

}  // namespace sluice::l7
