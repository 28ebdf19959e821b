#include "control/proxy/connection_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "control/config_reader.h"
#include "lb/l7/endpoint.h"

namespace sluice::control {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{1};

Json connection_json(const l7::ConnectionView& view) {
  return {{"side", view.upstream ? "upstream" : "client"},
          {view.upstream ? "cluster" : "listener", view.place},
          {"peer", EndpointId{view.address, view.port}.to_string()},
          {"worker", view.worker},
          {"protocol", view.protocol},
          {"tls", view.tls},
          {"server_name", view.server_name},
          {"state", view.state},
          {"age_ms", duration_cast<milliseconds>(view.age).count()},
          {"streams", view.streams},
          {"bytes_in", view.bytes_in},
          {"bytes_out", view.bytes_out}};
}

/// What has been told so far.
struct Gathering {
  Gathering(boost::asio::io_context& io, size_t asked_workers, size_t most, ApiReply answer)
      : timer(io), workers(asked_workers), limit(most), reply(std::move(answer)) {}

  void add(l7::ConnectionsFound part) {
    if (!reply) return;  // too late
    ++answered;
    matched += part.matched;
    std::move(part.views.begin(), part.views.end(), std::back_inserter(views));
    if (answered == workers) finish();
  }

  void finish() {
    timer.cancel();
    // The oldest first: those that everybody wonders about.
    std::sort(views.begin(), views.end(), [](const auto& a, const auto& b) {
      return std::pair(a.upstream, b.age) < std::pair(b.upstream, a.age);
    });
    if (views.size() > limit) views.resize(limit);
    Json json{{"matched", matched},
              {"shown", views.size()},
              {"silent_workers", workers - answered},
              {"connections", Json::array()}};
    for (const l7::ConnectionView& view : views) json["connections"].push_back(connection_json(view));
    std::exchange(reply, nullptr)({200, json.dump(-1, ' ', false, Json::error_handler_t::replace)});
  }

  boost::asio::steady_timer timer;
  size_t workers;
  size_t limit;
  ApiReply reply;
  size_t answered = 0;
  uint64_t matched = 0;
  std::vector<l7::ConnectionView> views;
};

}  // namespace

Result<ConnectionQuery> parse_connection_query(const ApiRequest& request) {
  ConnectionQuery query;
  const std::string side = request.query_value("side").value_or("");
  if (side != "" && side != "clients" && side != "upstreams")
    return fail(fmt::format("side: found '{}'; accepted: clients, upstreams", side));
  const auto listener = request.query_value("listener");
  const auto cluster = request.query_value("cluster");
  if (listener && cluster) return fail("listener: found beside cluster; accepted: one of the two");
  query.filter.clients = side != "upstreams" && !cluster;
  query.filter.upstreams = side != "clients" && !listener;
  query.filter.place = listener.value_or(cluster.value_or(""));
  if (const auto peer = request.query_value("peer")) {
    const auto address = IpAddress::parse(*peer);
    if (!address)
      return fail(fmt::format("peer: found '{}'; accepted: an IPv4 or IPv6 address without a port", *peer));
    query.filter.peer = *address;
  }
  if (const auto limit = request.query_value("limit")) {
    const auto number = parse_decimal<size_t>(*limit);
    if (!number || *number > kMostConnections) {
      return fail(
          fmt::format("limit: found '{}'; accepted: a whole number up to {}", *limit, kMostConnections));
    }
    query.limit = *number;
  }
  return query;
}

void report_connections(boost::asio::io_context& io, l7::Proxy& proxy, const ConnectionQuery& query,
                        ApiReply reply) {
  const size_t workers = proxy.snapshot().settings->workers;
  auto gathering = std::make_shared<Gathering>(io, workers, query.limit, std::move(reply));
  gathering->timer.expires_after(kPatience);
  gathering->timer.async_wait([gathering](const auto& cancelled) {
    if (!cancelled && gathering->reply) gathering->finish();
  });
  proxy.survey_connections(query.filter, query.limit, [&io, gathering](l7::ConnectionsFound found) {
    boost::asio::post(io,
                      [gathering, found = std::move(found)]() mutable { gathering->add(std::move(found)); });
  });
}

}  // namespace sluice::control
