// Which endpoint a request is sent to, when it is sent again, and how long all that may take.
#include <algorithm>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/upstream_connection.h"
#include "dataplane/l7/upstream_pool.h"
#include "dataplane/l7/worker_context.h"
#include "lb/l7/grpc_status.h"
#include "lb/l7/grpc_timeout.h"
#include "lb/l7/retry_backoff.h"

namespace sluice::l7 {
namespace {

// So much of a body is kept to be sent again; a request with more is sent once.
constexpr size_t kReplayBytes = 64 * 1024;
// Of a route that says nothing about retries: what no endpoint has begun to work on goes elsewhere.
const RetryPolicy kSafeRetries{.max_retries = 2};
// Servers that end each connection after a hundred requests move a stream now and then several times in a
// row; one that ends all of them at once is broken.
constexpr uint32_t kMaxMoves = 64;

// What a client is told whose answer the endpoint has cut off: the endpoint's own word if it is about the
// request. Others are about its connection with the proxy, and REFUSED_STREAM promises that nothing was done.
Http2Error passed_on(Http2Error error) {
  const bool of_request = error == Http2Error::kCancel || error == Http2Error::kEnhanceYourCalm ||
                          error == Http2Error::kConnectError;
  return of_request ? error : Http2Error::kInternalError;
}

}  // namespace

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
  endpoint_ = pool_->id();
  if (tries_ == 1 && !is_copy_ && policy_->retry &&
      may_hedge(*policy_->retry, request_.get(HeaderToken::kMethod)))
    hedge_at_ = worker_.loop.now() + policy_->retry->hedge_after;
  pool_->submit(*this);
}

void Exchange::wait_in(UpstreamPool& pool) {
  waiting_ = &pool;
  try_deadline_ = worker_.loop.now() + cluster_->settings().pending_timeout;
  arm();
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
    charge();
    return;
  }
  const size_t before = replay_.capacity();
  replay_.insert(replay_.end(), data.begin(), data.end());
  if (replay_.capacity() != before) charge();
}

// Sends the request again, if the policy and the budget allow it after such a try; otherwise false.
bool Exchange::retry(TryOutcome outcome) {
  if (response_begun_ || is_copy_) return false;
  note_end_of_try(outcome.end);
  const RetryPolicy& policy = policy_->retry ? *policy_->retry : kSafeRetries;
  const Time now = worker_.loop.now();
  outcome.method = request_.get(HeaderToken::kMethod);
  outcome.body_kept = replayable_;
  outcome.retries = tries_ - 1;
  if (deadline_ != kNever) outcome.time_left = deadline_ - now;
  const bool wanted = decide_retry(&policy, outcome) == RetryVerdict::kRetry;
  if (hedge_ != nullptr && (wanted || outcome.end != TryEnd::kAnswer)) {
    // A second try is under way already.
    leave_upstream();
    try_deadline_ = kNever;
    return true;
  }
  if (!wanted) return false;
  // Who was not even looked at loses nothing by going elsewhere at once, and adds no load to anybody: the
  // budget is about work that is done twice.
  const bool untouched = outcome.end == TryEnd::kConnectFailure || outcome.end == TryEnd::kRefusedStream;
  if (!untouched && !cluster_->breakers().try_retry(cluster_->settings().retry_budget)) {
    note(RequestEvent::kRetryRefused);
    return false;
  }
  if (outcome.end == TryEnd::kAnswer) note(RequestEvent::kAnswerRetried);
  begin_anew();
  cluster_->counters().retries.add(1);
  counts_as_retry_ = !untouched;
  retry_at_ = untouched && tries_ == 1 ? now : now + retry_wait(policy.backoff, tries_, worker_.random);
  arm();
  return true;
}

// A connection that ends in order leaves streams to others: no fault of anybody's, and no retry to be
// counted.
bool Exchange::move_elsewhere() {
  if (response_begun_ || !replayable_ || ++moves_ > kMaxMoves) return false;
  note(RequestEvent::kMoved);
  begin_anew();
  cluster_->counters().moves.add(1);
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
  grpc_status_.reset();
}

