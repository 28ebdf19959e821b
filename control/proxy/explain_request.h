// The request that an operator asks about: not sent anywhere, only looked at.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lb/address.h"
#include "lb/result.h"

namespace sluice::control {

struct ExplainRequest {
  std::string method = "GET";
  std::string scheme;
  std::string authority;  ///< of the URL, or the Host header if that is given
  std::string path;       ///< with its query
  uint16_t port = 0;      ///< of the URL, or what its scheme implies
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string listener;                                      ///< "": the one that fits
  IpAddress from;                                            ///< the client's address
  uint32_t count = 1;                                        ///< how often clusters and endpoints are drawn
};

inline constexpr uint32_t kMostExplainDraws = 100'000;

/// From {"method", "url", "headers": [["name", "value"], ...], "listener", "from", "count"}, of which only
/// the url must be there. The error names the field, what was found and what is accepted.
Result<ExplainRequest> parse_explain_request(const std::string& body);

}  // namespace sluice::control
