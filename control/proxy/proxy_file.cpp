#include "control/proxy/proxy_file.h"

#include <algorithm>
#include <thread>

#include "control/config_text.h"
#include "control/proxy/envoy_bootstrap.h"

namespace sluice {

Result<LoadedProxyFile> load_proxy_file(const ProxyFile& file) {
  const auto text = read_config_file(file.path);
  if (!text) return tl::unexpected(text.error());
  if (!file.envoy && !is_envoy_bootstrap(*text)) {
    auto config = parse_proxy_config(*text, file.path);
    if (!config) return tl::unexpected(config.error());
    if (file.workers != 0) {
      return fail(file.path +
                  ": found --workers beside sluice-proxy's own file; accepted: proxy.workers there");
    }
    return LoadedProxyFile{*std::move(config), {}};
  }
  auto bootstrap = parse_envoy_bootstrap(*text, file.path);
  if (!bootstrap) return tl::unexpected(bootstrap.error());
  constexpr uint32_t kMaxWorkers = 256;
  const uint32_t processors = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxWorkers);
  bootstrap->config.settings.workers = file.workers != 0 ? file.workers : processors;
  return LoadedProxyFile{std::move(bootstrap->config), std::move(bootstrap->warnings)};
}

}  // namespace sluice
