#include "control/proxy/explain_request.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "control/config_reader.h"
#include "lb/l7/route_check.h"
#include "lb/l7/text_match.h"
#include "lb/l7/virtual_host_index.h"

namespace sluice::control {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 6> kFields{"method", "url", "headers", "listener", "from", "count"};

/// A text under `key`, "" if absent.
Result<std::string> text_of(const json& body, const char* key) {
  if (!body.contains(key)) return std::string();
  if (!body[key].is_string())
    return fail(fmt::format("{}: found {}; accepted: a text", key, body[key].dump()));
  return body[key].get<std::string>();
}

bool has_control_or_space(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= 0x20 || byte == 0x7f;
  });
}

Result<void> read_url(const std::string& url, ExplainRequest& request) {
  const auto wrong = [&] {
    return fail(fmt::format("url: found '{}'; accepted: http://HOST/PATH or https://HOST/PATH", url));
  };
  const size_t colon = url.find("://");
  if (colon == std::string::npos || has_control_or_space(url)) return wrong();
  request.scheme = to_ascii_lower(url.substr(0, colon));
  if (request.scheme != "http" && request.scheme != "https") return wrong();
  const std::string rest = url.substr(colon + 3);
  const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  request.authority = rest.substr(0, end);
  if (request.authority.empty() || request.authority.find('@') != std::string::npos) return wrong();
  request.path = rest.substr(end, rest.find('#') == std::string::npos ? rest.npos : rest.find('#') - end);
  if (!request.path.starts_with('/')) request.path.insert(0, 1, '/');
  const std::string_view port = split_authority(request.authority).port;
  request.port = request.scheme == "https" ? 443 : 80;
  if (port.empty()) return {};
  const auto number = parse_decimal<uint16_t>(port);
  if (!number || *number == 0) return wrong();
  request.port = *number;
  return {};
}

Result<void> read_headers(const json& headers, ExplainRequest& request) {
  const auto wrong = [](const json& found) {
    return fail(fmt::format("headers: found {}; accepted: [[\"name\", \"value\"], ...]", found.dump()));
  };
  if (!headers.is_array()) return wrong(headers);
  for (const json& header : headers) {
    if (!header.is_array() || header.size() != 2 || !header[0].is_string() || !header[1].is_string())
      return wrong(header);
    const std::string name = to_ascii_lower(header[0].get<std::string>());
    const auto value = header[1].get<std::string>();
    if (!is_field_name(name) || !is_field_value(value)) return wrong(header);
    if (name == "host") {
      request.authority = value;
    } else {
      request.headers.emplace_back(name, value);
    }
  }
  return {};
}

Result<void> read_count(const json& count, ExplainRequest& request) {
  if (!count.is_number_unsigned() || count.get<uint64_t>() < 1 || count.get<uint64_t>() > kMostExplainDraws) {
    return fail(fmt::format("count: found {}; accepted: a whole number from 1 to {}", count.dump(),
                            kMostExplainDraws));
  }
  request.count = count.get<uint32_t>();
  return {};
}

}  // namespace

Result<ExplainRequest> parse_explain_request(const std::string& body) {
  const json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("url")) {
    return fail(
        fmt::format("found no JSON object with a url; accepted: {{\"url\": \"http://HOST/PATH\", ...}}"));
  }
  for (const auto& [key, value] : parsed.items()) {
    if (std::find(kFields.begin(), kFields.end(), key) == kFields.end()) {
      return fail(fmt::format("found unknown field '{}'; accepted: {}", key, fmt::join(kFields, ", ")));
    }
  }
  ExplainRequest request;
  const auto url = text_of(parsed, "url");
  const auto method = text_of(parsed, "method");
  const auto listener = text_of(parsed, "listener");
  const auto from = text_of(parsed, "from");
  for (const auto* text : {&url, &method, &listener, &from}) {
    if (!*text) return tl::unexpected(text->error());
  }
  if (auto read = read_url(*url, request); !read) return tl::unexpected(read.error());
  if (!method->empty()) request.method = *method;
  if (!is_field_name(to_ascii_lower(request.method)))
    return fail(fmt::format("method: found '{}'; accepted: GET, POST and the like", request.method));
  request.listener = *listener;
  const auto address = IpAddress::parse(from->empty() ? "127.0.0.1" : *from);
  if (!address)
    return fail(fmt::format("from: found '{}'; accepted: an IPv4 or IPv6 address without a port", *from));
  request.from = *address;
  if (parsed.contains("headers")) {
    if (auto read = read_headers(parsed["headers"], request); !read) return tl::unexpected(read.error());
  }
  if (parsed.contains("count")) {
    if (auto read = read_count(parsed["count"], request); !read) return tl::unexpected(read.error());
  }
  return request;
}

}  // namespace sluice::control
