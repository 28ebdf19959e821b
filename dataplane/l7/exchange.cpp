#include "dataplane/l7/exchange.h"

#include <algorithm>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/decimal_text.h"
#include "dataplane/l7/upstream_connection.h"
#include "dataplane/l7/upstream_pool.h"
#include "dataplane/l7/worker_context.h"
#include "lb/l7/grpc_content_type.h"
#include "lb/l7/grpc_status.h"
#include "lb/l7/grpc_timeout.h"

namespace sluice::l7 {
namespace {

// A request whose headers took more than this gives the memory back.
constexpr size_t kKeptHeaderBytes = 8 * 1024;
constexpr size_t kKeptReplayBytes = 4 * 1024;
// As long as all of it together is not more, none of it is.
constexpr size_t kKeptBytes = std::min(kKeptHeaderBytes, kKeptReplayBytes);

// Of a request that no route matches, until its answer has gone.
const RoutePolicy kNoRoutePolicy;
// What who asks the proxy for its health is told.
const DirectResponse kServes{200, "serving\n", "text/plain"};
const DirectResponse kDrains{503, "draining\n", "text/plain"};

}  // namespace

Exchange::Exchange(WorkerContext& worker)
    : worker_(worker), to_upstream_(worker.chunks), to_client_(worker.chunks) {}

Exchange::~Exchange() {
  uncharge();
}

void Exchange::uncharge() {
  if (account_ == nullptr) {
    worker_.kept_exchange_bytes -= charged_;
  } else {
    account_->subtract(charged_);
  }
  account_ = nullptr;
  charged_ = 0;
}

size_t Exchange::footprint() const {
  return sizeof(*this) + request_.capacity() + request_trailers_.capacity() + response_trailers_.capacity() +
         logged_fields_.capacity() + replay_.capacity() + client_path_.capacity() +
         client_authority_.capacity() + trace_texts_.capacity();
}

// From now on its memory counts there, and no longer as kept for later.
void Exchange::charge_to(MemoryAccount& account) {
  uncharge();
  charged_ = footprint();
  account_ = &account;
  account_->add(charged_);
  to_upstream_.charge_to(account_);
  to_client_.charge_to(account_);
}

// What it holds has changed.
void Exchange::charge() {
  const size_t now = footprint();
  if (now == charged_) return;
  account_->change(charged_, now);
  charged_ = now;
}

// From now on it counts as kept, and only what is of a usual size is.
void Exchange::keep_for_later() {
  size_t kept = charged_;
  uncharge();
  if (kept > sizeof(*this) + kKeptBytes) {
    for (HeaderList* list : {&request_, &request_trailers_, &response_trailers_})
      list->shrink(kKeptHeaderBytes);
    if (replay_.capacity() > kKeptReplayBytes) std::vector<uint8_t>().swap(replay_);
    kept = footprint();
  }
  charged_ = kept;
  worker_.kept_exchange_bytes += kept;
}

void Exchange::recycle() {
  timer_.stop();
  client_ = nullptr;
  upstream_ = nullptr;
  pool_ = waiting_ = nullptr;
  cluster_ = nullptr;
  policy_ = nullptr;
  route_ = nullptr;
  copies_.clear();
  original_ = hedge_ = hedged_ = nullptr;
  is_copy_ = false;
  hash_.reset();
  cookie_ = {};
  config_ = nullptr;
  route_counters_ = nullptr;
  logging_ = nullptr;
  for (HeaderList* list : {&request_, &request_trailers_, &response_trailers_, &logged_fields_})
    list->clear();
  logged_fields_.shrink(kKeptHeaderBytes);
  for (std::string* text : {&client_path_, &client_authority_}) {
    if (text->capacity() > kKeptHeaderBytes) std::string().swap(*text);
    text->clear();
  }
  to_upstream_.clear();
  to_client_.clear();
  replay_.clear();
  to_upstream_.charge_to(nullptr);
  to_client_.charge_to(nullptr);
  keep_for_later();
  stalled_since_ = kNever;
  informational_ = informational_bytes_ = 0;
  sent_ = credited_ = received_ = answered_ = 0;
  deadline_ = try_deadline_ = retry_at_ = hedge_at_ = kNever;
  pace_.stop();
  tries_ = moves_ = events_ = 0;
  if (trace_.id.valid()) {
    trace_ = {};
    trace_texts_.clear();
  }
  outcome_ = Outcome::kAnswered;
  grpc_timeout_ = counts_as_retry_ = replayable_ = recorded_ = false;
  head_method_ = extended_connect_ = grpc_ = request_ended_ = request_has_trailers_ = false;
  response_begun_ = response_ended_ = response_has_trailers_ = response_has_length_ = false;
  endpoint_answered_ = false;
  status_ = 0;
  grpc_status_.reset();
}

// --- the request's way

void Exchange::begin(ClientConnection& client, const CodecEvent& event) {
  config_ = worker_.config;
  ++config_->exchanges;
  client_ = &client;
  client.counters().requests_begun.add(1);
  began_at_ = active_at_ = request_ended_at_ = worker_.loop.now();
  request_ended_ = event.end_stream;
  head_method_ = event.head.head_method;
  extended_connect_ = event.head.connect && worker_.headers.find(HeaderToken::kProtocol) != nullptr;
  std::swap(request_, worker_.headers);
  grpc_ = !event.head.connect && is_grpc_content_type(request_.get(HeaderToken::kContentType));
  policy_ = &kNoRoutePolicy;
  charge_to(client.account());
}

void Exchange::on_overload(ClientConnection& client, const CodecEvent& event) {
  begin(client, event);
  answer(Outcome::kOverload);
}

void Exchange::on_request(ClientConnection& client, const CodecEvent& event) {
  begin(client, event);
  if (!normalize_path()) return;
  if (client.is_health_check(request_.get(HeaderToken::kPath))) {
    answer_directly(worker_.health_turned ? kDrains : kServes);
    return;
  }
  if (client.listener().access_log) begin_log(client.listener());
  const MatchedRoute* route = client.routes().match(route_request(request_, worker_.header_views));
  if (route != nullptr) {
    route_ = route;
    policy_ = &route->route().policy;
    route_counters_ = client.counters_of(*route);
  }
  if (config_->spans != nullptr) begin_trace(client.listener());
  if (route == nullptr) {
    answer(Outcome::kNoRoute);
    return;
  }
  if (!follow(*route)) return;
  charge();  // fields have been added
  replayable_ = true;
  if (!request_ended_ && !grpc_ && !event.head.connect) pace_.begin(began_at_, policy_->body_timeout);
  if (!event.head.connect) start_copies(*route);
  set_deadline_of_request();
  dispatch();
}

// The fields as they are, unless one has to be another one for this try.
const HeaderList& Exchange::upstream_head() {
  if (!grpc_timeout_) return request_;
  HeaderList& fields = worker_.outgoing;
  fields.clear();
  for (const HeaderList::Field& field : request_.fields()) {
    if (field.token == HeaderToken::kGrpcTimeout) {
      fields.add(HeaderToken::kGrpcTimeout, format_grpc_timeout(deadline_ - worker_.loop.now()).view());
    } else {
      fields.add(request_.name(field), request_.value(field), field.token, field.sensitive);
    }
  }
  return fields;
}

void Exchange::start(UpstreamConnection& upstream) {
  upstream_ = &upstream;
  waiting_ = nullptr;
  recorded_ = false;
  asked_at_ = worker_.loop.now();
  const bool per_try = policy_->retry && policy_->retry->per_try_timeout.count() != 0;
  try_deadline_ = per_try ? asked_at_ + policy_->retry->per_try_timeout : kNever;
  arm();
  status_ = 0;
  if (trace_.announced) begin_try_span();
  const bool end = request_ended_ && to_upstream_.empty() && !request_has_trailers_;
  upstream.codec().open(up, this, upstream_head(), end, head_method_);
  upstream.wrote();
  if (!end) pump_request();
}

void Exchange::on_request_data(std::span<const uint8_t> data, bool end) {
  active_at_ = worker_.loop.now();
  request_ended_ = end;
  request_ended_at_ = active_at_;
  received_ += data.size();
  if (policy_->max_request_bytes != 0 && received_ > policy_->max_request_bytes) {
    fail(Outcome::kTooLarge);
    return;
  }
  if (!copies_.empty()) feed_copies(data, end);
  if (replayable_) keep_for_replay(data);
  send_or_keep(data, end);
  client_->wrote();
  if (end && set_deadline_of_request()) arm();
}

// The endpoint's time begins when it has the request whole, unless it has answered already.
void Exchange::note_asked() {
  if (!endpoint_answered_) asked_at_ = active_at_;
}

void Exchange::send_or_keep(std::span<const uint8_t> data, bool end) {
  size_t sent = 0;
  if (upstream_ != nullptr && up.attached && to_upstream_.empty()) {
    sent = upstream_->codec().send_data(up, data, end);
    credit_client(sent);
    upstream_->wrote();
    if (end && sent == data.size()) note_asked();
  }
  if (sent < data.size()) to_upstream_.append(data.subspan(sent));
}

void Exchange::on_request_trailers() {
  if (!copies_.empty()) feed_copies(worker_.headers);
  request_ended_ = true;
  request_ended_at_ = worker_.loop.now();
  request_has_trailers_ = true;
  std::swap(request_trailers_, worker_.headers);
  charge();
  if (set_deadline_of_request()) arm();
  pump_request();
}

void Exchange::pump_request() {
  if (upstream_ == nullptr || !up.attached || up.local_closed) return;
  auto& codec = upstream_->codec();
  while (!to_upstream_.empty()) {
    const auto piece = to_upstream_.front();
    const bool end = request_ended_ && !request_has_trailers_ && piece.size() == to_upstream_.size();
    const size_t sent = codec.send_data(up, piece, end);
    to_upstream_.consume(sent);
    credit_client(sent);
    if (sent < piece.size()) break;
  }
  if (to_upstream_.empty() && request_ended_ && up.attached && !up.local_closed) {
    if (request_has_trailers_) {
      codec.send_headers(up, request_trailers_, true);
    } else {
      codec.send_data(up, {}, true);
    }
  }
  active_at_ = worker_.loop.now();
  if (up.local_closed) note_asked();
  upstream_->wrote();
  if (!is_copy_) client_->wrote();
}

// Bytes that are sent a second time were made up for the first time.
void Exchange::credit_client(size_t sent) {
  sent_ += sent;
  if (sent_ <= credited_ || is_copy_) return;
  client_->consumed(down, sent_ - credited_);
  credited_ = sent_;
}

// --- the end

void Exchange::answer(Outcome outcome) {
  if (is_copy_) {
    finish(outcome);
    return;
  }
  if (hedge_ != nullptr) drop_hedge();
  const OutcomeText& text = text_of(outcome);
  outcome_ = outcome;
  status_ = text.status;
  HeaderList& fields = worker_.outgoing;
  fields.clear();
  response_begun_ = true;
  response_ended_ = true;
  to_client_.clear();
  // The client may take its time for this answer: it is not tried again meanwhile.
  try_deadline_ = retry_at_ = hedge_at_ = kNever;
  arm();
  DecimalText digits;
  if (grpc_) {
    fields.add(HeaderToken::kStatus, "200");
    fields.add(HeaderToken::kContentType, "application/grpc");
    fields.add(HeaderToken::kGrpcStatus, digits.of(text.grpc_status));
    fields.add(HeaderToken::kGrpcMessage, text.message);
    status_ = 200;
    grpc_status_ = static_cast<GrpcStatus>(text.grpc_status);
    send_response_head(fields, true);
    finish_if_done();
    return;
  }
  fields.add(HeaderToken::kStatus, digits.of(text.status));
  fields.add(HeaderToken::kContentType, "text/plain");
  fields.add(HeaderToken::kContentLength, digits.of(text.message.size() + 1));
  send_response_head(fields, head_method_);
  if (!head_method_) {
    static constexpr uint8_t kNewline = '\n';
    to_client_.append({reinterpret_cast<const uint8_t*>(text.message.data()), text.message.size()});
    to_client_.append({&kNewline, 1});
    answered_ = to_client_.size();
    pump_response();
    return;
  }
  finish_if_done();
}

// Answers if nothing was answered yet; otherwise breaks the response off, so that it does not look whole.
void Exchange::fail(Outcome outcome, Http2Error error) {
  leave_upstream();
  if (!response_begun_ || is_copy_) {
    answer(outcome);
    return;
  }
  note(RequestEvent::kCutShort);
  client_->codec().reset(down, error);
  client_->wrote();
  finish(outcome);
}

void Exchange::finish_if_done() {
  if (client_ == nullptr || !response_ended_ || !to_client_.empty()) return;
  if (down.attached && !down.local_closed) return;
  // The response is whole. What the client still wants to send nobody reads: RFC 9113 section 8.1.
  if (down.attached) client_->codec().reset(down, Http2Error::kNoError);
  finish(outcome_);
}

void Exchange::finish(Outcome outcome) {
  if (hedged_ != nullptr) {
    Exchange& original = *std::exchange(hedged_, nullptr);
    end_hedge();
    original.on_hedge_lost(outcome);
    return;
  }
  if (is_copy_) {
    finish_copy(outcome);
    return;
  }
  if (!copies_.empty()) leave_copies();
  if (hedge_ != nullptr) drop_hedge();
  leave_upstream();
  count(outcome);
  if (logging_ != nullptr) write_log(outcome);
  if (trace_.recorded) end_trace(outcome);
  --config_->exchanges;
  client_->on_exchange_over();
  worker_.exchanges.give_back(*this);
}

void Exchange::count(Outcome outcome) {
  const bool answered = response_begun_ && status_ != 0;
  if (grpc_ && !grpc_status_) {
    // What the client makes of it: the proxy's own words, or of an answer without them its status.
    grpc_status_ = outcome == Outcome::kAnswered || outcome == Outcome::kDirect
                       ? grpc_status_of_http(status_)
                       : static_cast<GrpcStatus>(text_of(outcome).grpc_status);
  }
  const EndedRequest request{outcome,
                             static_cast<uint8_t>(answered ? std::min(status_ / 100, 5) : 0),
                             static_cast<uint8_t>(grpc_status_.value_or(GrpcStatus::kOk)),
                             grpc_,
                             CountedTime(worker_.loop.now() - began_at_),
                             received_,
                             answered_};
  worker_.counters.count(request);
  client_->counters().count(request);
  if (route_counters_ != nullptr) route_counters_->count(request);
  if (cluster_ != nullptr) cluster_->counters().count(request);
}

void Exchange::on_client_gone() {
  if (response_begun_) note(RequestEvent::kCutShort);
  finish(Outcome::kClientGone);
}

}  // namespace sluice::l7
