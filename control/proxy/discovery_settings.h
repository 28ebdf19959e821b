// Where the endpoints of a cluster come from when they are not listed in its configuration. Values;
// docs/discovery.md is the operator's page.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "lb/address.h"
#include "lb/l7/endpoint.h"
#include "lb/l7/refresh_schedule.h"

namespace sluice {

/// One name whose addresses are endpoints.
struct DnsName {
  std::string name;  ///< an absolute one ends with a dot; others may be completed from /etc/resolv.conf
  bool is_service = false;  ///< the name of an SRV record, which gives port, weight and priority
  Endpoint like;            ///< port, weight, zone and priority of the endpoints found
  friend bool operator==(const DnsName&, const DnsName&) = default;
};

enum class DnsFamilies : uint8_t { kIpv4, kIpv6, kBoth };

struct DnsServer {
  IpAddress address;
  uint16_t port = 53;
  friend bool operator==(const DnsServer&, const DnsServer&) = default;
};

struct DnsDiscovery {
  std::vector<DnsName> names;  ///< at least one; the cluster has the endpoints of all
  DnsFamilies families = DnsFamilies::kIpv4;
  std::vector<DnsServer> servers;            ///< empty: those of /etc/resolv.conf
  std::chrono::milliseconds timeout{5'000};  ///< for one question, repetitions and other servers included
  RefreshSettings refresh;
  bool keep_when_empty = true;  ///< a name that is gone, or has no addresses, keeps its endpoints
  friend bool operator==(const DnsDiscovery&, const DnsDiscovery&) = default;
};

struct FileDiscovery {
  std::string path;
  friend bool operator==(const FileDiscovery&, const FileDiscovery&) = default;
};

using Discovery = std::variant<DnsDiscovery, FileDiscovery>;

}  // namespace sluice
