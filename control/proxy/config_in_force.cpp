#include "control/proxy/config_in_force.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "control/config_text.h"
#include "control/log_line.h"

namespace sluice::control {
namespace {

constexpr const char* kDocument = "document";

}  // namespace

ConfigInForce::ConfigInForce(ProxyControl& control, ProxyFile file, std::string text,
                             std::function<Result<void>()> may_change)
    : control_(control), file_(std::move(file)), text_(std::move(text)), may_change_(std::move(may_change)) {}

Result<void> ConfigInForce::apply(Result<LoadedProxyFile> loaded, bool from_file) {
  if (auto may = may_change_(); !may) return may;
  if (!loaded) return tl::unexpected(loaded.error());
  if (auto applied = control_.apply(std::move(loaded->config)); !applied) return applied;
  for (const std::string& warning : loaded->warnings)
    spdlog::warn("event=config_warning text={}", log_quoted(warning));
  text_ = std::move(loaded->text);
  from_file_ = from_file;
  return {};
}

Result<void> ConfigInForce::reload() {
  auto applied = apply(load_proxy_file(file_), true);
  error_ = applied ? "" : applied.error().message;
  if (applied) {
    spdlog::info("event=reloaded file={} generation={}", path(), control_.generation());
  } else {
    spdlog::error("event=reload_refused file={} nothing_changed=true error={}", path(),
                  log_quoted(applied.error().message));
  }
  return applied;
}

Result<void> ConfigInForce::put(const std::string& document, std::string_view by) {
  auto applied = apply(parse_proxy_file(file_, document, kDocument), false);
  if (applied) {
    spdlog::warn("event=config_put by={} generation={} until=\"reload or restart\"", log_quoted(by),
                 control_.generation());
  } else {
    spdlog::error("event=config_refused by={} nothing_changed=true error={}", log_quoted(by),
                  log_quoted(applied.error().message));
  }
  return applied;
}

Result<void> ConfigInForce::check(const std::string& document) const {
  auto loaded = parse_proxy_file(file_, document, kDocument);
  if (!loaded) return tl::unexpected(loaded.error());
  return control_.check(std::move(loaded->config));
}

bool ConfigInForce::differs_from_file() const {
  const auto text = read_config_file(path());
  return !text || *text != text_;
}

}  // namespace sluice::control
