#include "control/proxy/proxy_file.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "control/config_text.h"
#include "control/proxy/envoy_bootstrap.h"

namespace sluice {
namespace {

Result<LoadedProxyFile> parse_own(const ProxyFile& file, std::string text, const std::string& name) {
  auto config = parse_proxy_config(text, name);
  if (!config) return tl::unexpected(config.error());
  if (file.workers != 0) {
    return fail(name + ": found --workers beside sluice-proxy's own file; accepted: proxy.workers there");
  }
  return LoadedProxyFile{*std::move(config), std::move(text), {}};
}

Result<LoadedProxyFile> parse_envoys(const ProxyFile& file, std::string text, const std::string& name) {
  auto bootstrap = parse_envoy_bootstrap(text, name);
  if (!bootstrap) return tl::unexpected(bootstrap.error());
  constexpr uint32_t kMaxWorkers = 256;
  const uint32_t processors = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxWorkers);
  bootstrap->config.settings.workers = file.workers != 0 ? file.workers : processors;
  return LoadedProxyFile{std::move(bootstrap->config), std::move(text), std::move(bootstrap->warnings)};
}

}  // namespace

Result<LoadedProxyFile> parse_proxy_file(const ProxyFile& file, std::string text, const std::string& name) {
  const bool envoys = file.envoy || is_envoy_bootstrap(text);
  auto loaded = envoys ? parse_envoys(file, std::move(text), name) : parse_own(file, std::move(text), name);
  if (loaded && !file.run_dir.empty()) loaded->config.run_dir = file.run_dir;
  return loaded;
}

Result<LoadedProxyFile> load_proxy_file(const ProxyFile& file) {
  auto text = read_config_file(file.path);
  if (!text) return tl::unexpected(text.error());
  return parse_proxy_file(file, *std::move(text), file.path);
}

}  // namespace sluice
