// The response's way: from the endpoint to the client.
#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/upstream_connection.h"
#include "dataplane/l7/upstream_pool.h"
#include "dataplane/l7/worker_context.h"
#include "lb/l7/grpc_status.h"

namespace sluice::l7 {

void Exchange::note_stall(bool moved) {
  if (to_client_.empty()) {
    stalled_since_ = kNever;
    return;
  }
  const bool began = stalled_since_ == kNever;
  if (!began && !moved) return;
  stalled_since_ = worker_.loop.now();
  if (began) arm();
}

void Exchange::send_response_head(const HeaderList& fields, bool end) {
  if (response_begun_) {
    answer_began_at_ = worker_.loop.now();
    if (logging_ != nullptr) keep_response_fields(fields);
  }
  client_->codec().send_headers(down, fields, end);
  client_->wrote();
}

// Informational heads go to the client whatever it takes, so that their number and size are bounded.
void Exchange::on_informational() {
  constexpr uint32_t kMostHeads = 100;
  constexpr uint32_t kMostBytes = 64 * 1024;
  informational_bytes_ += static_cast<uint32_t>(worker_.headers.list_size());
  if (++informational_ > kMostHeads || informational_bytes_ > kMostBytes) {
    worker_.counters.endpoint_defences[static_cast<size_t>(Defence::kInformational)].add(1);
    record_result(RequestResult::kGatewayError);
    fail(Outcome::kUpstreamReset);
    return;
  }
  if (is_copy_) return;
  send_response_head(worker_.headers, false);
}

void Exchange::on_response(const CodecEvent& event) {
  if (hedged_ != nullptr) {
    on_hedge_answered(event);
    return;
  }
  active_at_ = worker_.loop.now();
  status_ = event.head.status;
  response_has_length_ = event.head.content_length >= 0;
  // A gRPC call's result comes with its trailers, unless there is nothing else.
  std::optional<RequestResult> result;
  if (status_ >= 500 || !grpc_) {
    result = result_of_http(status_);
  } else if (event.end_stream) {
    result = take_grpc_status();
  }
  cluster_->on_answer(*pool_, active_at_ - asked_at_, result.value_or(RequestResult::kSuccess));
  if (result) record_result(*result);
  // A server of HTTP/1.1 may take no notice of Upgrade (RFC 9110 section 7.8). Passed on, its answer would
  // open a tunnel to nowhere.
  if (extended_connect_ && status_ < 300 && !up.tunnel) {
    leave_upstream();
    answer(Outcome::kUpgradeRefused);
    return;
  }
  if (policy_->retry && retry(outcome_of_answer(event))) return;
  if (hedge_ != nullptr) drop_hedge();
  response_begun_ = true;
  endpoint_answered_ = true;
  response_ended_ = event.end_stream;
  try_deadline_ = kNever;
  replayable_ = false;
  if (is_copy_) {
    on_copy_answered(event.end_stream);
    return;
  }
  send_response_head(client_head(worker_.headers), event.end_stream);
  if (event.end_stream) end_answer();
}

// All of it has come.
void Exchange::end_answer() {
  leave_connection();
  finish_if_done();
}

void Exchange::on_response_data(std::span<const uint8_t> data, bool end) {
  if (is_copy_) {
    on_copy_answer_data(data.size(), end);
    return;
  }
  active_at_ = worker_.loop.now();
  response_ended_ = end;
  answered_ += data.size();
  size_t sent = 0;
  if (to_client_.empty()) {
    sent = client_->codec().send_data(down, data, end);
    upstream_->consumed(up, sent);
    upstream_->wrote();
    client_->wrote();
  }
  if (sent < data.size()) {
    to_client_.append(data.subspan(sent));
    note_stall(sent != 0);
  }
  if (end) end_answer();
}

void Exchange::on_response_trailers() {
  response_ended_ = true;
  response_has_trailers_ = true;
  if (grpc_) record_result(take_grpc_status());
  if (is_copy_) {
    finish(Outcome::kAnswered);
    return;
  }
  std::swap(response_trailers_, worker_.headers);
  charge();
  leave_connection();
  pump_response();
}

void Exchange::pump_response() {
  if (!response_begun_ || down.local_closed || !down.attached) return;
  auto& codec = client_->codec();
  bool moved = false;
  while (!to_client_.empty()) {
    const auto piece = to_client_.front();
    const bool end = response_ended_ && !response_has_trailers_ && piece.size() == to_client_.size();
    const size_t sent = codec.send_data(down, piece, end);
    to_client_.consume(sent);
    moved = moved || sent != 0;
    if (upstream_ != nullptr) upstream_->consumed(up, sent);
    if (sent < piece.size()) break;
  }
  note_stall(moved);
  if (to_client_.empty() && response_ended_ && down.attached && !down.local_closed) {
    if (response_has_trailers_) {
      codec.send_headers(down, response_trailers_, true);
    } else {
      codec.send_data(down, {}, true);
    }
  }
  active_at_ = worker_.loop.now();
  if (upstream_ != nullptr) upstream_->wrote();
  client_->wrote();
  finish_if_done();
}

}  // namespace sluice::l7
