#include "control/proxy/proxy_explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "control/proxy/explain_targets.h"
#include "control/proxy/route_report.h"
#include "dataplane/l7/header_edits.h"
#include "dataplane/l7/outcome.h"
#include "dataplane/l7/request_keys.h"
#include "lb/l7/path_normalization.h"

namespace sluice::control {
namespace {

using Json = nlohmann::ordered_json;
using l7::HeaderList;
using l7::HeaderToken;
using l7::Outcome;

/// The place of the listener among those there are.
Result<size_t> listener_for(const l7::ProxySettings& settings, const ExplainRequest& request) {
  const auto& listeners = settings.listeners;
  std::vector<std::string> names;
  std::vector<size_t> fitting;
  for (size_t i = 0; i < listeners.size(); ++i) {
    names.push_back(listeners[i].name);
    const bool fits =
        request.listener.empty() ? listeners[i].port == request.port : listeners[i].name == request.listener;
    if (fits) fitting.push_back(i);
  }
  if (fitting.size() == 1) return fitting[0];
  if (!request.listener.empty()) {
    return fail(fmt::format("listener: found '{}'; accepted: {}", request.listener, fmt::join(names, ", ")));
  }
  if (listeners.size() == 1) return size_t{0};
  return fail(fmt::format("listener: {} at port {}; say which: {}",
                          fitting.empty() ? "there is none" : "there are several", request.port,
                          fmt::join(names, ", ")));
}

HeaderList fields_of(const ExplainRequest& request) {
  HeaderList fields;
  fields.add(HeaderToken::kMethod, request.method);
  fields.add(HeaderToken::kScheme, request.scheme);
  fields.add(HeaderToken::kAuthority, request.authority);
  fields.add(HeaderToken::kPath, request.path);
  for (const auto& [name, value] : request.headers) fields.add(name, value);
  return fields;
}

Json headers_json(const HeaderList& fields) {
  Json json = Json::array();
  for (const HeaderList::Field& field : fields.fields())
    json.push_back({fields.name(field), fields.value(field)});
  return json;
}

Json outcome_json(Outcome outcome, const std::string& advice) {
  const l7::OutcomeText& text = l7::text_of(outcome);
  Json json{{"outcome", text.name}};
  if (text.status != 0) {
    json["status"] = text.status;
    json["grpc_status"] = text.grpc_status;
    json["message"] = text.message;
  }
  json["advice"] = advice;
  return json;
}

Json routes_tried(const RouteExplanation& found) {
  Json routes = Json::array();
  for (const RouteExplanation::Line& line : found.routes)
    routes.push_back({{"route", line.route}, {"matched", line.matched}, {"reason", line.reason}});
  return routes;
}

/// One request on its way, and what is said of it.
class Way {
 public:
  Way(const ProxyControl& control, const ExplainRequest& request, size_t listener, Random& random)
      : control_(control),
        request_(request),
        listener_(control.proxy().snapshot().settings->listeners[listener]),
        routes_(*control.proxy().snapshot().routes[listener]),
        random_(random),
        fields_(fields_of(request)) {}

  Json explain() {
    json_["listener"] = {{"name", listener_.name},
                         {"address", EndpointId{listener_.address, listener_.port}.to_string()}};
    json_["request"] = {{"method", request_.method},
                        {"url", fmt::format("{}://{}{}", request_.scheme, request_.authority, request_.path)},
                        {"from", request_.from.to_string()}};
    if (normalize()) {
      if (!listener_.health_path.empty() && fields_.get(HeaderToken::kPath) == listener_.health_path) {
        answer_health();
      } else {
        find_route();
      }
    }
    return std::move(json_);
  }

 private:
  void end(Outcome outcome, const std::string& advice = {}) {
    json_["answer"] = outcome_json(outcome, advice);
  }

