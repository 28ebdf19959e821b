// An Envoy bootstrap as parts that a test replaces, and what becomes of it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "control/proxy/envoy_bootstrap.h"

namespace sluice::test {

/// A correct bootstrap, as parts that a test replaces. Each is what stands in a flow map.
struct Bootstrap {
  std::string match = "prefix: /";
  std::string action = "route: {cluster: app}";
  std::string route;        ///< further fields
  std::string host;         ///< further fields of the virtual host
  std::string manager;      ///< further fields of the HTTP connection manager
  std::string listener;     ///< further fields
  std::string chain;        ///< further fields of the filter chain
  std::string cluster;      ///< further fields
  std::string endpoint;     ///< further fields of lb_endpoints[0].endpoint
  std::string lb_endpoint;  ///< further fields of lb_endpoints[0]
  std::string locality;     ///< further fields of endpoints[0]
  std::string assignment;   ///< further fields of load_assignment
  std::string address = "192.0.2.1";
  std::string top;

  std::string text() const {
    const auto more = [](const std::string& fields) { return fields.empty() ? "" : ", " + fields; };
    const std::string type = "'@type': type.googleapis.com/envoy.extensions.filters.";
    return "static_resources:\n"
           "  listeners:\n"
           "  - {name: front, address: {socket_address: {address: 127.0.0.1, port_value: 8080}}" +
           more(listener) + ",\n     filter_chains: [{filters: [{name: hcm, typed_config: {" + type +
           "network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: x" + more(manager) +
           ",\n     route_config: {virtual_hosts: [{name: all, domains: ['*']" + more(host) +
           ",\n     routes: [{match: {" + match + "}, " + action + more(route) +
           "}]}]},\n     http_filters: [{name: router, typed_config: {" + type +
           "http.router.v3.Router}}]}}]" + more(chain) +
           "}]}\n"
           "  clusters:\n"
           "  - {name: app" +
           more(cluster) +
           ",\n     load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: "
           "{address: " +
           address + ", port_value: 80}}" + more(endpoint) + "}" + more(lb_endpoint) + "}]" + more(locality) +
           "}]" + more(assignment) + "}}\n" + top;
  }
};

inline Result<EnvoyBootstrap> parsed(const Bootstrap& text) {
  return parse_envoy_bootstrap(text.text(), "e.yaml");
}

/// The configuration; a failure of the test if there is none.
inline ProxyConfig config_of(const Bootstrap& text) {
  auto read = parsed(text);
  EXPECT_TRUE(read) << read.error().message << "\n" << text.text();
  return read ? std::move(read->config) : ProxyConfig{};
}

inline std::string error_of(const Bootstrap& text) {
  const auto read = parsed(text);
  return read ? "" : read.error().message;
}

inline Route route_of(const Bootstrap& text) {
  auto config = config_of(text);
  if (config.settings.listeners.empty()) return {};
  return config.settings.listeners[0].routes.virtual_hosts.at(0).routes.at(0);
}

inline const l7::ClusterSettings& only_cluster(const ProxyConfig& config) {
  return config.settings.clusters.at(0);
}

}  // namespace sluice::test
