// Copies of a request for clusters that mirror a route. A copy is an exchange without a client: it is fed by
// the request that it copies, what is answered to it is dropped, and nothing that happens to it is seen by
// the client.
#include <algorithm>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/upstream_connection.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

// A copy whose endpoint is so far behind is given up: it must not make its original wait, nor hold a whole
// upload.
constexpr size_t kMostBehind = 256 * 1024;

}  // namespace

void Exchange::start_copies(const MatchedRoute& route) {
  for (size_t i = 0; i < route.route().mirrors.size(); ++i) {
    const auto cluster = route.draw_mirror(i, worker_.random);
    if (!cluster) continue;
    if (worker_.memory.level() != MemoryLevel::kCalm) {
      worker_.counters.copies[static_cast<size_t>(Outcome::kOverload)].add(1);
      continue;
    }
    Exchange& copy = worker_.exchanges.take();
    copies_.push_back(&copy);
    copy.begin_copy(*this, *config_->clusters[*cluster]);
  }
}

// An exchange without a client for the same request.
void Exchange::begin_beside(const Exchange& original, ClusterRuntime& cluster, MemoryAccount& account) {
  is_copy_ = true;
  config_ = original.config_;
  ++config_->exchanges;
  route_ = original.route_;
  policy_ = original.policy_;
  cluster_ = &cluster;
  began_at_ = original.began_at_;
  request_ = original.request_;
  request_ended_ = original.request_ended_;
  head_method_ = original.head_method_;
  grpc_ = original.grpc_;
  trace_ = original.trace_;
  charge_to(account);
}

void Exchange::begin_copy(Exchange& original, ClusterRuntime& cluster) {
  original_ = &original;
  begin_beside(original, cluster, worker_.unowned);  // it may live longer than its client
  active_at_ = original.began_at_;
  trace_.mirror = true;
  if (is_hash_policy(cluster.settings().pick.policy)) {
    hash_ = hash_of_keys(policy_->hash, request_, original.client_->address(),
                         cluster.settings().pick.hash_key, worker_.random, nullptr);
  }
  set_deadline_of_request();
  dispatch();
}

// Backwards: a copy that ends takes itself out.
void Exchange::feed_copies(std::span<const uint8_t> data, bool end) {
  for (size_t i = copies_.size(); i-- > 0;) copies_[i]->on_copied_data(data, end);
}

void Exchange::feed_copies(const HeaderList& trailers) {
  for (size_t i = copies_.size(); i-- > 0;) {
    Exchange& copy = *copies_[i];
    copy.request_ended_ = copy.request_has_trailers_ = true;
    copy.request_trailers_ = trailers;
    copy.charge();
    if (copy.set_deadline_of_request()) copy.arm();
    copy.pump_request();
  }
}

void Exchange::on_copied_data(std::span<const uint8_t> data, bool end) {
  active_at_ = worker_.loop.now();
  request_ended_ = end;
  if (to_upstream_.size() + data.size() > kMostBehind) {
    finish(Outcome::kTooLarge);
    return;
  }
  send_or_keep(data, end);
  if (end && set_deadline_of_request()) arm();
}

// The original has ended. Copies that have all of the request go on by themselves.
void Exchange::leave_copies() {
  for (size_t i = copies_.size(); i-- > 0;) {
    Exchange& copy = *copies_[i];
    copy.original_ = nullptr;
    if (!copy.request_ended_) copy.finish(Outcome::kClientGone);
  }
  copies_.clear();
}

void Exchange::on_copy_answered(bool end) {
  response_begun_ = true;
  try_deadline_ = kNever;
  if (end) finish(Outcome::kAnswered);
}

void Exchange::on_copy_answer_data(size_t bytes, bool end) {
  active_at_ = worker_.loop.now();
  upstream_->consumed(up, bytes);
  upstream_->wrote();
  if (end) finish(Outcome::kAnswered);
}

void Exchange::finish_copy(Outcome outcome) {
  worker_.counters.copies[static_cast<size_t>(outcome)].add(1);
  cluster_->counters().outcomes[static_cast<size_t>(outcome)].add(1);
  if (original_ != nullptr) std::erase(original_->copies_, this);
  leave_upstream();
  --config_->exchanges;
  worker_.exchanges.give_back(*this);
}

}  // namespace sluice::l7
