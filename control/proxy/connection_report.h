// The connections of all workers, asked for without waiting for any of them.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <vector>

#include "control/api_server.h"
#include "dataplane/l7/proxy.h"

namespace sluice::control {

/// Which connections GET /v1/connections is about, by its query.
struct ConnectionQuery {
  l7::ConnectionFilter filter;
  size_t limit = 100;  ///< connections described; all are counted
};
inline constexpr size_t kMostConnections = 10'000;

/// ?side=clients|upstreams, ?listener or ?cluster (its name), ?peer (an address), ?limit. The error says what
/// was found and what is accepted.
Result<ConnectionQuery> parse_connection_query(const ApiRequest& request);

/// Asks all workers; `reply` gets the answer when the last one has spoken, or after a second without those
/// that have not. On the thread of `io`, which outlives the proxy's workers.
void report_connections(boost::asio::io_context& io, l7::Proxy& proxy, const ConnectionQuery& query,
                        ApiReply reply);

}  // namespace sluice::control
