#include "lb/l7/virtual_host_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sluice {
namespace {

// A name has at most 253 bytes (RFC 1035 section 3.1), an address less; a port at most 6 with its colon.
constexpr size_t kMaxAuthority = 260;

bool is_domain_letter(char c) {
  return ('a' <= c && c <= 'z') || ('0' <= c && c <= '9') || c == '-' || c == '_' || c == '.' || c == ':' ||
         c == '[' || c == ']';
}

}  // namespace

AuthorityParts split_authority(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos) return {authority, {}};
  const std::string_view behind = authority.substr(colon + 1);
  // A colon inside of brackets is of an address.
  const bool is_port = std::ranges::all_of(behind, [](char c) { return '0' <= c && c <= '9'; });
  if (!is_port) return {authority, {}};
  return {authority.substr(0, colon), behind};
}

Result<VirtualHostIndex> VirtualHostIndex::build(std::span<const VirtualHost> hosts) {
  VirtualHostIndex index;
  for (uint32_t i = 0; i < hosts.size(); ++i) {
    if (hosts[i].domains.empty()) {
      return fail(fmt::format("virtual host '{}': no domains; '*' is every authority that no other has",
                              hosts[i].name));
    }
    for (const std::string& domain : hosts[i].domains) {
      if (auto added = index.add(i, domain, hosts); !added) return tl::unexpected(added.error());
    }
  }
  return index;
}

Result<void> VirtualHostIndex::add(uint32_t host, const std::string& domain,
                                   std::span<const VirtualHost> hosts) {
  const auto twice = [&](uint32_t other) {
    return fail(fmt::format("virtual host '{}': domain '{}' belongs to virtual host '{}' already",
                            hosts[host].name, domain, hosts[other].name));
  };
  if (domain == "*") {
    if (default_) return twice(*default_);
    default_ = host;
    return {};
  }
  const bool wildcard = domain.starts_with("*.");
  const std::string name = to_ascii_lower(wildcard ? std::string_view(domain).substr(1) : domain);
  if (name.size() < 2 - (wildcard ? 0u : 1u) || name.size() > kMaxAuthority || name.ends_with('.') ||
      (wildcard && name.find(':') != std::string::npos) || !std::ranges::all_of(name, is_domain_letter)) {
    return fail(
        fmt::format("virtual host '{}': '{}' is not a domain such as example.com, example.com:8443, "
                    "*.example.com or *",
                    hosts[host].name, domain));
  }
  const auto [at, added] = (wildcard ? wildcards_ : exact_).emplace(name, host);
  if (!added) return twice(at->second);
  return {};
}

std::optional<VirtualHostIndex::Found> VirtualHostIndex::look_up(const Map& map, std::string_view name) {
  const auto at = map.find(name);
  if (at == map.end()) return std::nullopt;
  return Found{at->second, at->first};
}

std::optional<VirtualHostIndex::Found> VirtualHostIndex::find(std::string_view authority) const {
  if (authority.size() <= kMaxAuthority) {
    std::array<char, kMaxAuthority> lower;
    std::ranges::transform(authority, lower.begin(), ascii_lower);
    const std::string_view whole(lower.data(), authority.size());
    if (const auto found = look_up(exact_, whole)) return found;
    std::string_view name = split_authority(whole).host;
    if (name.ends_with('.')) name.remove_suffix(1);
    if (name.size() != whole.size()) {
      if (const auto found = look_up(exact_, name)) return found;
    }
    if (!wildcards_.empty()) {
      // From the first dot on: the longest ending comes first. A label is wanted in front of it.
      for (size_t dot = name.find('.', 1); dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
        if (const auto found = look_up(wildcards_, name.substr(dot))) return found;
      }
    }
  }
  if (default_) return Found{*default_, "*"};
  return std::nullopt;
}

}  // namespace sluice
