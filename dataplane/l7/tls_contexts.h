// The TLS contexts of a whole configuration: read together, so that a reload takes all of them or none.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/l7/settings.h"
#include "dataplane/l7/tls_client_context.h"
#include "dataplane/l7/tls_server_context.h"
#include "lb/result.h"

namespace sluice::l7 {

struct TlsContexts {
  std::unordered_map<std::string, TlsServerContext::Pointer> listeners;  ///< by name, those with TLS
  std::unordered_map<std::string, TlsClientContext::Pointer> clusters;   ///< by name, those with TLS
  std::vector<std::string> warnings;                                     ///< for the log

  TlsServerContext::Pointer listener(const std::string& name) const;
  TlsClientContext::Pointer cluster(const std::string& name) const;
};

/// Reads the files of all listeners and clusters. Errors say which listener or cluster, and what the contexts
/// say.
Result<TlsContexts> load_tls_contexts(const ProxySettings& settings,
                                      const std::shared_ptr<TlsTicketKeys>& keys,
                                      std::chrono::system_clock::time_point now);

}  // namespace sluice::l7
