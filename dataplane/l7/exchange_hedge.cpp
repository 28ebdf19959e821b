// Hedging: a second try beside a first one that is slow, and the first answer of the two goes to the client
// (Dean and Barroso, "The Tail at Scale", 2013). The second try is an exchange without a client; if it wins,
// the request takes over its stream.
#include <span>
#include <utility>

#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/upstream_connection.h"
#include "dataplane/l7/worker_context.h"
#include "lb/l7/retry_decision.h"

namespace sluice::l7 {

void Exchange::start_hedge() {
  if (!request_ended_ || !replayable_ || response_begun_) return;
  if (!cluster_->breakers().try_retry(cluster_->settings().retry_budget)) return;
  worker_.counters.hedges.add(1);
  Exchange& hedge = worker_.exchanges.take();
  hedge_ = &hedge;
  hedge.begin_hedge(*this);
  if (hedge_ == nullptr) return;  // it could not be sent
  if (tries_ < kMaxTried) tried_[tries_] = hedge.tried_[tries_];
  ++tries_;
  note(RequestEvent::kHedged);
}

void Exchange::begin_hedge(Exchange& original) {
  hedged_ = &original;
  begin_beside(original, *original.cluster_, *original.account_);
  active_at_ = worker_.loop.now();
  deadline_ = original.deadline_;
  grpc_timeout_ = original.grpc_timeout_;
  hash_ = original.hash_;
  tried_ = original.tried_;
  tries_ = original.tries_;
  counts_as_retry_ = true;
  request_has_trailers_ = original.request_has_trailers_;
  request_trailers_ = original.request_trailers_;
  charge();
  to_upstream_.append(original.replay_);
  dispatch();
}

// Whether there is something to wait for beside the hedge.
bool Exchange::in_flight() const {
  return upstream_ != nullptr || waiting_ != nullptr || retry_at_ != kNever;
}

void Exchange::on_hedge_answered(const CodecEvent& event) {
  Exchange& original = *hedged_;
  TryOutcome outcome = outcome_of_answer(event);
  outcome.method = request_.get(HeaderToken::kMethod);
  // While the first try may still bring a good answer, a bad one is none.
  if (original.in_flight() && decide_retry(&*policy_->retry, outcome) == RetryVerdict::kRetry) {
    record_result(result_of_http(event.head.status));
    status_ = event.head.status;
    finish(Outcome::kUpstreamReset);
    return;
  }
  original.take_over(*this);
  original.on_response(event);
}

void Exchange::take_over(Exchange& hedge) {
  leave_upstream();
  worker_.counters.hedges_won.add(1);
  hedge_ = nullptr;
  hedge.hedged_ = nullptr;
  upstream_ = std::exchange(hedge.upstream_, nullptr);
  upstream_->codec().move(hedge.up, up, this);
  pool_ = std::exchange(hedge.pool_, nullptr);
  counts_as_retry_ = std::exchange(hedge.counts_as_retry_, false);
  recorded_ = hedge.recorded_;
  asked_at_ = hedge.asked_at_;
  endpoint_ = hedge.endpoint_;
  trace_.follow_try(hedge.trace_);
  sent_ = hedge.sent_;
  to_upstream_.clear();
  to_upstream_.append(std::span<const uint8_t>(replay_).subspan(sent_));
  retry_at_ = kNever;
  hedge.end_hedge();
}

void Exchange::drop_hedge() {
  Exchange& hedge = *std::exchange(hedge_, nullptr);
  hedge.hedged_ = nullptr;
  hedge.end_hedge();
}

void Exchange::end_hedge() {
  leave_upstream();
  --config_->exchanges;
  worker_.exchanges.give_back(*this);
}

void Exchange::on_hedge_lost(Outcome outcome) {
  hedge_ = nullptr;
  if (!in_flight() && !response_begun_) fail(outcome);
}

}  // namespace sluice::l7
