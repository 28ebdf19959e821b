#include "dataplane/l7/exchange.h"

#include <algorithm>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/decimal_text.h"
#include "dataplane/l7/upstream_connection.h"
#include "dataplane/l7/upstream_pool.h"
#include "dataplane/l7/worker_context.h"
#include "lb/l7/grpc_status.h"
#include "lb/l7/grpc_timeout.h"
#include "lb/l7/retry_backoff.h"

namespace sluice::l7 {
namespace {

// A request whose headers took more than this gives the memory back.
constexpr size_t kKeptHeaderBytes = 8 * 1024;
// So much of a body is kept to be sent again; a request with more is sent once.
constexpr size_t kReplayBytes = 64 * 1024;
constexpr size_t kKeptReplayBytes = 4 * 1024;

// Of a request that no route matches, until its answer has gone.
const RoutePolicy kNoRoutePolicy;
// Of a route that says nothing about retries: what no endpoint has begun to work on goes elsewhere.
const RetryPolicy kSafeRetries{.max_retries = 2};
// What who asks the proxy for its health is told.
const DirectResponse kServes{200, "serving\n", "text/plain"};
const DirectResponse kDrains{503, "draining\n", "text/plain"};
// An endpoint that always ends its connections at once is broken.
constexpr uint32_t kMaxMoves = 4;

bool is_grpc(std::string_view content_type) {
  return content_type.starts_with("application/grpc");
}

}  // namespace

Exchange::Exchange(WorkerContext& worker)
    : worker_(worker), to_upstream_(worker.chunks), to_client_(worker.chunks) {}

void Exchange::recycle() {
  timer_.stop();
  client_ = nullptr;
  upstream_ = nullptr;
  pool_ = waiting_ = nullptr;
  cluster_ = nullptr;
  policy_ = nullptr;
  route_ = nullptr;
  hash_.reset();
  cookie_ = {};
  config_ = nullptr;
  for (HeaderList* list : {&request_, &request_trailers_, &response_trailers_}) {
    list->shrink(kKeptHeaderBytes);
    list->clear();
  }
  to_upstream_.clear();
  to_client_.clear();
  replay_.clear();
  if (replay_.capacity() > kKeptReplayBytes) std::vector<uint8_t>().swap(replay_);
  sent_ = credited_ = received_ = 0;
  deadline_ = try_deadline_ = retry_at_ = kNever;
  tries_ = moves_ = 0;
  outcome_ = Outcome::kAnswered;
  grpc_timeout_ = counts_as_retry_ = replayable_ = recorded_ = false;
  head_method_ = grpc_ = request_ended_ = request_has_trailers_ = false;
  response_begun_ = response_ended_ = response_has_trailers_ = response_has_length_ = false;
  status_ = 0;
}

// --- the request's way

void Exchange::on_request(ClientConnection& client, const CodecEvent& event) {
  config_ = worker_.config;
  ++config_->exchanges;
  client_ = &client;
  began_at_ = active_at_ = worker_.loop.now();
  request_ended_ = event.end_stream;
  head_method_ = event.head.head_method;
  std::swap(request_, worker_.headers);
  grpc_ = is_grpc(request_.get(HeaderToken::kContentType));
  policy_ = &kNoRoutePolicy;
  if (client.is_health_check(request_.get(HeaderToken::kPath))) {
    answer_directly(worker_.draining ? kDrains : kServes);
    return;
  }
  const MatchedRoute* route = client.routes().match(route_request(request_, worker_.header_views));
  if (route == nullptr) {
    answer(Outcome::kNoRoute);
    return;
  }
  route_ = route;
  policy_ = &route->route().policy;
  if (!follow(*route)) return;
  replayable_ = true;
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
  try_deadline_ = kNever;
  if (policy_->retry && policy_->retry->per_try_timeout.count() != 0) {
    try_deadline_ = worker_.loop.now() + policy_->retry->per_try_timeout;
    arm();
  }
  const bool end = request_ended_ && to_upstream_.empty() && !request_has_trailers_;
  upstream.codec().open(up, this, upstream_head(), end, head_method_);
  upstream.wake_output();
  if (!end) pump_request();
}

void Exchange::on_request_data(std::span<const uint8_t> data, bool end) {
  active_at_ = worker_.loop.now();
  request_ended_ = end;
  received_ += data.size();
  if (policy_->max_request_bytes != 0 && received_ > policy_->max_request_bytes) {
    fail(Outcome::kTooLarge);
    return;
  }
  if (replayable_) keep_for_replay(data);
  size_t sent = 0;
  if (upstream_ != nullptr && up.attached && to_upstream_.empty()) {
    sent = upstream_->codec().send_data(up, data, end);
    credit_client(sent);
    upstream_->wake_output();
    if (up.blocked) upstream_->note_blocked();
  }
  if (sent < data.size()) to_upstream_.append(data.subspan(sent));
  client_->wake_output();
  if (end) set_deadline_of_request();
}

void Exchange::on_request_trailers() {
  request_ended_ = true;
  request_has_trailers_ = true;
  std::swap(request_trailers_, worker_.headers);
  set_deadline_of_request();
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
  if (up.blocked) upstream_->note_blocked();
  if (to_upstream_.empty() && request_ended_ && up.attached && !up.local_closed) {
    if (request_has_trailers_) {
      codec.send_headers(up, request_trailers_, true);
    } else {
      codec.send_data(up, {}, true);
    }
  }
  active_at_ = worker_.loop.now();
  upstream_->wake_output();
  client_->wake_output();
}

// Bytes that are sent a second time were made up for the first time.
void Exchange::credit_client(size_t sent) {
  sent_ += sent;
  if (sent_ <= credited_) return;
  client_->consumed(down, sent_ - credited_);
  credited_ = sent_;
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
  active_at_ = worker_.loop.now();
  status_ = event.head.status;
  response_has_length_ = event.head.content_length >= 0;
  if (policy_->retry && retry(outcome_of_answer(event))) return;
  response_begun_ = true;
  response_ended_ = event.end_stream;
  try_deadline_ = kNever;
  replayable_ = false;
  if (status_ >= 500 || !grpc_) {
    record_result(result_of_http(status_));
  } else if (event.end_stream) {
    record_grpc_status();
  }
  send_response_head(client_head(worker_.headers), event.end_stream);
  if (event.end_stream) finish_if_done();
}

void Exchange::on_response_data(std::span<const uint8_t> data, bool end) {
  active_at_ = worker_.loop.now();
  response_ended_ = end;
  size_t sent = 0;
  if (to_client_.empty()) {
    sent = client_->codec().send_data(down, data, end);
    upstream_->consumed(up, sent);
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
  if (grpc_) record_grpc_status();
  std::swap(response_trailers_, worker_.headers);
  pump_response();
}

void Exchange::pump_response() {
  if (!response_begun_ || down.local_closed || !down.attached) return;
  auto& codec = client_->codec();
  while (!to_client_.empty()) {
    const auto piece = to_client_.front();
    const bool end = response_ended_ && !response_has_trailers_ && piece.size() == to_client_.size();
    const size_t sent = codec.send_data(down, piece, end);
    to_client_.consume(sent);
    if (upstream_ != nullptr) upstream_->consumed(up, sent);
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
  active_at_ = worker_.loop.now();
  if (upstream_ != nullptr) upstream_->wake_output();
  client_->wake_output();
  finish_if_done();
}

// --- trying, and trying again

void Exchange::dispatch() {
  if (!cluster_->breakers().requests.try_take(cluster_->settings().circuit.requests)) {
    answer(Outcome::kCircuitOpen);
    return;
  }
  pool_ = choose_pool();
  if (pool_ == nullptr) {
    cluster_->breakers().requests.give_back();
    answer(Outcome::kNoEndpoint);
    return;
  }
  pool_->enter();
  if (tries_ < kMaxTried) tried_[tries_] = &pool_->endpoint();
  ++tries_;
  try_deadline_ = worker_.loop.now() + cluster_->settings().pending_timeout;
  arm();
  pool_->submit(*this);
}

// An endpoint that was not tried yet, rather than one to which the last connection failed a moment ago.
UpstreamPool* Exchange::choose_pool() {
  std::array<const EndpointState*, kMaxTried> excluded;
  uint32_t count = 0;
  if (!policy_->retry || policy_->retry->elsewhere) {
    count = std::min(tries_, kMaxTried);
    std::copy_n(tried_.begin(), count, excluded.begin());
  }
  UpstreamPool* failing = nullptr;
  while (true) {
    const auto endpoint = cluster_->pick(hash_, {excluded.data(), count});
    if (!endpoint) break;
    UpstreamPool& pool = cluster_->pool(*endpoint);
    if (!pool.failing(worker_.loop.now())) return &pool;
    if (failing == nullptr) failing = &pool;
    if (count == kMaxTried) break;
    excluded[count++] = &pool.endpoint();
  }
  if (failing != nullptr) return failing;
  const auto any = cluster_->pick(hash_, {});
  return any ? &cluster_->pool(*any) : nullptr;
}

void Exchange::keep_for_replay(std::span<const uint8_t> data) {
  if (replay_.size() + data.size() > kReplayBytes) {
    replayable_ = false;
    std::vector<uint8_t>().swap(replay_);
    return;
  }
  replay_.insert(replay_.end(), data.begin(), data.end());
}

// Sends the request again, if the policy and the budget allow it after such a try; otherwise false.
bool Exchange::retry(TryOutcome outcome) {
  if (response_begun_) return false;
  const RetryPolicy& policy = policy_->retry ? *policy_->retry : kSafeRetries;
  const Time now = worker_.loop.now();
  outcome.method = request_.get(HeaderToken::kMethod);
  outcome.body_kept = replayable_;
  outcome.retries = tries_ - 1;
  if (deadline_ != kNever) outcome.time_left = deadline_ - now;
  if (decide_retry(&policy, outcome) != RetryVerdict::kRetry) return false;
  // Who was not even looked at loses nothing by going elsewhere at once, and adds no load to anybody: the
  // budget is about work that is done twice.
  const bool untouched = outcome.end == TryEnd::kConnectFailure || outcome.end == TryEnd::kRefusedStream;
  if (!untouched && !cluster_->breakers().try_retry(cluster_->settings().retry_budget)) return false;
  begin_anew();
  counts_as_retry_ = !untouched;
  retry_at_ = untouched && tries_ == 1 ? now : now + retry_wait(policy.backoff, tries_, worker_.random);
  arm();
  return true;
}

// A connection that ends in order leaves streams to others: no fault of anybody's, and no retry to be
// counted.
bool Exchange::move_elsewhere() {
  if (response_begun_ || !replayable_ || ++moves_ > kMaxMoves) return false;
  begin_anew();
  --tries_;
  dispatch();
  return true;
}

void Exchange::begin_anew() {
  leave_upstream();
  sent_ = 0;
  to_upstream_.clear();
  to_upstream_.append(replay_);
  try_deadline_ = kNever;
}

TryOutcome Exchange::outcome_of_answer(const CodecEvent& response) const {
  TryOutcome outcome{TryEnd::kAnswer, response.head.status};
  if (grpc_ && response.end_stream)
    outcome.grpc = parse_grpc_status(worker_.headers.get(HeaderToken::kGrpcStatus));
  return outcome;
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
  if (pool_ != nullptr) {
    pool_->leave();
    cluster_->breakers().requests.give_back();
    pool_ = nullptr;
  }
  if (counts_as_retry_) {
    cluster_->breakers().retries.give_back();
    counts_as_retry_ = false;
  }
}

void Exchange::record_result(RequestResult result) {
  if (recorded_ || pool_ == nullptr) return;
  recorded_ = true;
  cluster_->record(*pool_, result);
}

void Exchange::record_grpc_status() {
  const auto status = parse_grpc_status(worker_.headers.get(HeaderToken::kGrpcStatus));
  record_result(status ? result_of_grpc(*status) : RequestResult::kServerError);
}

void Exchange::on_no_connection(Outcome outcome) {
  waiting_ = nullptr;
  if (outcome == Outcome::kConnectFailed && retry({TryEnd::kConnectFailure})) return;
  leave_upstream();
  answer(outcome);
}

void Exchange::on_upstream_gone(Loss loss) {
  if (loss == Loss::kGoAway && move_elsewhere()) return;
  if (loss == Loss::kBroken) record_result(RequestResult::kGatewayError);
  if (retry({loss == Loss::kBroken ? TryEnd::kReset : TryEnd::kRefusedStream})) return;
  leave_upstream();
  fail(loss == Loss::kBroken ? Outcome::kUpstreamReset : Outcome::kUpstreamRefused);
}

// --- time

void Exchange::set_deadline_of_request() {
  const Time now = worker_.loop.now();
  if (grpc_ && policy_->max_grpc_timeout && !grpc_timeout_) {
    if (const auto asked = parse_grpc_timeout(request_.get(HeaderToken::kGrpcTimeout))) {
      const std::chrono::nanoseconds most = *policy_->max_grpc_timeout;
      // A day is as good as for ever, and cannot overflow.
      deadline_ = now + std::min<std::chrono::nanoseconds>(
                            most.count() == 0 ? *asked : std::min(*asked, most), std::chrono::hours(24));
      grpc_timeout_ = true;
    }
  }
  if (!grpc_timeout_ && request_ended_ && policy_->request_timeout.count() != 0)
    deadline_ = now + policy_->request_timeout;
  arm();
}

Exchange::Time Exchange::next_due() const {
  Time due = std::min({deadline_, try_deadline_, retry_at_});
  if (policy_->idle_timeout.count() != 0) due = std::min(due, active_at_ + policy_->idle_timeout);
  return due;
}

void Exchange::arm() {
  const Time due = next_due();
  if (due == kNever) {
    timer_.stop();
    return;
  }
  const Time now = worker_.loop.now();
  const auto wait =
      due > now ? std::chrono::ceil<std::chrono::milliseconds>(due - now) : std::chrono::milliseconds(0);
  worker_.loop.timers().start(
      timer_, now, wait, [](void* self) { static_cast<Exchange*>(self)->on_timer(); }, this);
}

void Exchange::on_timer() {
  const Time now = worker_.loop.now();
  if (retry_at_ <= now) {
    retry_at_ = kNever;
    dispatch();
    return;
  }
  if (deadline_ <= now) {
    // A response that goes on and on is a stream: the client's own deadline binds it, the route's time-out
    // does not.
    if (grpc_timeout_ || !response_begun_ || response_has_length_) {
      if (!response_begun_) record_result(RequestResult::kGatewayError);
      leave_upstream();
      fail(Outcome::kRequestTimeout);
      return;
    }
    deadline_ = kNever;
  }
  if (try_deadline_ <= now) {
    const bool waited = waiting_ != nullptr;
    if (!waited) record_result(RequestResult::kGatewayError);
    if (retry({waited ? TryEnd::kConnectFailure : TryEnd::kTryTimeout})) return;
    leave_upstream();
    fail(waited ? Outcome::kPendingTimeout : Outcome::kRequestTimeout);
    return;
  }
  if (policy_->idle_timeout.count() != 0 && active_at_ + policy_->idle_timeout <= now) {
    leave_upstream();
    fail(Outcome::kIdleTimeout);
    return;
  }
  arm();
}

// --- the end

void Exchange::answer(Outcome outcome) {
  const OutcomeText& text = text_of(outcome);
  outcome_ = outcome;
  status_ = text.status;
  HeaderList& fields = worker_.outgoing;
  fields.clear();
  response_begun_ = true;
  response_ended_ = true;
  to_client_.clear();
  DecimalText digits;
  if (grpc_) {
    fields.add(HeaderToken::kStatus, "200");
    fields.add(HeaderToken::kContentType, "application/grpc");
    fields.add(HeaderToken::kGrpcStatus, digits.of(text.grpc_status));
    fields.add(HeaderToken::kGrpcMessage, text.message);
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
    pump_response();
    return;
  }
  finish_if_done();
}

// Answers if nothing was answered yet; otherwise breaks the response off, so that it does not look whole.
void Exchange::fail(Outcome outcome) {
  leave_upstream();
  if (!response_begun_) {
    answer(outcome);
    return;
  }
  client_->codec().reset(down, Http2Error::kInternalError);
  client_->wake_output();
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
  worker_.counters.count(outcome, worker_.loop.now() - began_at_);
  leave_upstream();
  --config_->exchanges;
  client_->on_exchange_over();
  worker_.exchanges.give_back(*this);
}

void Exchange::on_client_gone() {
  finish(Outcome::kClientGone);
}

}  // namespace sluice::l7
