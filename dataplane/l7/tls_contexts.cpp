#include "dataplane/l7/tls_contexts.h"

#include <fmt/format.h>

#include "dataplane/l7/tls_client_context.h"
#include "dataplane/l7/tls_server_context.h"
#include "dataplane/l7/tls_ticket_keys.h"

namespace sluice::l7 {

Result<TlsContexts> load_tls_contexts(const ProxySettings& settings,
                                      std::shared_ptr<TlsTicketKeys> ticket_keys,
                                      std::chrono::system_clock::time_point now) {
  TlsContexts contexts;
  contexts.ticket_keys =
      ticket_keys ? std::move(ticket_keys) : std::make_shared<TlsTicketKeys>(TlsTicketKeys::Clock::now());
  const auto warn = [&contexts](const char* kind, const std::string& name, const auto& warnings) {
    for (const std::string& warning : warnings) {
      contexts.warnings.push_back(fmt::format("{} {}: {}", kind, name, warning));
    }
  };
  for (const ListenerSettings& listener : settings.listeners) {
    contexts.listeners.push_back(nullptr);
    if (!listener.tls) continue;
    TlsServerSettings tls = *listener.tls;
    tls.protocols.clear();
    if (listener.http2_allowed) tls.protocols.emplace_back("h2");
    if (listener.http1_allowed) tls.protocols.emplace_back("http/1.1");
    auto context = TlsServerContext::load(tls, contexts.ticket_keys, now);
    if (!context) return fail(fmt::format("listener {}: {}", listener.name, context.error().message));
    warn("listener", listener.name, (*context)->warnings());
    contexts.listeners.back() = *std::move(context);
  }
  for (const ClusterSettings& cluster : settings.clusters) {
    contexts.clusters.push_back(nullptr);
    if (!cluster.tls) continue;
    TlsClientSettings tls = *cluster.tls;
    tls.protocols = {cluster.protocol == HttpVersion::kHttp2 ? "h2" : "http/1.1"};
    auto context = TlsClientContext::load(tls, now);
    if (!context) return fail(fmt::format("cluster {}: {}", cluster.name, context.error().message));
    warn("cluster", cluster.name, (*context)->warnings());
    contexts.clusters.back() = *std::move(context);
  }
  return contexts;
}

}  // namespace sluice::l7
