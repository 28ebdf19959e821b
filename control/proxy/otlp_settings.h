// Where spans are sent, and under which name.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

struct OtlpSettings {
  std::string host;  ///< a name or an address, IPv6 without brackets
  uint16_t port = 4318;
  std::string path = "/v1/traces";  ///< with a query, if there is one
  std::string service_name = "sluice-proxy";
  std::chrono::milliseconds timeout{10'000};                 ///< of one request, connecting included
  std::vector<std::pair<std::string, std::string>> headers;  ///< added to each request
  friend bool operator==(const OtlpSettings&, const OtlpSettings&) = default;
};

/// The settings' host and port as they stand in a URL and in Host.
std::string otlp_authority(const OtlpSettings& settings);

}  // namespace sluice
