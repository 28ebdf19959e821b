// Finds the virtual host of an authority: the exact name, else the longest wildcard, else the default.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "lb/l7/route_config.h"
#include "lb/result.h"

namespace sluice {

class VirtualHostIndex {
 public:
  struct Found {
    uint32_t host;            ///< index into the virtual hosts
    std::string_view domain;  ///< the one of its domains that matched
  };

  /// Errors name the virtual host: a domain of no accepted form, or one that is listed twice.
  static Result<VirtualHostIndex> build(std::span<const VirtualHost> hosts);

  /// `authority` as in the request: any case, with or without port or trailing dot. Allocates nothing.
  std::optional<Found> find(std::string_view authority) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Map = std::unordered_map<std::string, uint32_t, Hash, std::equal_to<>>;

  static std::optional<Found> look_up(const Map& map, std::string_view name);
  Result<void> add(uint32_t host, const std::string& domain, std::span<const VirtualHost> hosts);

  Map exact_;      // "example.com", "example.com:8443"
  Map wildcards_;  // ".example.com"
  std::optional<uint32_t> default_;
};

/// An authority (RFC 3986 section 3.2) in its parts; user information is not accepted in HTTP.
struct AuthorityParts {
  std::string_view host;  ///< an IPv6 address with its brackets
  std::string_view port;  ///< digits, or empty
};
AuthorityParts split_authority(std::string_view authority);

}  // namespace sluice
