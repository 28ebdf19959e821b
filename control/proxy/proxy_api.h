// The HTTP interface of sluice-proxy over its control socket. docs/proxy-openapi.yaml describes it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <string>

#include "control/api_server.h"
#include "control/event_log.h"
#include "control/proxy/config_in_force.h"
#include "control/proxy/proxy_control.h"
#include "control/proxy/proxy_report.h"

namespace sluice::control {

/// What the interface is about. All of it outlives the server.
struct ProxyApiParts {
  boost::asio::io_context& io;
  ProxyControl& control;
  ConfigInForce& config;
  EventLog& events;
  ProxyIdentity identity;
  std::function<std::string()> metrics;  ///< the text that is scraped
  std::function<void()> leave;           ///< as SIGTERM
};

/// Adds all routes.
void serve_proxy(ApiServer& api, const ProxyApiParts& parts);

}  // namespace sluice::control
