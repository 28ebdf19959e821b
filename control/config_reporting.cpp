#include "control/config_reporting.h"

#include "control/config_text.h"

namespace sluice {
namespace {

/// "127.0.0.1:9108", "[::1]:9108"
Result<ListenAddress> parse_listen(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return fail("");
  std::string_view host = std::string_view(text).substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const auto port = parse_decimal<uint16_t>(std::string_view(text).substr(colon + 1));
  if (!address || address->is_v6() != bracketed || !port || *port == 0) return fail("");
  return ListenAddress{*address, *port};
}

}  // namespace

void read_metrics(const ConfigSection& section, std::optional<ListenAddress>& listen) {
  if (section.node() == nullptr) return;
  section.value("listen", listen.emplace(), parse_listen);
}

void read_log(const ConfigSection& section, LogSettings& settings) {
  section.choice("to", settings.to, {{"stderr", LogTarget::kStderr}, {"journal", LogTarget::kJournal}});
  section.choice("level", settings.level,
                 {{"debug", LogLevel::kDebug},
                  {"info", LogLevel::kInfo},
                  {"warning", LogLevel::kWarning},
                  {"error", LogLevel::kError}});
}

}  // namespace sluice
