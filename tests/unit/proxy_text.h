// A proxy's configuration file as sections that a test replaces, and what becomes of it.
#pragma once

#include <string>

#include "control/proxy/proxy_config.h"

namespace sluice::test {

/// A correct file, as sections that a test replaces.
struct ProxyText {
  std::string proxy;
  std::string listeners = "listeners:\n  - {name: front, address: 127.0.0.1, port: 8080, cluster: app}\n";
  std::string clusters = "clusters:\n  - {name: app, endpoints: [{address: 192.0.2.1, port: 80}]}\n";
  std::string text() const { return proxy + listeners + clusters; }
};

inline std::string error_of(const ProxyText& text) {
  const auto config = parse_proxy_config(text.text(), "p.yaml");
  return config ? "" : config.error().message;
}

/// A listener with one route.
inline std::string with_route(const std::string& route) {
  return "listeners:\n  - name: front\n    address: 127.0.0.1\n    port: 8080\n    hosts:\n"
         "      - name: site\n        domains: ['*']\n        routes:\n          - " +
         route + "\n";
}

inline Result<Route> route_of(const std::string& route) {
  ProxyText text;
  text.listeners = with_route(route);
  auto config = parse_proxy_config(text.text(), "p.yaml");
  if (!config) return tl::unexpected(config.error());
  return config->settings.listeners[0].routes.virtual_hosts[0].routes[0];
}

}  // namespace sluice::test