void Exchange::note_end_of_try(TryEnd end) {
  switch (end) {
    case TryEnd::kConnectFailure:
      note(RequestEvent::kConnectFailed);
      break;
    case TryEnd::kRefusedStream:
      note(RequestEvent::kRefused);
      break;
    case TryEnd::kReset:
      note(RequestEvent::kReset);
      break;
    case TryEnd::kTryTimeout:
      note(RequestEvent::kTryTimedOut);
      break;
    default:
      break;
  }
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
  leave_connection();
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

// Nothing more is to be had of it, nor is it told if the connection ends. An answer that is whole may still
// wait for its client, and the request counts at the endpoint until it has gone.
void Exchange::leave_connection() {
  if (upstream_ == nullptr) return;
  if (trace_.recorded) end_try_span();
  upstream_->leave(up);
  upstream_ = nullptr;
}

void Exchange::record_result(RequestResult result) {
  if (recorded_ || pool_ == nullptr) return;
  recorded_ = true;
  cluster_->record(*pool_, result);
}

// A try that ends without an answer, or in the middle of one.
void Exchange::record_lost_try(RequestResult result) {
  if (upstream_ != nullptr && !response_begun_)
    cluster_->on_no_answer(*pool_, worker_.loop.now() - asked_at_);
  record_result(result);
}

RequestResult Exchange::take_grpc_status() {
  grpc_status_ = parse_grpc_status(worker_.headers.get(HeaderToken::kGrpcStatus));
  return grpc_status_ ? result_of_grpc(*grpc_status_) : RequestResult::kServerError;
}

void Exchange::on_no_connection(Outcome outcome) {
  waiting_ = nullptr;
  if (outcome == Outcome::kConnectFailed && retry({TryEnd::kConnectFailure})) return;
  leave_upstream();
  answer(outcome);
}

void Exchange::on_upstream_gone(Loss loss, Http2Error error) {
  trace_.try_error = loss == Loss::kBroken ? SpanError::kReset : SpanError::kRefused;
  if (loss == Loss::kGoAway && move_elsewhere()) return;
  if (loss == Loss::kBroken) record_lost_try(RequestResult::kGatewayError);
  if (retry({loss == Loss::kBroken ? TryEnd::kReset : TryEnd::kRefusedStream})) return;
  leave_upstream();
  fail(loss == Loss::kBroken ? Outcome::kUpstreamReset : Outcome::kUpstreamRefused, passed_on(error));
}

// --- time

// Whether there is one now, or another one. Whoever sends the request on sets the timer.
bool Exchange::set_deadline_of_request() {
  const Time now = worker_.loop.now();
  const Time before = deadline_;
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
  return deadline_ != before;
}

Exchange::Time Exchange::next_due() const {
  Time due = std::min({deadline_, try_deadline_, retry_at_, hedge_at_, pace_.due()});
  if (policy_->idle_timeout.count() != 0) due = std::min(due, active_at_ + policy_->idle_timeout);
  if (stalled_since_ != kNever && client_->stall_timeout().count() != 0)
    due = std::min(due, stalled_since_ + client_->stall_timeout());
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
  if (hedge_at_ <= now) {
    hedge_at_ = kNever;
    start_hedge();
  }
  if (deadline_ <= now) {
    // A response that goes on and on is a stream: the client's own deadline binds it, the route's time-out
    // does not.
    if (grpc_timeout_ || !response_begun_ || response_has_length_) {
      if (!response_begun_) record_lost_try(RequestResult::kGatewayError);
      trace_.try_error = SpanError::kTimeout;
      leave_upstream();
      fail(Outcome::kRequestTimeout);
      return;
    }
    deadline_ = kNever;
  }
  if (try_deadline_ <= now) {
    const bool waited = waiting_ != nullptr;
    if (!waited) record_lost_try(RequestResult::kGatewayError);
    trace_.try_error = SpanError::kTimeout;
    if (retry({waited ? TryEnd::kConnectFailure : TryEnd::kTryTimeout})) return;
    leave_upstream();
    fail(waited ? Outcome::kPendingTimeout : Outcome::kRequestTimeout);
    return;
  }
  if (stalled_since_ != kNever && client_->stall_timeout().count() != 0 &&
      stalled_since_ + client_->stall_timeout() <= now) {
    client_->note(Defence::kStalledStream);
    leave_upstream();
    fail(Outcome::kClientStalled);
    return;
  }
  if (pace_.due() <= now && end_slow_body(now)) return;
  if (policy_->idle_timeout.count() != 0 && active_at_ + policy_->idle_timeout <= now) {
    trace_.try_error = SpanError::kTimeout;
    leave_upstream();
    fail(Outcome::kIdleTimeout);
    return;
  }
  arm();
}

// True: it has been answered 408 (RFC 9110 section 15.5.9).
bool Exchange::end_slow_body(Time now) {
  // An answer that goes along with the request makes a stream of both.
  if (request_ended_ || response_begun_) {
    pace_.stop();
    return false;
  }
  const bool waits_for_100 = received_ == 0 && request_.find(HeaderToken::kExpect) != nullptr;
  if (!pace_.look(now, received_, !waits_for_100 && client_->may_send(down))) return false;
  client_->note(Defence::kSlowBody);
  // What is still to come of it would hold the connection as it has held the request.
  if (Codec& codec = client_->codec(); !codec.is_http2()) codec.http1().give_up_body();
  fail(Outcome::kClientSlow);
  return true;
}

}  // namespace sluice::l7