  // False: the path is refused.
  bool normalize() {
    const auto verdict = normalize_path(fields_.get(HeaderToken::kPath), listener_.paths, text_);
    if (verdict == PathVerdict::kAsItIs) return true;
    if (verdict == PathVerdict::kRefused) {
      end(Outcome::kPathRefused, "the listener refuses paths with an escaped slash");
      return false;
    }
    l7::replace_value(fields_, HeaderToken::kPath, text_, other_);
    json_["request"]["normal_path"] = text_;
    return true;
  }

  void answer_health() {
    end(Outcome::kDirect,
        fmt::format("{} is the listener's health_path: the proxy answers by itself, {} now",
                    listener_.health_path, control_.draining() ? "503, as it drains" : "200"));
    json_["answer"]["status"] = control_.draining() ? 503 : 200;
  }

  void find_route() {
    const RouteRequest request = l7::route_request(fields_, views_);
    const RouteExplanation found = routes_.explain(request);
    json_["host"] = {{"name", found.virtual_host ? Json(*found.virtual_host) : Json(nullptr)},
                     {"reason", found.host_reason}};
    json_["routes"] = routes_tried(found);
    const MatchedRoute* route = routes_.match(request);
    if (route == nullptr) {
      end(Outcome::kNoRoute,
          found.virtual_host
              ? "add a route to the virtual host, or mend the condition that should have matched"
              : "add the name to the domains of a virtual host, or one with the domain '*'");
      return;
    }
    follow(*route, request);
  }

  void follow(const MatchedRoute& route, const RouteRequest& request) {
    json_["route"] = {{"name", route.route().name},
                      {"action", action_words(route.route())},
                      {"policy", policy_json(route.route().policy)}};
    if (const auto* direct = std::get_if<DirectResponse>(&route.route().action)) {
      end(Outcome::kDirect);
      json_["answer"]["status"] = direct->status;
      json_["answer"]["body_bytes"] = direct->body.size();
    } else if (!route.forwards()) {
      route.write_location(request, text_);
      end(Outcome::kDirect);
      json_["answer"]["status"] = std::get<RedirectAction>(route.route().action).status;
      json_["answer"]["location"] = text_;
    } else {
      forward(route);
    }
  }

  void forward(const MatchedRoute& route) {
    // Keys are taken from the request before it is changed, as the workers do.
    const ExplainTargets targets(control_, request_, route, fields_, random_);
    change_request(route);
    json_["clusters"] = targets.json();
    json_["mirrors"] = targets.mirrors();
    json_["response_changes"] = edit_words(route.route().response_headers);
    const auto [outcome, advice] = targets.outcome();
    end(outcome, advice);
    if (outcome == Outcome::kAnswered) json_["answer"]["endpoint"] = targets.first_picked();
  }

  void change_request(const MatchedRoute& route) {
    if (route.rewrite_path(fields_.get(HeaderToken::kPath), text_))
      l7::replace_value(fields_, HeaderToken::kPath, text_, other_);
    if (const auto& host = route.route().rewrite.host)
      l7::replace_value(fields_, HeaderToken::kAuthority, *host, other_);
    Json changes = edit_words(route.route().request_headers);
    l7::edit_headers(fields_, route.route().request_headers, other_);
    if (listener_.forwarded_for) changes.push_back("append the client's address to x-forwarded-for");
    json_["sent"] = {{"path", other_.get(HeaderToken::kPath)},
                     {"authority", other_.get(HeaderToken::kAuthority)},
                     {"changes", changes},
                     {"headers", headers_json(other_)}};
  }

  const ProxyControl& control_;
  const ExplainRequest& request_;
  const l7::ListenerSettings& listener_;
  const RouteTable& routes_;
  Random& random_;
  HeaderList fields_;
  HeaderList other_;
  std::string text_;
  std::vector<HeaderView> views_;
  Json json_;
};

}  // namespace

Result<Json> explain(const ProxyControl& control, const ExplainRequest& request, Random& random) {
  const auto listener = listener_for(*control.proxy().snapshot().settings, request);
  if (!listener) return tl::unexpected(listener.error());
  return Way(control, request, *listener, random).explain();
}

}  // namespace sluice::control
