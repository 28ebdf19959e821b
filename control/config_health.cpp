#include "control/config_health.h"

#include <string>

#include "control/config_duration.h"

namespace sluice {

namespace {

Result<StatusRange> parse_status_range(const std::string& text) {
  const auto dash = text.find('-');
  const auto first = parse_decimal<uint16_t>(std::string_view(text).substr(0, dash));
  const auto last =
      dash == std::string::npos ? first : parse_decimal<uint16_t>(std::string_view(text).substr(dash + 1));
  if (!first || !last || *first < 100 || *last > 599 || *first > *last) return fail("");
  return StatusRange{*first, *last};
}

void read_statuses(const ConfigSection& section, const char* field, std::vector<StatusRange>& statuses) {
  const auto items = section.scalars(field);
  if (!items) return;
  statuses.clear();
  for (const YamlNode* item : *items) {
    if (const auto range = parse_status_range(item->text)) {
      statuses.push_back(*range);
    } else {
      section.refuse(*item, field);
    }
  }
  if (statuses.empty() && items->empty()) section.refuse(*section.find(field), field, "empty");
}

}  // namespace

void read_health(const ConfigSection& section, HealthCheck& check) {
  if (section.node() == nullptr) return;
  const auto any_text = [](const std::string& text) -> Result<std::string> { return text; };
  section.choice("kind", check.kind,
                 {{"tcp", HealthCheckKind::kTcp},
                  {"http", HealthCheckKind::kHttp},
                  {"https", HealthCheckKind::kHttps},
                  {"http2", HealthCheckKind::kHttp2},
                  {"grpc", HealthCheckKind::kGrpc},
                  {"udp", HealthCheckKind::kUdp},
                  {"icmp", HealthCheckKind::kIcmp},
                  {"external", HealthCheckKind::kExternal}});
  section.choice("via", check.via,
                 {{"direct", HealthCheckVia::kDirect}, {"tunnel", HealthCheckVia::kTunnel}});
  uint16_t port = 0;
  if (section.number("port", port)) check.port = port;
  read_milliseconds(section, "interval", check.interval);
  read_milliseconds(section, "fast_interval", check.fast_interval);
  read_milliseconds(section, "timeout", check.timeout);
  section.choice("passive", check.passive, {{"on", true}, {"off", false}});
  section.number("rise", check.rise);
  section.number("fall", check.fall);
  section.flag("answer_decides", check.answer_decides);
  section.value("path", check.path, [](const std::string& text) -> Result<std::string> {
    const bool fits = text.starts_with('/') && text.find_first_of(" \r\n") == std::string::npos;
    return fits ? Result<std::string>(text) : fail("");
  });
  section.value("host", check.host, [](const std::string& text) -> Result<std::string> {
    const bool fits = !text.empty() && text.find_first_of(" /\r\n") == std::string::npos;
    return fits ? Result<std::string>(text) : fail("");
  });
  read_statuses(section, "status", check.expected_status);
  read_statuses(section, "leaving_status", check.leaving_status);
  section.value("body", check.expected_body, any_text);
  section.flag("verify_certificate", check.verify_certificate);
  section.value("grpc_service", check.grpc_service, any_text);
  section.value("udp_payload", check.udp_payload, any_text);
  section.value("udp_expected", check.udp_expected, any_text);
  if (const auto command = section.scalars("command")) {
    for (const YamlNode* word : *command) check.command.push_back(word->text);
    if (command->empty() || !command->front()->text.starts_with('/'))
      section.refuse(*section.find("command"), "command");
  }
  if (check.kind == HealthCheckKind::kExternal && section.find("command") == nullptr) {
    section.report(*section.node(), "command", "found nothing; accepted: a list of texts, for kind external");
  }
}

void read_pool_policy(const ConfigSection& section, PoolPolicy& policy) {
  section.number("min_healthy", policy.min_healthy);
  section.choice("too_few", policy.too_few,
                 {{"withdraw", TooFewHealthy::kWithdraw}, {"fail_open", TooFewHealthy::kFailOpen}});
  section.number("panic_percent", policy.panic_percent);
  section.number("flap_limit", policy.flap_limit);
  read_seconds(section, "flap_window", policy.flap_window);
  read_seconds(section, "flap_hold", policy.flap_hold);
}

}  // namespace sluice
