#include "control/proxy/proxy_tracing.h"

#include <algorithm>
#include <array>

#include "control/config_duration.h"
#include "control/config_text.h"

namespace sluice {
namespace {

// What the exporter itself sets, or its connection depends on.
constexpr std::array<std::string_view, 5> kOwnFields{"connection", "content-length", "content-type", "host",
                                                     "transfer-encoding"};

bool is_visible(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return '!' <= c && c <= '~'; });
}

// "http://collector.example.com:4318/v1/traces", "http://[::1]:4318": where and which path; the rest of
// `into` stays.
Result<OtlpSettings> parse_collector(const std::string& text, OtlpSettings into) {
  constexpr std::string_view kScheme = "http://";
  if (text.starts_with("https://"))
    return fail("TLS to a collector is not spoken; one beside the proxy can carry spans on by TLS");
  if (!text.starts_with(kScheme) || !is_visible(text)) return fail("");
  const std::string rest = text.substr(kScheme.size());
  const size_t slash = rest.find('/');
  const std::string authority = rest.substr(0, slash);
  if (slash != std::string::npos) into.path = rest.substr(slash);
  if (into.path.find('#') != std::string::npos) return fail("");
  const size_t colon = authority.rfind(':');
  if (colon == std::string::npos || authority.find(']', colon) != std::string::npos)
    return fail("without a port");
  const auto port = parse_decimal<uint16_t>(std::string_view(authority).substr(colon + 1));
  if (!port || *port == 0) return fail("");
  into.port = *port;
  into.host = authority.substr(0, colon);
  if (into.host.starts_with('[') && into.host.ends_with(']')) {
    into.host = into.host.substr(1, into.host.size() - 2);
    const auto address = IpAddress::parse(into.host);
    if (!address || !address->is_v6()) return fail("");
    return into;
  }
  const bool plain = std::ranges::all_of(into.host, [](char c) {
    return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
  if (into.host.empty() || !plain) return fail("");
  return into;
}

Result<std::string> parse_field_name(const std::string& text) {
  std::string lower = text;
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";  // RFC 9110 section 5.6.2
  const bool good = !lower.empty() && std::ranges::all_of(lower, [&](char c) {
    return ('a' <= c && c <= 'z') || ('0' <= c && c <= '9') || kOthers.find(c) != std::string_view::npos;
  });
  if (!good) return fail("");
  if (std::ranges::find(kOwnFields, lower) != kOwnFields.end()) return fail("a field that the proxy sets");
  return lower;
}

Result<std::string> parse_field_value(const std::string& text) {
  const bool good = std::ranges::all_of(text, [](char c) { return c == '\t' || (' ' <= c && c <= '~'); });
  return good ? Result<std::string>(text) : fail("");
}

Result<std::string> parse_service_name(const std::string& text) {
  if (text.empty() || text.size() > 255) return fail("");
  return text;
}

Result<SampleRatio> parse_ratio(const std::string& text) {
  const auto percent = parse_percent(text);
  if (!percent) return tl::unexpected(percent.error());
  return SampleRatio::of_percent(*percent);
}

}  // namespace

void read_sample_ratio(const ConfigSection& section, std::string_view key, std::optional<SampleRatio>& into) {
  SampleRatio ratio;
  if (section.value(key, ratio, parse_ratio) != nullptr) into = ratio;
}

void read_tracing(const ConfigSection& section, std::optional<OtlpSettings>& collector,
                  std::optional<l7::TracingSettings>& tracing) {
  if (section.node() == nullptr) return;
  OtlpSettings& settings = collector.emplace();
  l7::TracingSettings& requests = tracing.emplace();
  section.value("endpoint", settings,
                [&settings](const std::string& text) { return parse_collector(text, settings); });
  section.value("service_name", settings.service_name, parse_service_name);
  section.value("sample_percent", requests.sample, parse_ratio);
  section.flag("follow_clients", requests.follow_clients);
  read_milliseconds(section, "timeout", settings.timeout);
  for (const ConfigSection& item : section.sections("headers")) {
    auto& [name, value] = settings.headers.emplace_back();
    item.value("name", name, parse_field_name);
    item.value("value", value, parse_field_value);
  }
}

}  // namespace sluice
