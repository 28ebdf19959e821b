// What a route makes of a request, and of its response.
#include <algorithm>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/decimal_text.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/header_edits.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {

// False: the request has been answered.
bool Exchange::normalize_path() {
  const auto verdict =
      sluice::normalize_path(request_.get(HeaderToken::kPath), client_->paths(), worker_.text);
  if (verdict == PathVerdict::kAsItIs) return true;
  if (verdict == PathVerdict::kRefused) {
    answer(Outcome::kPathRefused);
    return false;
  }
  client_path_ = request_.get(HeaderToken::kPath);
  replace_value(request_, HeaderToken::kPath, worker_.text, worker_.outgoing);
  return true;
}

// False: the request has been answered.
bool Exchange::follow(const MatchedRoute& route) {
  if (!within_rate_limit(route)) {
    answer(Outcome::kRateLimited);
    return false;
  }
  if (!route.forwards()) {
    if (const auto* direct = std::get_if<DirectResponse>(&route.route().action)) {
      answer_directly(*direct);
    } else {
      answer_redirect(route);
    }
    return false;
  }
  cluster_ = config_->clusters[route.draw_cluster(worker_.random)].get();
  if (is_hash_policy(cluster_->settings().pick.policy)) {
    hash_ = hash_of_keys(policy_->hash, request_, client_->address(), cluster_->settings().pick.hash_key,
                         worker_.random, &cookie_);
  }
  prepare_request(route);
  return true;
}

bool Exchange::within_rate_limit(const MatchedRoute& route) {
  if (!policy_->rate_limit) return true;
  static constexpr SipKey kBucketKey{0x7261746520, 0x6c696d6974};
  const auto key = hash_of_keys(policy_->rate_limit_key, request_, client_->address(), kBucketKey,
                                worker_.random, nullptr);
  return config_->limiters.at(&route)->try_take(key.value_or(0), worker_.loop.now());
}

// Changes the request once, before the first try.
void Exchange::prepare_request(const MatchedRoute& route) {
  HeaderList& other = worker_.outgoing;
  std::string& text = worker_.text;
  const bool new_path = route.rewrite_path(request_.get(HeaderToken::kPath), text);
  if (new_path) {
    if (client_path_.empty()) client_path_ = request_.get(HeaderToken::kPath);
    replace_value(request_, HeaderToken::kPath, text, other);
  }
  if (const auto& host = route.route().rewrite.host) {
    client_authority_ = request_.get(HeaderToken::kAuthority);
    replace_value(request_, HeaderToken::kAuthority, *host, other);
    replace_value(request_, HeaderToken::kHost, *host, other);
  }
  if (!route.route().request_headers.empty()) {
    edit_headers(request_, route.route().request_headers, other);
    std::swap(request_, other);
  }
  if (!client_->forwarded_for()) return;
  if (request_.find(HeaderToken::kForwardedFor) == nullptr) {
    request_.add(HeaderToken::kForwardedFor, client_->address_text());
    return;
  }
  // The list that is there already goes on (several fields are one list, RFC 9110 section 5.3).
  other.clear();
  text.clear();
  for (const HeaderList::Field& field : request_.fields()) {
    if (field.token != HeaderToken::kForwardedFor) {
      other.add(request_.name(field), request_.value(field), field.token, field.sensitive);
    } else {
      text.append(request_.value(field)).append(", ");
    }
  }
  text.append(client_->address_text());
  other.add(HeaderToken::kForwardedFor, text);
  std::swap(request_, other);
}

const HeaderList& Exchange::client_head(const HeaderList& fields) {
  if (route_->route().response_headers.empty() && cookie_.part == nullptr) return fields;
  edit_headers(fields, route_->route().response_headers, worker_.outgoing);
  if (cookie_.part != nullptr) {
    write_set_cookie(cookie_, worker_.text);
    worker_.outgoing.add(HeaderToken::kSetCookie, worker_.text);
  }
  return worker_.outgoing;
}

void Exchange::answer_redirect(const MatchedRoute& route) {
  const auto& redirect = std::get<RedirectAction>(route.route().action);
  outcome_ = Outcome::kDirect;
  status_ = static_cast<uint16_t>(redirect.status);
  route.write_location(route_request(request_, worker_.header_views), worker_.text);
  HeaderList& fields = worker_.outgoing;
  fields.clear();
  DecimalText digits;
  fields.add(HeaderToken::kStatus, digits.of(redirect.status));
  fields.add(HeaderToken::kLocation, worker_.text);
  fields.add(HeaderToken::kContentLength, "0");
  response_begun_ = response_ended_ = true;
  send_response_head(fields, true);
  finish_if_done();
}

void Exchange::answer_directly(const DirectResponse& response) {
  // A success would be a tunnel (RFC 8441 section 5).
  if (extended_connect_ && response.status < 300) {
    answer(Outcome::kUpgradeRefused);
    return;
  }
  outcome_ = Outcome::kDirect;
  status_ = static_cast<uint16_t>(response.status);
  HeaderList& fields = worker_.outgoing;
  fields.clear();
  DecimalText digits;
  fields.add(HeaderToken::kStatus, digits.of(response.status));
  if (!response.body.empty()) fields.add(HeaderToken::kContentType, response.content_type);
  if (response.status != 204 && response.status != 304)
    fields.add(HeaderToken::kContentLength, digits.of(response.body.size()));
  response_begun_ = response_ended_ = true;
  const bool end = head_method_ || response.body.empty();
  send_response_head(fields, end);
  if (!end) {
    to_client_.append({reinterpret_cast<const uint8_t*>(response.body.data()), response.body.size()});
    answered_ = response.body.size();
    pump_response();
    return;
  }
  finish_if_done();
}

}  // namespace sluice::l7
