#include "dataplane/l7/tls_contexts.h"

#include <fmt/format.h>

namespace sluice::l7 {

TlsServerContext::Pointer TlsContexts::listener(const std::string& name) const {
  const auto found = listeners.find(name);
  return found == listeners.end() ? nullptr : found->second;
}

TlsClientContext::Pointer TlsContexts::cluster(const std::string& name) const {
  const auto found = clusters.find(name);
  return found == clusters.end() ? nullptr : found->second;
}

Result<TlsContexts> load_tls_contexts(const ProxySettings& settings,
                                      const std::shared_ptr<TlsTicketKeys>& keys,
                                      std::chrono::system_clock::time_point now) {
  TlsContexts contexts;
  const auto warn = [&contexts](const char* kind, const std::string& name, const auto& warnings) {
    for (const std::string& warning : warnings) {
      contexts.warnings.push_back(fmt::format("{} {}: {}", kind, name, warning));
    }
  };
  for (const ListenerSettings& listener : settings.listeners) {
    if (!listener.tls) continue;
    auto context = TlsServerContext::load(*listener.tls, keys, now);
    if (!context) return fail(fmt::format("listener {}: {}", listener.name, context.error().message));
    warn("listener", listener.name, (*context)->warnings());
    contexts.listeners[listener.name] = *std::move(context);
  }
  for (const ClusterSettings& cluster : settings.clusters) {
    if (!cluster.tls) continue;
    auto context = TlsClientContext::load(*cluster.tls, now);
    if (!context) return fail(fmt::format("cluster {}: {}", cluster.name, context.error().message));
    warn("cluster", cluster.name, (*context)->warnings());
    contexts.clusters[cluster.name] = *std::move(context);
  }
  return contexts;
}

}  // namespace sluice::l7
