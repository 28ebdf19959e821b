// What is told of a request at its end.
#include <algorithm>
#include <cstring>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

ClientProtocol protocol_of(Codec& codec) {
  if (codec.is_http2()) return ClientProtocol::kHttp2;
  return codec.http1().version_1_0() ? ClientProtocol::kHttp10 : ClientProtocol::kHttp11;
}

void write_big_endian(uint64_t number, uint8_t* into) {
  for (int i = 7; i >= 0; --i, number >>= 8) into[i] = static_cast<uint8_t>(number & 0xff);
}

}  // namespace

// What cannot be asked for any more at the end.
void Exchange::begin_log(const ListenerSettings& listener) {
  logging_ = &listener;
  protocol_ = protocol_of(client_->codec());
}

// The head itself is gone when the request ends.
void Exchange::keep_response_fields(const HeaderList& fields) {
  for (const AccessHeaderName& wanted : logging_->access_log->format.response_fields()) {
    for (const HeaderList::Field& field : fields.fields()) {
      if (field.token != wanted.token || fields.name(field) != wanted.name) continue;
      logged_fields_.add(fields.name(field), fields.value(field), field.token);
      break;
    }
  }
  charge();
}

RequestRecord Exchange::record(Outcome outcome) const {
  const Time now = worker_.loop.now();
  RequestRecord record;
  record.whole = now - began_at_;
  // The loop's time is that of its last wake-up: the request is that much older by now.
  record.began =
      std::chrono::system_clock::now() - std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                             std::chrono::steady_clock::now() - began_at_);
  record.outcome = outcome;
  record.events = events_;
  if (response_begun_) record.status = status_;
  record.grpc_status = grpc_status_;

  record.client_address = client_->address_text();
  record.client_port = client_->port();
  record.protocol = protocol_;
  if (logging_ != nullptr) record.listener = logging_->name;
  if (const TlsSession* tls = client_->tls(); tls != nullptr) {
    record.tls_version = tls->version();
    record.server_name = tls->server_name();
    record.alpn = tls->protocol();
  }

  record.request = &request_;
  record.path = client_path_.empty() ? request_.get(HeaderToken::kPath) : std::string_view(client_path_);
  record.authority =
      client_authority_.empty() ? request_.get(HeaderToken::kAuthority) : std::string_view(client_authority_);
  record.request_bytes = received_;

  if (route_ != nullptr) {
    record.virtual_host = route_->virtual_host();
    record.route = route_->route().name;
  }
  if (cluster_ != nullptr) record.cluster = cluster_->settings().name;
  // A try that has been moved elsewhere and found nobody there is not counted, but there was one.
  if (tries_ != 0 || moves_ != 0) record.endpoint = &endpoint_;
  record.tries = tries_;

  record.response = &logged_fields_;
  record.trailers = grpc_ && !response_has_trailers_ ? &logged_fields_ : &response_trailers_;
  record.response_bytes = answered_ - std::min<uint64_t>(answered_, to_client_.size());

  if (request_ended_) record.until_request_end = request_ended_at_ - began_at_;
  if (response_begun_) record.until_answer = answer_began_at_ - began_at_;
  if (endpoint_answered_) record.endpoint_took = answer_began_at_ - asked_at_;
  if (trace_.id.valid()) {
    write_big_endian(trace_.id.high, record.trace_id.data());
    write_big_endian(trace_.id.low, record.trace_id.data() + 8);
    write_big_endian(trace_.server, record.span_id.data());
  }
  return record;
}

void Exchange::write_log(Outcome outcome) {
  const RequestRecord told = record(outcome);
  const AccessLog& log = *logging_->access_log;
  if (!log.filter.takes(told, worker_.random)) return;
  std::string& line = worker_.log_line;
  line.resize(kAccessLineHead);
  std::memcpy(line.data(), &logging_->access_log_target, kAccessLineHead);
  log.format.write(told, line);
  AccessLogRings& rings = *worker_.access_log;
  rings.of_workers[worker_.index]->push({reinterpret_cast<const uint8_t*>(line.data()), line.size()});
  rings.bell.ring();
}

}  // namespace sluice::l7
