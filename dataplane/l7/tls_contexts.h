// The TLS contexts of a whole configuration: read together, so that a reload takes all of them or none.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/l7/settings.h"
#include "lb/result.h"

namespace sluice::l7 {

class TlsClientContext;
class TlsServerContext;
class TlsTicketKeys;

struct TlsContexts {
  std::vector<std::shared_ptr<const TlsServerContext>> listeners;  ///< of each listener; nullptr: plain
  std::vector<std::shared_ptr<const TlsClientContext>> clusters;   ///< of each cluster, likewise
  std::shared_ptr<TlsTicketKeys> ticket_keys;                      ///< of the process
  std::vector<std::string> warnings;                               ///< for the log
};

/// Reads the files of all listeners and clusters. ALPN offers what their settings let them speak, the
/// `protocols` of their TLS settings are not looked at. `ticket_keys` are those in use, so that sessions go
/// on after a reload; nullptr makes new ones. Errors say which listener or cluster, and what the contexts
/// say.
Result<TlsContexts> load_tls_contexts(const ProxySettings& settings,
                                      std::shared_ptr<TlsTicketKeys> ticket_keys,
                                      std::chrono::system_clock::time_point now);

}  // namespace sluice::l7
